"""The cards of foundation autoencoders say what can be done with each, and the codecs do it."""

import functools
import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.codecs.thin import make_thin

from plica.codecs import foundation, unavailable
from plica.codecs.card import NORMS, WeightsSource
from plica.codecs.catalogue import load
from plica.codecs.codec import RANDOM
from plica.codecs.layouts import with_quant
from plica.errors import MissingExtra, WeightsError
from plica.grid import Grid
from plica.image import Image, Unit
from plica.networks.frames import Framed

CARDS = {name: offer.card for name, offer in foundation.OFFERS.items()}
MISSING = {name: offer.card for name, offer in unavailable.OFFERS.items()}
FRAMED = [name for name, card in CARDS.items() if card.period]
# Of the publications: coarser in the plane, slices to a code slice, channels of the codes.
PUBLISHED = {
    "wan2.1": (8, 4, 16), "wan2.2": (16, 4, 48), "cogvideox": (8, 4, 16), "ltx": (32, 8, 128),
    "hunyuanvideo": (8, 4, 16), "cosmos": (8, 8, 16), "dc-ae-f32c32": (32, 1, 32),
    "dc-ae-f64c128": (64, 1, 128), "sdxl": (8, 1, 4), "sd3": (8, 1, 16), "flux": (8, 1, 16),
    "flux2": (8, 1, 32), "maisi": (4, 4, 4),
}  # fmt: skip


@pytest.fixture(scope="module")
def thin():
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        yield


@functools.cache
def load_thin(name):
    try:
        return load(name, RANDOM)
    except MissingExtra as error:
        pytest.skip(str(error))


def make_ct(*shape: int) -> Image:
    generator = np.random.default_rng(0)
    pixels = generator.normal(0, 300, shape).astype(np.int16)[None]
    affine = np.array([[-0.7, 0, 0, 11], [0, -0.7, 0, -5], [0, 0, 2.5, 3], [0, 0, 0, 1]])
    return Image(pixels, Grid(shape, affine), Unit.HU)


# -- cards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARDS)
def test_a_card_states_factors_norms_licence_and_source(name):
    card = CARDS[name]
    factor, along, channels = PUBLISHED[name]

    assert card.factors == (factor, factor, along)
    assert card.channels == channels
    assert card.causal == (card.period > 0)
    assert card.norms
    assert set(card.norms) <= set(NORMS)
    assert card.licence
    assert card.source
    assert card.value_range == (-1.0, 1.0)
    assert not card.tileable
    assert "missing" not in card.extras
    assert card.weights.kind in {"hub", "file"}
    assert card.weights.filename


@pytest.mark.parametrize("name", FRAMED)
def test_a_video_models_card_says_how_it_streams(name):
    assert CARDS[name].extras["streaming"].startswith(("exact", "none"))


@pytest.mark.parametrize("name", CARDS)
def test_a_card_states_what_codes_are_scaled_by_for_diffusion(name):
    extras = CARDS[name].extras

    assert {"scaling_factor", "latents_mean", "latents_note"} & set(extras)
    for key in ("latents_mean", "latents_std"):
        assert len(extras.get(key, [0.0] * CARDS[name].channels)) == CARDS[name].channels
    json.dumps(dict(extras))


@pytest.mark.parametrize("name", MISSING)
def test_what_cannot_be_loaded_says_what_is_missing_and_of_whom(name):
    card = MISSING[name]

    assert "no maintained implementation" in card.extras["missing"]
    assert card.extras["missing"] in card.summary
    with pytest.raises(WeightsError, match=f"{name} cannot be loaded.*github.com.*licence: "):
        load(name)
    assert ("does not allow" in card.extras["missing"]) == (name in {"cv-vae", "videovae-plus"})


# -- codecs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARDS)
def test_a_network_is_as_its_card_says(name, thin):
    codec = load_thin(name)
    network, card = codec.network, codec.card

    assert isinstance(network, Framed) == (card.period > 0)
    assert (network.factor, network.code_channels) == (card.factor, card.channels)
    assert network.in_channels == card.in_channels
    if card.period:
        assert (network.period, network.causal) == (card.period, card.causal)
        assert network.streams == card.extras["streaming"].startswith("exact")
        assert network.streams == (network.frames_at_a_time > 0)
        assert min(network.floats_per_voxel) > 0
    else:
        assert network.dims == card.dims


@pytest.mark.parametrize("name", CARDS)
def test_a_ct_of_odd_sides_comes_back_on_its_own_grid(name, thin):
    image = make_ct(37, 29, 7)
    codec = load_thin(name)
    latent = codec.encode(image)
    decoded = codec.decode(latent)

    assert latent.codes.shape[0] == codec.card.channels
    assert latent.factor == codec.card.factors
    assert np.isfinite(latent.codes).all()
    assert decoded.grid == image.grid
    assert decoded.unit is Unit.HU
    assert decoded.pixels.dtype == image.pixels.dtype


