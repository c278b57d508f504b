"""The shipped linear codecs are what their cards say, and put everything back in its place."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from plica.codecs.codec import Request
from plica.codecs.linear import FITTED, OFFERS
from plica.errors import LatentError, UnknownName, WeightsError
from plica.grid import Grid
from plica.image import Image, Unit

NAMES = tuple(OFFERS)
FLAT = tuple(name for name in NAMES if OFFERS[name].card.dims == 2)


@pytest.fixture(scope="module", params=NAMES)
def codec(request):
    return OFFERS[request.param].build(Request(device="cpu"))


def image_for(codec, shape=(50, 41, 19), dtype=np.int16):
    shape = shape if codec.card.dims == 3 else (*shape[:2], 1)
    i, j, k = np.meshgrid(*[np.linspace(0, 2, side) for side in shape], indexing="ij")
    pixels = (600 * np.sin(i) * np.cos(j) + 100 * k)[None].astype(dtype)
    affine = np.array([[-0.7, 0, 0, 90], [0, -0.7, 0.1, 80], [0, 0.1, 1.5, -300], [0, 0, 0, 1]])
    return Image(pixels, Grid(shape, affine), Unit.HU)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_knows_its_file(name):
    card = OFFERS[name].card
    content = (FITTED / card.weights.filename).read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.weights.sha256
    assert len(content) == card.weights.bytes < 60_000
    assert card.tileable
    assert card.receptive_field == card.factor
    assert card.training_data


def test_an_image_comes_back_on_its_own_grid_in_its_own_type(codec):
    image = image_for(codec)
    latent = codec.encode(image)
    assert latent.codes.shape[0] == codec.card.channels
    decoded = codec.decode(latent)
    assert decoded.grid.agrees_with(image.grid)
    assert decoded.pixels.dtype == image.pixels.dtype
    assert decoded.unit is Unit.HU
    assert np.abs(decoded.pixels.astype(float) - image.pixels).mean() < 2 * codec.card.factor


def test_the_directions_are_orthonormal(codec):
    factor, dims = codec.card.factor, codec.card.dims
    rows = codec.network.analysis.reshape(codec.card.channels, -1).double()
    gram = rows @ rows.T * factor**dims
    torch.testing.assert_close(gram, torch.eye(len(rows)).double(), atol=1e-5, rtol=0)


def test_constants_are_kept_to_rounding(codec):
    x = torch.full((1, 1, *[3 * codec.card.factor] * codec.card.dims), 0.37)
    z = codec.network.encode(x)
    torch.testing.assert_close(z[:, :1], torch.full_like(z[:, :1], 0.37), atol=1e-6, rtol=0)
    torch.testing.assert_close(codec.network.decode(z), x, atol=1e-5, rtol=0)


def test_mirrored_images_have_mirrored_results(codec):
    """So a decoder shifts nothing to either side."""
    factor, dims = codec.card.factor, codec.card.dims
    x = torch.randn(1, 1, *[4 * factor] * dims, generator=torch.Generator().manual_seed(1))
    network = codec.network
    there = network.decode(network.encode(x))
    for axis in range(2, 2 + dims):
        back = network.decode(network.encode(x.flip(axis))).flip(axis)
        torch.testing.assert_close(back, there, atol=2e-4, rtol=0)


def test_a_ramp_keeps_its_world_coordinates(codec):
    """The middle of the codes' values stands where the latent's grid says, along each axis."""
    image = image_for(codec, (48, 64, 32))
    x, _, _ = np.moveaxis(
        image.grid.to_world(np.moveaxis(np.indices(image.grid.shape), 0, -1)), -1, 0
    )
    ramp = image.with_pixels(x[None].astype(np.float32), unit=Unit.RELATIVE)
    latent = codec.encode(ramp)
    indices = np.moveaxis(np.indices(latent.grid.shape), 0, -1)
    expected = latent.grid.to_world(indices)[..., 0]
    scale = np.ptp(ramp.pixels) / 2
    values = latent.codes[0] * scale + (ramp.pixels.max() + ramp.pixels.min()) / 2
    inner = tuple(slice(0, side // codec.card.factor) for side in (48, 64, 32))
    np.testing.assert_allclose(values[inner], expected[inner], atol=1e-3)
    decoded = codec.decode(latent).pixels[0].astype(np.float64)
    cells = np.mean(decoded.reshape(48 // codec.card.factor, codec.card.factor, -1), axis=(1, 2))
    lines = expected.mean(axis=(1, 2))
    assert np.abs(cells - lines)[1:-1].max() < 0.02 * 0.7  # of a voxel


def test_tiles_with_one_code_around_them_give_the_same_result(codec):
    network, factor = codec.network, codec.card.factor
    x = torch.randn(
        1, 1, *[6 * factor] * codec.card.dims, generator=torch.Generator().manual_seed(0)
    )
    z = network.encode(x)
    part = (slice(None), slice(None), slice(2 * factor, 5 * factor))
    codes = (slice(None), slice(None), slice(2, 5))
    torch.testing.assert_close(network.encode(x[part]), z[codes], atol=1e-5, rtol=0)
    halo = (slice(None), slice(None), slice(1, 6))
    inner = (slice(None), slice(None), slice(factor, 4 * factor))
    torch.testing.assert_close(
        network.decode(z[halo])[inner], network.decode(z)[part], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", FLAT)
def test_a_slice_of_a_volume_is_folded_as_that_slice_alone(name):
    codec = OFFERS[name].build(Request(device="cpu"))
    pixels = np.random.default_rng(0).integers(0, 255, (1, 32, 24, 3)).astype(np.uint8)
    affine = np.diag([-1.0, -1.0, 4.0, 1.0])
    whole = codec.encode(Image(pixels, Grid((32, 24, 3), affine), Unit.DISPLAY))
    single = codec.encode(Image(pixels[..., 1:2], Grid((32, 24, 1), affine), Unit.DISPLAY))
    np.testing.assert_array_equal(whole.codes[..., 1:2], single.codes)


def test_weights_of_the_user_make_another_fingerprint(tmp_path):
    offer = OFFERS["linear-4x1-2d"]
    tensors = load((FITTED / offer.card.weights.filename).read_bytes())
    tensors["synthesis"] = tensors["synthesis"] * 0.5
    (tmp_path / "w.safetensors").write_bytes(save(tensors))
    changed = offer.build(Request(weights=tmp_path / "w.safetensors", device="cpu"))
    own = offer.build(Request(device="cpu"))
    assert changed.fingerprint != own.fingerprint
    latent = own.encode(image_for(own))
    with pytest.raises(LatentError, match="other weights"):
        changed.decode(latent)
    assert replace(latent).codes.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("analysis"), r"1 missing \(analysis\)"),
        (lambda tensors: tensors.update(more=torch.zeros(1)), r"1 unexpected \(more\)"),
        (lambda tensors: tensors.update(analysis=torch.zeros(3, 1, 4, 4)), "of another shape"),
        (lambda tensors: tensors["analysis"].fill_(torch.nan), "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, message):
    offer = OFFERS["linear-4x1-2d"]
    tensors = load((FITTED / offer.card.weights.filename).read_bytes())
    change(tensors)
    (tmp_path / "w.safetensors").write_bytes(save(tensors))
    with pytest.raises(WeightsError, match=message):
        offer.build(Request(weights=tmp_path / "w.safetensors"))


def test_files_that_are_no_weights_are_refused(tmp_path):
    offer = OFFERS["linear-4x1-2d"]
    with pytest.raises(WeightsError, match="no weights file"):
        offer.build(Request(weights=tmp_path / "none"))
    (tmp_path / "w").write_bytes(b"\x80\x04pickle?")
    with pytest.raises(WeightsError, match="neither safetensors nor"):
        offer.build(Request(weights=tmp_path / "w"))
    with pytest.raises(UnknownName, match="no option 'rate'"):
        offer.build(Request(options={"rate": 1}))
