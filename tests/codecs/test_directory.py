"""A codec kept in a folder is the same codec; a stranger's folder is checked before it is used."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import plica
from plica.codecs.card import CodecCard
from plica.codecs.directory import write_directory
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.weights import fingerprint
from plica.errors import OutputError, PlicaError, UnknownName, WeightsError
from plica.grid import Grid
from plica.image import Image
from plica.networks.kl import KlAutoencoder
from plica.preparation.pipelines import full_range

SETTINGS = {"dims": 2, "in_channels": 1, "code_channels": 2, "widths": [32, 64], "blocks": 1}


def make_codec() -> NetworkCodec:
    torch.manual_seed(0)
    network = KlAutoencoder(**{**SETTINGS, "widths": (32, 64)})
    card = CodecCard(
        name="mine-2x2-2d", family="mine", summary="A test's own.", dims=2, factor=2, channels=2,
        in_channels=1, expects="anything", licence="Apache-2.0", source="a test",
        extras={"network": {"kind": "kl", **SETTINGS}, "preparation": "full_range"},
    )  # fmt: skip
    return NetworkCodec(card, network, fingerprint(network.state_dict()), full_range)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_directory(tmp_path / "mine", make_codec())


def test_the_codec_of_a_folder_makes_the_same_latents(folder):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 15, 18, 1)).astype(np.uint8)
    image = Image(pixels, Grid.from_spacing((15, 18, 1)))
    first, again = make_codec(), plica.load(folder)

    assert again.card == first.card
    assert again.fingerprint == first.fingerprint
    latent = again.encode(image)
    # read weights are laid out for speed, which changes the order of sums
    np.testing.assert_allclose(latent.codes, first.encode(image).codes, atol=1e-5)
    np.testing.assert_allclose(
        first.decode(latent).pixels.astype(int), again.decode(latent).pixels, atol=1
    )


def test_a_folder_is_not_replaced_unasked(folder):
    with pytest.raises(OutputError):
        write_directory(folder, make_codec())
    write_directory(folder, make_codec(), overwrite=True)


@pytest.mark.parametrize(
    "change",
    [
        {"extras": {}},
        {"extras": {"network": {"kind": "kl", "dims": 2}, "preparation": "full_range"}},
        {"extras": {"network": {"kind": "kl", **SETTINGS, "layers": 3},
                    "preparation": "full_range"}},
        {"extras": {"network": {"kind": "kl", **SETTINGS, "widths": [2**40]},
                    "preparation": "full_range"}},
        {"extras": {"network": {"kind": "kl", **SETTINGS, "widths": "os.system"},
                    "preparation": "full_range"}},
        {"extras": {"network": {"kind": "unet", **SETTINGS}, "preparation": "full_range"}},
        {"extras": {"network": {"kind": "kl", **SETTINGS}, "preparation": "rm"}},
        {"factor": 4},
        {"weights": 7},
        {"name": None},
    ],
)  # fmt: skip
def test_a_card_of_something_else_is_refused(folder, change):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **change}))

    with pytest.raises((WeightsError, UnknownName)):
        plica.load(folder)


def test_weights_of_another_network_are_named(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "weights.safetensors")
    weights.pop("encoder.conv_in.bias")
    save_file(weights, folder / "weights.safetensors")

    with pytest.raises(WeightsError, match=r"1 missing \(encoder\.conv_in\.bias\)"):
        plica.load(folder)


def test_a_folder_that_is_no_codec_says_what_was_expected(tmp_path):
    with pytest.raises(PlicaError, match="card\\.json"):
        plica.load(tmp_path)


def test_a_codec_without_a_network_has_no_folder(tmp_path):
    with pytest.raises(WeightsError, match="no weights"):
        write_directory(tmp_path / "x", plica.load("identity"))
    bare = make_codec()
    with pytest.raises(WeightsError, match="network"):
        write_directory(tmp_path / "y", replace(bare, card=replace(bare.card, extras={})))