@pytest.mark.parametrize("slices", [1, 3, 100])
@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.period])
def test_a_few_slices_or_many_come_back(name, slices, thin):
    image = make_ct(9, 7, slices)
    codec = load_thin(name)
    latent = codec.encode(image)

    assert latent.codes.shape[3] == 1 + -(-(slices - 1) // codec.card.period)
    assert codec.decode(latent).grid == image.grid


@pytest.mark.parametrize("name", ["wan2.1", "cosmos", "sdxl", "maisi"])
def test_a_folder_in_the_librarys_layout_is_taken_as_its_file(name, thin, tmp_path):
    made = load_thin(name)
    state = {key: value.contiguous() for key, value in made.network.state_dict().items()}
    folder = tmp_path / "vae"
    folder.mkdir()
    file = folder / "diffusion_pytorch_model.safetensors"
    save_file(state, file)
    (folder / "config.json").write_text("{}")

    for given in (file, folder, tmp_path):
        assert load(name, given).fingerprint == made.fingerprint
    file.rename(folder / "other.safetensors")
    with pytest.raises(WeightsError, match=r"no weights file at .* holds no diffusion_pytorch"):
        load(name, folder)


def test_statistics_that_lie_beside_the_weights_are_left_out(thin, tmp_path):
    made = load_thin("ltx")
    state = {key: value.contiguous() for key, value in made.network.state_dict().items()}
    state |= {"latents_mean": torch.zeros(128), "latents_std": torch.ones(128)}
    save_file(state, tmp_path / "ltx.safetensors")

    assert load("ltx", tmp_path / "ltx.safetensors").fingerprint == made.fingerprint


def test_weights_of_another_autoencoder_are_refused(thin, tmp_path):
    state = load_thin("wan2.1").network.state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "a.safetensors")

    with pytest.raises(WeightsError, match=r"the weights are not those of wan2\.2"):
        load("wan2.2", tmp_path / "a.safetensors")


@torch.no_grad()
def test_pictures_without_convolutions_beside_the_codes_are_the_librarys(tmp_path, thin):
    """As Stable Diffusion 3 and FLUX.1 have it: the library's own network, in our layers."""
    diffusers = pytest.importorskip("diffusers")
    widths = (32, 64, 128, 128)
    theirs = diffusers.AutoencoderKL(
        latent_channels=16,
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()
    save_file(theirs.state_dict(), tmp_path / "sd3.safetensors")
    ours = load("sd3", tmp_path / "sd3.safetensors").network
    x = torch.rand(1, 3, 40, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    z = theirs.encode(x).latent_dist.mode()

    torch.testing.assert_close(ours.encode(x), z, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.decode(z), theirs.decode(z).sample, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_flux2_is_the_librarys(tmp_path, thin):
    diffusers = pytest.importorskip("diffusers")
    if not hasattr(diffusers, "AutoencoderKLFlux2"):
        pytest.skip("this version of diffusers knows no FLUX.2")
    theirs = diffusers.AutoencoderKLFlux2(block_out_channels=(32, 64, 128, 128)).eval()
    save_file(theirs.state_dict(), tmp_path / "flux2.safetensors")
    ours = load("flux2", tmp_path / "flux2.safetensors").network
    x = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    z = theirs.encode(x).latent_dist.mode()

    torch.testing.assert_close(ours.encode(x), z, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.decode(z), theirs.decode(z).sample, rtol=1e-4, atol=1e-5)


def test_convolutions_that_are_there_are_not_replaced():
    weight = torch.rand(8, 8, 1, 1)
    state = {
        "encoder.conv_out.bias": torch.zeros(8),
        "decoder.conv_in.weight": torch.zeros(6, 4, 3, 3),
        "quant_conv.weight": weight,
        "quant_conv.bias": torch.zeros(8),
    }
    completed = with_quant(state)

    assert completed["quant_conv.weight"] is weight
    assert completed["post_quant_conv.weight"].shape == (4, 4, 1, 1)


def test_without_the_library_the_pip_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)

    with pytest.raises(MissingExtra, match=r"pip install 'plica\[foundation\]'"):
        load("wan2.1", RANDOM)


def test_a_library_that_fails_is_told_from_one_that_is_missing(monkeypatch):
    class Broken:
        def __getattr__(self, name):
            raise RuntimeError("Failed to import it:\noperator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "diffusers", Broken())

    with pytest.raises(MissingExtra, match=r"cannot be imported \(operator torchvision::nms does"):
        load("wan2.1", RANDOM)


def test_published_sources_are_named():
    assert CARDS["sdxl"].weights == WeightsSource(
        "hub", "stabilityai/sdxl-vae", filename="diffusion_pytorch_model.safetensors"
    )
    assert CARDS["maisi"].weights.kind == "file"
