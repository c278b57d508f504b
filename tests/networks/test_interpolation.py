"""Resampling agrees with PyTorch and Pillow, and leaves everything in its place."""

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torch.nn import functional

from plica.networks.autoencoder import Autoencoder
from plica.networks.interpolation import SUPPORT, Interpolation

FACTORS = (2, 4, 8, 16)


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_both_ways_are_pytorchs_antialiased_interpolate(kernel, factor):
    network = Interpolation(kernel=kernel, dims=2, factor=factor)
    x = noise(2, 1, 5 * factor, 3 * factor)
    z = network.encode(x)
    torch.testing.assert_close(
        z,
        functional.interpolate(x, size=z.shape[2:], mode=kernel, antialias=True),
        atol=2e-6,
        rtol=1e-5,
    )
    torch.testing.assert_close(
        network.decode(z),
        functional.interpolate(z, size=x.shape[2:], mode=kernel, antialias=True),
        atol=2e-6,
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("kernel", "filter_of_pillow"),
    [
        ("lanczos", Picture.Resampling.LANCZOS),
        ("bicubic", Picture.Resampling.BICUBIC),
        ("bilinear", Picture.Resampling.BILINEAR),
        ("area", Picture.Resampling.BOX),
        ("nearest", Picture.Resampling.NEAREST),
    ],
)
@pytest.mark.parametrize("factor", FACTORS)
def test_both_ways_are_pillows_resize(kernel, filter_of_pillow, factor):
    network = Interpolation(kernel=kernel, dims=2, factor=factor)
    x = noise(1, 1, 9 * factor, 4 * factor)
    z = network.encode(x)
    for ours, source in ((z, x), (network.decode(z), z)):
        picture = Picture.fromarray(source[0, 0].numpy())
        theirs = np.array(picture.resize(tuple(ours.shape[:1:-1]), filter_of_pillow))
        np.testing.assert_allclose(ours[0, 0].numpy(), theirs, atol=3e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_area_and_nearest_are_pytorchs(dims):
    x = noise(2, 1, *(12, 8, 16)[:dims])
    area = Interpolation(kernel="area", dims=dims, factor=4).encode(x)
    torch.testing.assert_close(area, functional.interpolate(x, scale_factor=0.25, mode="area"))
    nearest = Interpolation(kernel="nearest", dims=dims, factor=4)
    z = nearest.encode(x)
    torch.testing.assert_close(
        z, functional.interpolate(x, scale_factor=0.25, mode="nearest-exact"), rtol=0, atol=0
    )
    torch.testing.assert_close(
        nearest.decode(z), functional.interpolate(z, scale_factor=4, mode="nearest"), rtol=0, atol=0
    )


@pytest.mark.parametrize("kernel", SUPPORT)
def test_a_volume_constant_along_an_axis_is_the_picture(kernel):
    flat = Interpolation(kernel=kernel, dims=2, factor=4)
    solid = Interpolation(kernel=kernel, dims=3, factor=4)
    x = noise(1, 1, 16, 12)
    volume = x[..., None].expand(1, 1, 16, 12, 8)
    z = solid.encode(volume)
    torch.testing.assert_close(z, flat.encode(x)[..., None].expand_as(z), atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(
        solid.decode(z)[..., 3], flat.decode(flat.encode(x)), atol=3e-6, rtol=1e-5
    )


@pytest.mark.parametrize("kernel", SUPPORT)
@pytest.mark.parametrize("dims", [2, 3])
def test_codes_of_a_ramp_are_its_values_in_the_middle_of_their_cells(kernel, dims):
    factor, side = 4, 48
    index = torch.arange(side, dtype=torch.float32)
    shape = (side, side, side)[:dims]
    middle = torch.arange(side // factor) * factor + (factor - 1) / 2
    if kernel == "nearest":
        middle = middle + 0.5  # the voxel that is kept, as the module says
    inner = slice(3, -3)
    for axis in range(dims):
        view = [-1 if n == axis else 1 for n in range(dims)]
        x = index.reshape(view).expand(shape)[None, None]
        z = Interpolation(kernel=kernel, dims=dims, factor=factor).encode(x)
        line = z[0, 0].movedim(axis, 0).reshape(side // factor, -1)
        expected = middle[:, None].expand_as(line)
        torch.testing.assert_close(line[inner], expected[inner], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_a_ramp_comes_back_as_itself_away_from_the_border(kernel):
    x = torch.arange(96.0).reshape(96, 1).expand(96, 96)[None, None]
    network = Interpolation(kernel=kernel, dims=2, factor=4)
    back = network.decode(network.encode(x))
    torch.testing.assert_close(back[..., 24:-24, :], x[..., 24:-24, :], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kernel", SUPPORT)
@pytest.mark.parametrize("dims", [2, 3])
def test_a_constant_is_kept_to_the_border(kernel, dims):
    network = Interpolation(kernel=kernel, dims=dims, factor=8)
    assert isinstance(network, Autoencoder)
    x = torch.full((1, 1, *(16, 24, 8)[:dims]), -0.7)
    torch.testing.assert_close(network.decode(network.encode(x)), x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kernel", SUPPORT)
def test_the_type_of_the_input_is_kept(kernel):
    network = Interpolation(kernel=kernel, dims=2, factor=4)
    assert network.decode(network.encode(torch.zeros(1, 1, 8, 8).double())).dtype == torch.float64


def test_an_odd_factor_is_refused():
    with pytest.raises(ValueError, match="even"):
        Interpolation(kernel="area", dims=2, factor=3)
