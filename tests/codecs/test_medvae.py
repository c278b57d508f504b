"""MedVAE's codecs load checkpoints of the official layout, and nothing else."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.networks.made import GOLDEN, make_input, save_checkpoint

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import load
from plica.codecs.medvae import OFFERS, picture_steps, volume_steps
from plica.errors import LatentError, SettingsError, UnknownName, WeightsError
from plica.grid import Grid
from plica.image import Image, Unit
from plica.preparation.minmax import MinMax
from plica.preparation.reorient import Reorient
from plica.preparation.window import Window


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Made checkpoints in the official layout, one with adapters; 445 MB, gone at the end."""
    folder = tmp_path_factory.mktemp("medvae")
    paths = {
        name: save_checkpoint(name, folder / f"{name}.ckpt")
        for name in ("medvae_4_1_2d", "medvae_4_3_2d")
    }
    yield paths
    for path in paths.values():
        path.unlink()


@pytest.fixture(scope="module")
def codec(checkpoints):
    return load("medvae-4x1-2d", weights=checkpoints["medvae_4_1_2d"], device="cpu")


def picture(unit: Unit, dtype, low: float, high: float) -> Image:
    ramp = np.linspace(low, high, 37 * 30).reshape(1, 37, 30, 1)
    return Image(ramp.astype(dtype), Grid.from_spacing((37, 30, 1)), unit)


def test_cards_say_what_the_published_table_says():
    facts = {
        name: (offer.card.total_factor, offer.card.channels, offer.card.in_channels)
        for name, offer in OFFERS.items()
    }

    assert facts == {
        "medvae-4x1-2d": (16, 1, 1),
        "medvae-4x3-2d": (16, 3, 3),
        "medvae-8x1-2d": (64, 1, 1),
        "medvae-8x4-2d": (64, 4, 3),
        "medvae-4x1-3d": (64, 1, 1),
        "medvae-8x1-3d": (512, 1, 1),
    }
    assert all(offer.card.latents == ("raw", "projected") for offer in OFFERS.values())
    files = {name: offer.card.weights.filename for name, offer in OFFERS.items()}
    assert files["medvae-4x3-2d"] == "model_weights/vae_4x_3c_2D.ckpt"
    assert files["medvae-8x1-3d"] == "model_weights/vae_8x_1c_3D.ckpt"
    assert not any(offer.card.tileable for offer in OFFERS.values())


@pytest.mark.parametrize("module", ["medvae", "latentdiffusion"])
def test_listing_cards_does_not_load_torch(module):
    code = f"import sys, plica.codecs.{module} as m; m.OFFERS; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_cards_survive_json():
    for offer in OFFERS.values():
        assert CodecCard.from_json(offer.card.to_json()) == offer.card


@pytest.mark.parametrize("name", ["medvae_4_1_2d", "medvae_4_3_2d"])
def test_an_official_checkpoint_gives_the_published_values(name, checkpoints):
    golden = np.load(GOLDEN / f"{name}.npz")
    family, factor, channels, dims = name.split("_")
    codec = load(f"{family}-{factor}x{channels}-{dims}", weights=checkpoints[name], device="cpu")

    with torch.inference_mode():
        found = codec.network.encode(make_input(name, golden["input_shape"])).numpy()

    assert np.abs(found - golden["mean"]).max() / np.abs(golden["mean"]).max() < 1e-4


def test_a_ct_is_windowed_and_all_else_scaled_to_its_range():
    ct = picture(Unit.HU, np.int16, -1024, 3000)
    mr = picture(Unit.RELATIVE, np.float32, 0, 900)

    assert picture_steps(ct) == (Window(-1000.0, 1000.0),)
    assert picture_steps(mr) == (MinMax(),)
    assert volume_steps(ct) == (Reorient("RAS"), Window(-1000.0, 1000.0))
    assert volume_steps(mr) == (Reorient("RAS"), MinMax())


@pytest.mark.parametrize(
    ("unit", "dtype", "low", "high"),
    [(Unit.HU, np.int16, -1024, 3000), (Unit.DISPLAY, np.uint8, 3, 250)],
)
def test_an_image_comes_back_on_its_grid(codec, unit, dtype, low, high):
    image = picture(unit, dtype, low, high)

    latent = codec.encode(image)
    decoded = codec.decode(latent)

    assert latent.codes.shape == (1, 10, 8, 1)
    assert latent.codec.fingerprint == codec.fingerprint
    assert np.array_equal(latent.codes, codec.encode(image).codes)
    assert decoded.grid.agrees_with(image.grid, 1e-3)
    assert decoded.unit is unit
    assert decoded.pixels.dtype == dtype
    assert decoded.pixels.shape == image.pixels.shape


def test_a_sample_is_drawn_by_its_seed(codec):
    image = picture(Unit.DISPLAY, np.uint8, 3, 250)
    mean = codec.encode(image).codes

    assert np.array_equal(codec.encode(image, seed=1).codes, codec.encode(image, seed=1).codes)
    assert not np.array_equal(codec.encode(image, seed=1).codes, codec.encode(image, seed=2).codes)
    assert not np.array_equal(codec.encode(image, seed=1).codes, mean)


def test_the_projected_latent_is_for_classifiers_only(codec):
    image = picture(Unit.DISPLAY, np.uint8, 3, 250)

    projected = codec.encode(image, kind="projected")

    assert projected.codes.shape == codec.encode(image).codes.shape
    assert not np.allclose(projected.codes, codec.encode(image).codes)
    with pytest.raises(LatentError):
        codec.decode(projected)


def test_weights_of_another_model_are_refused_by_name(checkpoints):
    with pytest.raises(WeightsError) as caught:
        load("medvae-8x1-2d", weights=checkpoints["medvae_4_1_2d"], device="cpu")

    message = str(caught.value)
    assert "not those of medvae-8x1-2d" in message
    assert "44 missing (encoder.down.2.downsample.conv.weight" in message


def test_2d_weights_enter_a_3d_codec_only_when_they_are_to_be_lifted(checkpoints):
    path = checkpoints["medvae_4_1_2d"]

    with pytest.raises(WeightsError, match=r"of another shape \(encoder\.conv_in\.weight"):
        load("medvae-4x1-3d", weights=path, device="cpu")
    lifted = load("medvae-4x1-3d", weights=path, device="cpu", lift=True)

    flat = torch.load(path, weights_only=True)["state_dict"]["encoder.conv_in.weight"]
    assert torch.equal(lifted.network.encoder.conv_in.weight[..., 1], flat)
    volume = make_input("lifted", (1, 1, 8, 8, 8)).numpy()[0]
    image = Image(volume, Grid.from_spacing((8, 8, 8)))
    latent = lifted.encode(image)
    assert latent.codes.shape == (1, 2, 2, 2)
    projected = lifted.network.project(torch.from_numpy(latent.codes[None]))
    assert np.allclose(lifted.encode(image, kind="projected").codes, projected[0], atol=1e-5)


def test_lift_is_true_or_false(checkpoints):
    with pytest.raises(SettingsError, match="'no'"):
        load("medvae-4x1-3d", weights=checkpoints["medvae_4_1_2d"], device="cpu", lift="no")


def test_options_it_does_not_have_are_refused(checkpoints):
    with pytest.raises(UnknownName, match="lift"):
        load("medvae-4x1-2d", weights=checkpoints["medvae_4_1_2d"], device="cpu", lift=True)
