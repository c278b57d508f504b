"""A codec kept in a folder is the same codec; a stranger's folder is checked before it is used."""

import hashlib
import importlib.metadata
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import plica
from plica.codecs import directory
from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.directory import write_directory
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.weights import fingerprint
from plica.errors import OutputError, PlicaError, UnknownName, WeightsError
from plica.grid import Grid
from plica.image import Image
from plica.networks.kl import KlAutoencoder
from plica.preparation.pipelines import full_range

if TYPE_CHECKING:
    from collections.abc import Sequence

EYE = np.eye(4)
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

    assert replace(again.card, weights=first.card.weights) == first.card
    assert again.card.weights.kind == "file"
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


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tileable": True}, "says that tiles are exact, but its network looks at the whole map"),
        ({"extras": {"network": {"kind": "kl", **SETTINGS}, "preparation": "full_range",
                     "padding": "wrap"}}, "asks for a padding that is none of"),
        ({"norms": ["batches"]}, "a network normalises over"),
        ({"summary": "x" * 2**20}, "larger than any card: it is something else"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_card_is_said(folder, change, sentence):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **change}))

    with pytest.raises(WeightsError, match=sentence):
        plica.load(folder)


def test_one_turned_bit_in_the_weights_is_an_error(tmp_path):
    codec = make_codec()
    source = WeightsSource("file", filename="weights.safetensors")
    codec = replace(codec, card=replace(codec.card, weights=source))
    folder = write_directory(tmp_path / "mine", codec)
    card = CodecCard.from_json(json.loads((folder / "card.json").read_text()))
    assert card.weights.bytes == (folder / "weights.safetensors").stat().st_size
    plica.load(folder)

    damaged = bytearray((folder / "weights.safetensors").read_bytes())
    damaged[-100] ^= 1
    (folder / "weights.safetensors").write_bytes(damaged)
    with pytest.raises(WeightsError, match="SHA-256"):
        plica.load(folder)


def test_weights_of_another_network_are_named(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "weights.safetensors")
    weights.pop("encoder.conv_in.bias")
    save_file(weights, folder / "weights.safetensors")

    with pytest.raises(WeightsError, match=r"1 missing \(encoder\.conv_in\.bias\)"):
        plica.load(folder, weights=folder / "weights.safetensors")


def test_a_folder_that_is_no_codec_says_what_was_expected(tmp_path):
    with pytest.raises(PlicaError, match="card\\.json"):
        plica.load(tmp_path)


def test_a_codec_without_a_network_has_no_folder(tmp_path):
    with pytest.raises(WeightsError, match="no weights"):
        write_directory(tmp_path / "x", plica.load("identity"))
    bare = make_codec()
    with pytest.raises(WeightsError, match="network"):
        write_directory(tmp_path / "y", replace(bare, card=replace(bare.card, extras={})))


# -- a network of another package ----------------------------------------------------------------


class FoldNet(torch.nn.Module):
    """One convolution there and one back; one of its settings has no type but its default's."""

    def __init__(self, factor: int = 8, code_channels: int = 4, width=40, *, kernels=(3, 3)):
        super().__init__()
        self.dims, self.factor, self.in_channels, self.code_channels = 2, factor, 1, code_channels
        self.down = torch.nn.Conv2d(1, code_channels, factor, stride=factor)
        self.norm = torch.nn.BatchNorm2d(code_channels)
        self.up = torch.nn.ConvTranspose2d(code_channels, 1, factor, stride=factor)
        self.width, self.kernels = width, kernels

    def encode(self, x):
        return self.norm(self.down(x))

    def decode(self, z):
        return self.up(z)


class Untyped(FoldNet):
    def __init__(self, width):
        super().__init__(width=width)


class Hiding(FoldNet):
    """It is annotated with what only a type checker imports."""

    def __init__(self, kernels: "Sequence[int]" = (3, 3)):
        super().__init__(kernels=kernels)


