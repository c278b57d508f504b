"""The TAESD family: files of theirs in, and what is wrong with other files said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import plica
from plica.codecs import tiny
from plica.codecs.catalogue import load, offer
from plica.codecs.random_weights import draw_weights
from plica.errors import WeightsError
from plica.grid import Grid
from plica.image import Image, Unit
from plica.networks.tiny import TinyAutoencoder

NAMES = tuple(tiny.OFFERS)


def make_folder(folder, name="taef2", *, of=None, ending=".pth"):
    """Two files as the authors publish them, in half precision, of made weights."""
    model = tiny._MODELS[of or name]
    network = TinyAutoencoder(code_channels=model.codes, **model.settings)
    state = draw_weights(network)
    folder.mkdir(exist_ok=True)
    for part in tiny.PARTS:
        own = {
            key.removeprefix(f"{part}."): value.half().contiguous()
            for key, value in state.items()
            if key.startswith(part)
        }
        file = folder / f"{name}_{part}{ending}"
        torch.save(own, file) if ending == ".pth" else save_file(own, file)
    return folder


def make_slice() -> Image:
    values = np.random.default_rng(0).integers(-1000, 1000, (1, 21, 13, 2)).astype(np.int16)
    return Image(values, Grid.from_spacing((21, 13, 2)), Unit.HU)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_the_network_is(name):
    card = offer(name).card
    network = TinyAutoencoder(code_channels=card.channels, **tiny._MODELS[name].settings)

    assert (network.factor, network.in_channels) == (card.factor, card.in_channels)
    assert card.licence == "MIT"
    assert card.tileable
    has_norms = any(isinstance(one, torch.nn.GroupNorm) for one in network.modules())
    assert card.norms == (("group",) if has_norms else ())


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_folder_of_two_files_is_a_codec(tmp_path, ending):
    codec = load("taef2", weights=make_folder(tmp_path / "weights", ending=ending))
    image = make_slice()
    latent = codec.encode(image)

    assert latent.codes.shape == (32, 3, 2, 2)
    decoded = codec.decode(latent)
    assert decoded.grid == image.grid
    assert decoded.pixels.dtype == np.int16


def test_the_layout_of_diffusers_gives_the_same_codec(tmp_path):
    pair = load("taesd", weights=make_folder(tmp_path / "pair", "taesd"))
    state = {}
    for key, value in pair.network.state_dict().items():
        part, number, rest = key.split(".", 2)
        state[f"{part}.layers.{int(number) - (part == 'decoder')}.{rest}"] = value.contiguous()
    (tmp_path / "one").mkdir()
    save_file(state, tmp_path / "one" / "diffusion_pytorch_model.safetensors")

    for given in (tmp_path / "one", tmp_path / "one" / "diffusion_pytorch_model.safetensors"):
        assert load("taesd", weights=given).fingerprint == pair.fingerprint


def test_what_is_missing_is_said(tmp_path):
    folder = make_folder(tmp_path / "weights")
    (folder / "taef2_decoder.pth").unlink()
    with pytest.raises(WeightsError, match="holds no decoder of taef2: it should hold"):
        load("taef2", weights=folder)
    with pytest.raises(WeightsError, match="comes without weights"):
        load("taef2")
    with pytest.raises(WeightsError, match="no weights file at"):
        load("taef2", weights=tmp_path / "nowhere")


def test_files_of_another_network_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="the weights are not those of taef2"):
        load("taef2", weights=make_folder(tmp_path / "weights", "taef2", of="taesd"))


def test_a_pickle_that_would_run_something_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    folder = make_folder(tmp_path / "weights")
    torch.save({"0.weight": Harmful()}, folder / "taef2_encoder.pth")

    with pytest.raises(WeightsError, match="Nothing in it was run"):
        load("taef2", weights=folder)
    assert not (tmp_path / "ran").exists()


def test_the_real_pair_is_the_published_one(shared):
    """First measured elsewhere, on scikit-image's astronaut: 31.19 dB."""
    data = pytest.importorskip("skimage.data")
    codec = plica.load("taef2", weights=shared / "weights")
    pixels = data.astronaut().transpose(2, 1, 0)[..., None]
    image = Image(np.ascontiguousarray(pixels), Grid.from_spacing((512, 512, 1)), Unit.DISPLAY)

    decoded = codec.decode(codec.encode(image))

    error = np.mean((decoded.pixels.astype(float) - image.pixels) ** 2)
    assert 10 * np.log10(255**2 / error) == pytest.approx(31.19, abs=0.1)
