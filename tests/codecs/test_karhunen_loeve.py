"""The closed forms of the linear codecs are the ones of the textbook."""

from itertools import product

import numpy as np
import pytest
import torch

from plica.codecs.karhunen_loeve import (
    NormalEquations,
    PatchMoments,
    analysis_kernel,
    cut_patches,
    synthesis_kernel,
)
from plica.errors import InputError
from plica.networks.linear import Linear


def texture(*shape, seed=3):
    """Noise blurred along each axis by a different amount, and a ramp: neighbours are alike."""
    image = np.random.default_rng(seed).standard_normal(shape)
    for axis in range(len(shape)):
        for _ in range(2 + axis):
            image = (image + np.roll(image, 1, axis)) / 2
    return (image + np.linspace(-1, 1, shape[0]).reshape(-1, *[1] * (len(shape) - 1))).astype("f4")


def mirrored(image):
    """The image averaged with its mirror images: its moments are those the fit makes of them."""
    for axis in range(image.ndim):
        image = (image + np.flip(image, axis)) / 2
    return image


def fitted(image, factor, channels):
    patches = cut_patches(image, factor)
    moments = PatchMoments(factor, image.ndim)
    moments.add(patches, 1.0)
    equations = NormalEquations(moments.basis(channels), image.ndim)
    equations.add(patches, 1.0)
    return moments, equations


def discarded(moments, channels):
    """The mean squared error per patch of W Wᵀ: the sum of the eigenvalues left out."""
    values = np.linalg.eigvalsh(moments.covariance)
    return values[: moments.voxels - channels + 1].sum()


def network_of(equations, coefficients, factor):
    channels = len(equations.basis)
    network = Linear(dims=equations.dims, factor=factor, channels=channels)
    network.analysis[:] = torch.from_numpy(analysis_kernel(equations.basis, equations.dims))
    network.synthesis[:] = torch.from_numpy(
        synthesis_kernel(coefficients, equations.dims, channels)
    )
    return network


def mean_squared_error(network, image):
    x = torch.from_numpy(image)[None, None]
    return float(((network.decode(network.encode(x)) - x) ** 2).mean())


def test_patches_are_cut_in_the_order_of_the_network():
    image = np.arange(8 * 12, dtype=np.float32).reshape(8, 12)
    patches = cut_patches(image, 4)
    assert patches.shape == (2, 3, 16)
    np.testing.assert_array_equal(patches[1, 2].reshape(4, 4), image[4:8, 8:12])
    with pytest.raises(InputError, match="no whole patches of 5"):
        cut_patches(image, 5)


@pytest.mark.parametrize("channels", [1, 2, 3, 16])
def test_the_basis_is_orthonormal_and_begins_with_the_constant(channels):
    moments, _ = fitted(texture(64, 48), 4, channels)
    basis = moments.basis(channels)
    np.testing.assert_allclose(basis @ basis.T, np.eye(channels), atol=1e-10)
    np.testing.assert_allclose(basis[0], 0.25)


def test_on_gaussian_patches_the_error_is_the_sum_of_the_discarded_eigenvalues():
    rng = np.random.default_rng(0)
    variances = np.array([9.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.05])
    # even and odd along both axes, orthonormal, and orthogonal to the constant left out
    line = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    axes = np.kron(line, line)[1:].T
    patches = rng.standard_normal((200_000, 8)) * np.sqrt(variances) @ axes.T
    patches += rng.standard_normal((200_000, 1))
    moments = PatchMoments(3, 2)
    moments.add(patches, 0.5)
    assert moments.weight == 100_000
    basis = moments.basis(4)
    np.testing.assert_allclose(np.abs(basis[1:] @ axes)[:, :3], np.eye(3), atol=0.02)
    kept = patches @ basis.T @ basis
    error = np.mean(np.sum((patches - kept) ** 2, axis=1))
    assert error == pytest.approx(discarded(moments, 4), rel=1e-9)
    assert error == pytest.approx(variances[3:].sum(), rel=0.02)