class Particular(FoldNet):
    """Its constructor takes what it cannot make a network of."""

    def __init__(self, width: int = 24, each: int = 1):
        super().__init__(width=width // each)


class Lacking(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = 8
        self.layer = torch.nn.Linear(1, 1)


class Forgetful(FoldNet):
    """What it computes with is not all in its weights."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(8), persistent=False)


@pytest.fixture
def bring(monkeypatch):
    """Networks as an installed package brings them: a name in the group plica.networks."""
    found = [
        importlib.metadata.EntryPoint(one.__name__.lower(), f"{__name__}:{one.__name__}", "")
        for one in (FoldNet, Untyped, Hiding, Particular, Lacking, Forgetful)
    ]
    groups = {"plica.networks": found}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: groups.get(group, []))
    monkeypatch.setattr(directory, "NETWORKS", directory.make_table_of_networks())


def make_own(settings: dict, network: torch.nn.Module) -> NetworkCodec:
    card = replace(
        make_codec().card, name="mine-8x4-2d", factor=8, channels=4,
        extras={"network": settings, "preparation": "full_range"},
    )  # fmt: skip
    return NetworkCodec(card, network.eval(), fingerprint(network.state_dict()), full_range)


def test_a_folder_holds_a_network_that_a_package_brings(bring, tmp_path):
    mine = make_own({"kind": "foldnet", "width": 24, "kernels": [5, 3]}, FoldNet())
    image = Image(np.arange(256.0, dtype=np.float32).reshape(1, 16, 16, 1), Grid((16, 16, 1), EYE))

    again = plica.load(write_directory(tmp_path / "mine", mine))

    assert (again.network.width, again.network.kernels) == (24, (5, 3))
    assert again.fingerprint == mine.fingerprint
    np.testing.assert_allclose(again.encode(image).codes, mine.encode(image).codes, atol=1e-5)


def test_settings_are_resolved_with_the_constructors_defaults(bring):
    resolved = directory.resolve_settings({"kind": "foldnet", "width": 24})

    assert resolved == {
        "kind": "foldnet", "width": 24, "factor": 8, "code_channels": 4, "kernels": [3, 3]
    }  # fmt: skip
    assert directory.make_network(resolved, of="a test").kernels == (3, 3)


@pytest.mark.parametrize("kind", ["unet", "os:system", f"{__name__}:FoldNet", ""])
def test_a_kind_that_no_package_brings_is_never_written_nor_imported(bring, tmp_path, kind):
    with pytest.raises(UnknownName, match=r"one line, an entry point in the group plica\.networks"):
        write_directory(tmp_path / "mine", make_own({"kind": kind}, FoldNet()))
    assert not (tmp_path / "mine").exists()


def test_who_holds_a_folder_without_its_package_is_told_to_install_it(bring, tmp_path, monkeypatch):
    write_directory(tmp_path / "mine-8x4-2d", make_own({"kind": "foldnet"}, FoldNet()))
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [])
    monkeypatch.setattr(directory, "NETWORKS", directory.make_table_of_networks())
    monkeypatch.chdir(tmp_path)
    wanted = "Install the package that brings the network 'foldnet'"

    with pytest.raises(UnknownName, match=wanted) as asked:
        plica.load("./mine-8x4-2d")
    assert "since no codec" not in str(asked.value)
    with pytest.raises(UnknownName, match=wanted + r".*the folder \./mine-8x4-2d, since no codec"):
        plica.load("mine-8x4-2d")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "foldnet", "width": "wide"}, "sets width to 'wide'"),
        ({"kind": "foldnet", "kernels": [3, "x"]}, "sets kernels to"),
        ({"kind": "foldnet", "foo": 1}, r"it has unknown foo; a network of this kind has factor"),
        ({"kind": "untyped"}, r"it lacks width; a network"),
        ({"kind": "untyped", "width": 3}, r"what type its width is.*annotate it"),
        ({"kind": "hiding"}, r"'Sequence' is not defined.*import the types .* TYPE_CHECKING"),
        ({"kind": "forgetful"}, r"window.*persistent"),
    ],
)
def test_what_does_not_fit_a_packages_network_is_said(bring, tmp_path, settings, sentence):
    network = Forgetful() if settings["kind"] == "forgetful" else FoldNet()

    with pytest.raises(WeightsError, match=sentence):
        plica.load(write_directory(tmp_path / "mine", make_own(settings, network)))


def test_what_is_no_autoencoder_is_told_what_it_lacks(bring, tmp_path):
    from safetensors.torch import save_file

    folder = write_directory(tmp_path / "mine", make_own({"kind": "foldnet"}, FoldNet()))
    card = json.loads((folder / "card.json").read_text())
    card["extras"]["network"] = {"kind": "lacking"}
    card["weights"]["sha256"] = ""
    (folder / "card.json").write_text(json.dumps(card))
    save_file(Lacking().state_dict(), folder / "weights.safetensors")

    with pytest.raises(WeightsError, match="no dims, in_channels, code_channels, encode, decode"):
        plica.load(folder)


def test_a_constructor_of_anothers_that_fails_is_said_in_a_sentence(bring):
    with pytest.raises(WeightsError, match="Particular cannot make: ZeroDivisionError: "):
        directory.make_network({"kind": "particular", "each": 0}, of="a card")


def test_a_kind_that_nobody_brings_is_said_with_whose_it_is():
    with pytest.raises(UnknownName, match=r"the recipe small: no network 'conv'; .* compact, kl"):
        directory.make_network({"kind": "conv"}, of="the recipe small")


@pytest.mark.parametrize("kind", ["unstated", "package", "hub", "none"])
def test_whatever_a_card_said_its_folder_says_the_checksum(tmp_path, kind):
    codec = make_codec()
    codec = replace(codec, card=replace(codec.card, weights=WeightsSource(kind)))
    folder = write_directory(tmp_path / "mine", codec)
    weights = folder / "weights.safetensors"
    source = plica.load(folder).card.weights
    assert source.kind == "file"
    assert source.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    damaged = bytearray(weights.read_bytes())
    damaged[-3] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(WeightsError, match="SHA-256"):
        plica.load(folder)
