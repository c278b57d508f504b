"""The shipped compact codecs are what their cards say, small, cheap, and exact in tiles."""

import csv
import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load

from plica.codecs.catalogue import CODECS, default_name
from plica.codecs.codec import Request
from plica.codecs.compact import INDEX, OFFERS, TRAINED
from plica.codecs.tiling import run_in_tiles
from plica.formats.doors import read
from plica.grid import Grid
from plica.image import Image, Unit
from plica.networks.autoencoder import Pass
from plica.networks.compact import Compact

NAMES = tuple(OFFERS)
MOST_BYTES, MOST_BYTES_TOGETHER = 12e6, 60e6
MOST_TO_ENCODE, MOST_TO_DECODE = 150_000, 300_000


@pytest.fixture(scope="module", params=NAMES)
def codec(request):
    return OFFERS[request.param].build(Request(device="cpu"))


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_card_knows_its_file(name):
    card = OFFERS[name].card
    content = (TRAINED / card.weights.filename).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.weights.sha256
    assert len(content) == card.weights.bytes < MOST_BYTES


def test_every_file_is_of_a_codec_in_the_table_and_all_are_small():
    files = {path.name for path in TRAINED.iterdir()} - {INDEX}
    assert files == {OFFERS[name].card.weights.filename for name in NAMES}
    assert sum((TRAINED / name).stat().st_size for name in files) < MOST_BYTES_TOGETHER
    assert {name for name in CODECS if name.startswith("compact-")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_kernels_lie_in_half_precision_and_are_computed_with_in_single(name):
    stored = load((TRAINED / OFFERS[name].card.weights.filename).read_bytes())
    kernels = [value for key, value in stored.items() if "." in key and value.ndim > 1]
    assert {value.dtype for value in kernels} == {torch.float16}
    network = OFFERS[name].build(Request(device="cpu")).network
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_to_load_one_asks_torch_for_no_compiler():
    """It took two seconds of the first, to draw weights where no memory is."""
    code = "import sys, plica; plica.load('compact-4x1-3d'); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- facts -------------------------------------------------------------------------------------


def test_the_card_says_what_the_network_is(codec):
    card, network = codec.card, codec.network
    encode, decode = network.multiply_adds()
    assert isinstance(network, Compact)
    assert card.name == f"compact-{card.factor}x{card.channels}-{card.dims}d"
    assert card.receptive_field == network.receptive_field
    assert card.tileable
    assert codec.tiles
    assert card.extras["encoder_reach_in_codes"] == network.encoder_reach
    assert card.extras["decoder_reach_in_codes"] == network.decoder_reach
    assert card.extras["parameters"] == sum(one.numel() for one in network.parameters())
    assert card.extras["multiply_adds_per_voxel"] == {
        "encode": round(encode), "decode": round(decode)
    }  # fmt: skip
    assert encode < MOST_TO_ENCODE
    assert decode < MOST_TO_DECODE


def test_the_card_says_who_made_it_from_what_and_how_well(codec):
    card = codec.card
    training = card.extras["training"]
    assert card.licence == "Apache-2.0"
    assert training["recipe"] == card.name
    assert isinstance(training["seed"], int)
    assert {row["split"] for row in training["data"]} <= {"train", "dev-test"}
    for row in training["data"]:
        assert (row["source"] in card.training_data) >= (row["split"] == "train")
    assert all(row["licence"] != "not stated" for row in training["data"])
    assert {row["metric"] for row in training["metrics"]} >= {"psnr", "mae"}
    statistics = card.extras["latent_statistics"]
    assert codec.network.code_mean.tolist() == pytest.approx(statistics["mean"])
    assert codec.network.code_deviation.tolist() == pytest.approx(statistics["deviation"])
    assert abs(card.extras["half_precision"]["mean_change_psnr_db"]) < 0.01


def test_images_without_a_codec_named_get_these(shared):
    assert default_name(_any_image((8, 8, 1))) == "compact-4x3-2d"
    assert default_name(_any_image((8, 8, 8))) == "compact-4x1-3d"


def _any_image(shape):
    from plica.grid import Grid
    from plica.image import Image

    return Image(np.zeros((1, *shape), np.uint8), Grid.from_spacing(shape))


# -- tiles -------------------------------------------------------------------------------------


def _draw(sides: tuple[int, ...]) -> np.ndarray:
    """Smooth hills and noise: as strong codes as real images give."""
    axes = np.meshgrid(*[np.linspace(0, 9, side) for side in sides], indexing="ij")
    hills = np.prod([np.sin(axis + n) for n, axis in enumerate(axes)], axis=0)
    noise = np.random.default_rng(0).normal(0, 0.05, sides)
    return (0.8 * hills + noise).clip(-1, 1).astype(np.float32)[None, None]


@torch.inference_mode()
def test_tiles_give_the_latent_and_the_image_of_the_whole(codec):
    network, factor, dims = codec.network, codec.card.factor, codec.card.dims
    x = _draw((152, 120) if dims == 2 else (72, 56, 40))
    z = network.encode(torch.from_numpy(x)).numpy()
    y = network.decode(torch.from_numpy(z)).numpy()

    there = Pass(network.encode, network.encoder_reach * factor, factor, 1)
    back = Pass(network.decode, network.decoder_reach, 1 / factor, 1)
    tiled = run_in_tiles(there, x, tile=(48,) * dims)
    decoded = run_in_tiles(back, z, tile=(40 // factor,) * dims)

    axes = (0, *range(2, z.ndim))
    assert (np.abs(tiled - z).max(axis=axes) <= 1e-5).all()  # of a deviation, which is 1
    assert np.abs(decoded - y).max() <= 1e-5


# -- few slices --------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [2, 4])
def test_slices_of_a_thin_volume_are_neither_lightened_nor_darkened(codec, slices):
    """Of one cell, whole slices came back 20 to 60 HU off."""
    hills = np.repeat(1000 * _draw((64, 56))[0, 0, ..., None], slices, axis=-1)
    image = Image(hills.astype(np.int16)[None], Grid.from_spacing(hills.shape), Unit.HU)

    latent = codec.encode(image)
    found = codec.decode(latent).pixels.astype(np.float64) - image.pixels

    assert np.abs(found.mean(axis=(0, 1, 2))).max() < 12
    assert latent.codes.shape[3] == (slices if codec.card.dims == 2 else 2)
    assert latent.source.shape == image.grid.shape


# -- latents -----------------------------------------------------------------------------------


def test_codes_of_real_images_are_standardised(codec, shared):
    """Of the images it was trained on, one of each kind; so the bounds are wide."""
    wanted = ("PNG", "JPG") if codec.card.dims == 2 else ("NIfTI",)
    categories = ("cxr", "mammo", "msk-xray") if codec.card.dims == 2 else ("brain-mri", "head-ct")
    with (shared / "data" / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    means, squares = [], []
    for category in categories:
        fitting = [r for r in rows if r["category"] == category and r["format"] in wanted]
        row = min(fitting, key=lambda one: int(one["bytes"]))
        codes = codec.encode(read(shared / "data" / row["path"])).codes
        codes = codes.reshape(-1, codec.card.channels, codes[0].size)[0]
        means.append(codes.mean(axis=1))
        squares.append(np.square(codes).mean(axis=1))

    deviation = np.sqrt(np.mean(squares, axis=0) - np.mean(means, axis=0) ** 2)
    assert (np.abs(np.mean(means, axis=0)) < 1).all()
    assert (deviation > 0.3).all()
    assert (deviation < 3).all()