@pytest.mark.parametrize(("shape", "factor", "channels"), [((48, 64), 4, 3), ((16, 24, 16), 4, 2)])
def test_the_error_of_the_equations_is_the_error_of_the_network(shape, factor, channels):
    image = texture(*shape)
    moments, equations = fitted(image, factor, channels)
    plain = equations.transpose_solution()
    solved = equations.solve(1e-9)
    for coefficients in (plain, solved):
        network = network_of(equations, coefficients, factor)
        assert mean_squared_error(network, image) == pytest.approx(
            equations.error(coefficients), rel=1e-3
        )
    voxels = factor ** len(shape)
    assert equations.error(plain) == pytest.approx(discarded(moments, channels) / voxels, rel=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_least_squares_is_never_worse_than_the_transform_on_what_it_was_fitted_on(channels):
    for seed in range(3):
        _, equations = fitted(mirrored(texture(64, 64, seed=seed)), 4, channels)
        solved, plain = equations.solve(1e-12), equations.transpose_solution()
        assert equations.error(solved) < equations.error(plain)
        nearby = solved + 1e-3 * np.random.default_rng(seed).standard_normal(solved.shape)
        assert equations.error(solved) < equations.error(nearby)


def test_least_squares_agrees_with_numpys():
    image = mirrored(texture(40, 40))
    _, equations = fitted(image, 4, 2)
    patches = cut_patches(image, 4).reshape(-1, 16)
    network = network_of(equations, equations.solve(1e-13), 4)
    codes = network.encode(torch.from_numpy(image)[None, None])[0].numpy()
    padded = np.pad(codes, [(0, 0), (1, 1), (1, 1)], mode="edge")
    places = product(range(3), range(3), range(2))
    around = [padded[c, i : i + 10, j : j + 10].ravel() for i, j, c in places]
    features = np.stack(around, axis=1).astype(np.float64)
    features[:, ::2] -= codes[0].ravel()[:, None]
    target = patches - patches.mean(1, keepdims=True)
    best, *_ = np.linalg.lstsq(features, target, rcond=1e-7)
    expected = np.mean((features @ best - target) ** 2)
    assert mean_squared_error(network, image) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("shape", "factor"), [((40, 40), 4), ((16, 16, 16), 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_adding_a_constant_adds_it_to_the_result(shape, factor, channels):
    _, equations = fitted(texture(*shape), factor, channels)
    network = network_of(equations, equations.solve(1e-9), factor)
    x = torch.from_numpy(texture(*shape, seed=9))[None, None]
    torch.testing.assert_close(
        network.decode(network.encode(x + 0.5)),
        network.decode(network.encode(x)) + 0.5,
        atol=1e-5,
        rtol=0,
    )
    torch.testing.assert_close(
        network.encode(x)[:, :1],
        torch.nn.functional.interpolate(x, scale_factor=1 / factor, mode="area"),
        atol=1e-5,
        rtol=0,
    )


def test_sums_of_equations_are_those_of_both_images():
    a, b = texture(32, 32), texture(24, 40, seed=5)
    moments, _ = fitted(a, 4, 3)
    basis = moments.basis(3)
    apart = [NormalEquations(basis, 2), NormalEquations(basis, 2)]
    both = NormalEquations(basis, 2)
    for equations, image, weight in zip(apart, (a, b), (1.0, 0.3), strict=True):
        equations.add(cut_patches(image, 4), weight)
        both.add(cut_patches(image, 4), weight)
    total = apart[0] + apart[1]
    np.testing.assert_allclose(total.features, both.features)
    np.testing.assert_allclose(total.solve(1e-9), both.solve(1e-9), atol=1e-7)
    assert total.error(both.solve(1e-9)) == pytest.approx(both.error(both.solve(1e-9)))


@pytest.mark.parametrize(("shape", "channels"), [((32, 40), 4), ((16, 24, 16), 3)])
def test_the_fit_is_that_of_the_image_and_all_its_mirror_images(shape, channels):
    image = texture(*shape)
    moments = PatchMoments(4, len(shape))
    explicit = PatchMoments(4, len(shape))
    flips = list(product((1, -1), repeat=len(shape)))
    several = [image[tuple(slice(None, None, sign) for sign in signs)] for signs in flips]
    moments.add(cut_patches(image, 4), 1.0)
    for each in several:
        explicit.add(cut_patches(each, 4), 1.0)
    basis = moments.basis(channels)
    np.testing.assert_allclose(basis, explicit.basis(channels), atol=1e-9)
    one, all_of_them = NormalEquations(basis, len(shape)), NormalEquations(basis, len(shape))
    one.add(cut_patches(image, 4), 1.0)
    for each in several:
        all_of_them.add(cut_patches(each, 4), 1.0)
    np.testing.assert_allclose(one.solve(1e-6), all_of_them.solve(1e-6), atol=1e-7)
