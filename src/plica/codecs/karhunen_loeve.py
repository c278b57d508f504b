"""The closed forms of the linear codecs: moments of patches, eigenvectors, normal equations."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError

Float64 = NDArray[np.float64]
Array = NDArray[np.float32]

# Cells of one image that are worked on at once; bounds the memory of the 3D fits.
BLOCK = 2**16


def cut_patches(image: Array, factor: int) -> Float64:
    """An image (*space) as patches (*cells, P), float64; sides must be multiples of the factor."""
    cells = [side // factor for side in image.shape]
    if any(side % factor for side in image.shape) or not all(cells):
        raise InputError(f"an image of {image.shape} voxels has no whole patches of {factor}")
    dims = image.ndim
    split = image.reshape([side for n in cells for side in (n, factor)])
    order = [*range(0, 2 * dims, 2), *range(1, 2 * dims, 2)]
    return split.transpose(order).reshape(*cells, factor**dims).astype(np.float64)


@dataclass
class PatchMoments:
    """Σ w (p − mean p)(p − mean p)ᵀ over patches: what is left once each patch's mean is known.

    The moments are those of the patches and of all their mirror images, so that every direction
    is either even or odd along each axis, and no side is preferred.
    """

    factor: int
    dims: int
    weight: float = 0.0
    total: Float64 = field(init=False)

    def __post_init__(self) -> None:
        self.total = np.zeros((self.voxels, self.voxels))

    @property
    def voxels(self) -> int:
        """Of a patch."""
        return self.factor**self.dims

    def add(self, patches: Float64, weight: float) -> None:
        """Add patches (…, P), each with `weight`."""
        rest = patches.reshape(-1, self.voxels)
        for start in range(0, len(rest), BLOCK):
            block = rest[start : start + BLOCK]
            block = block - block.mean(axis=1, keepdims=True)
            self.total += weight * (block.T @ block)
        self.weight += weight * len(rest)

    @property
    def covariance(self) -> Float64:
        """Mean over the patches and their mirror images."""
        mean = self.total / self.weight
        for mirror in mirrors(self.factor, self.dims):
            mean = (mean + mean[np.ix_(mirror, mirror)]) / 2
        return mean

    def basis(self, channels: int) -> Float64:
        """W (channels, P): a constant row, then the strongest directions of what it leaves.

        The constant comes first so that constant images are kept exactly. The patches without
        their means are orthogonal to it, so their eigenvectors are, too.
        """
        _, vectors = np.linalg.eigh(self.covariance)
        strongest = vectors[:, ::-1][:, : channels - 1].T
        # eigh leaves the sign open; any fixed direction that no eigenvector is orthogonal to
        # settles it, and growing numbers make ramps point the way the axes do.
        signs = np.sign(strongest @ np.sqrt(np.arange(1.0, self.voxels + 1.0)))
        constant = np.full((1, self.voxels), self.voxels**-0.5)
        return np.concatenate([constant, strongest * signs[:, None]])


def mirrors(side: int, dims: int) -> list[NDArray[np.intp]]:
    """For each axis, where the cells of a cube (side, …) go when it is mirrored along it."""
    cube = np.arange(side**dims).reshape([side] * dims)
    return [np.flip(cube, axis).ravel() for axis in range(dims)]


@dataclass
class NormalEquations:
    """Least squares for a patch, its mean taken off, from the codes around it.

    The features φ are the codes of the neighbours and the patch's own; the first code of each
    neighbour enters as its difference from the patch's own. So whatever the coefficients C are,
    adding a constant to the image adds it to the estimate φᵀC + mean.

    The equations solved are those of the images and of all their mirror images: a decoder that
    preferred a side would shift images by a part of a voxel.
    """

    basis: Float64
    dims: int
    weight: float = 0.0
    features: Float64 = field(init=False)  # Σ w φφᵀ
    products: Float64 = field(init=False)  # Σ w φtᵀ
    energy: float = 0.0  # Σ w |t|²

    def __post_init__(self) -> None:
        channels, voxels = self.basis.shape
        count = channels * 3**self.dims
        self.features = np.zeros((count, count))
        self.products = np.zeros((count, voxels))

    def add(self, patches: Float64, weight: float) -> None:
        """Add the patches (*cells, P) of one image, each with `weight`."""
        voxels = self.basis.shape[1]
        codes = patches @ self.basis.T / np.sqrt(voxels)
        flat = patches.reshape(-1, voxels)
        around = neighbourhoods(codes, self.dims).reshape(len(flat), -1)
        for start in range(0, len(flat), BLOCK):
            t = flat[start : start + BLOCK]
            t = t - t.mean(axis=1, keepdims=True)
            phi = around[start : start + BLOCK]
            self.features += weight * (phi.T @ phi)
            self.products += weight * (phi.T @ t)
            self.energy += weight * float(np.vdot(t, t))
        self.weight += weight * len(flat)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        both = NormalEquations(self.basis, self.dims, self.weight + other.weight)
        both.features = self.features + other.features
        both.products = self.products + other.products
        both.energy = self.energy + other.energy
        return both

    def solve(self, ridge: float) -> Float64:
        """C (features, P), with `ridge` times the mean feature energy on the diagonal.

        The patch's own mean minus itself is a feature of zeros; the ridge gives it the coefficient
        zero.
        """
        features, products = self._with_mirror_images()
        penalty = ridge * np.trace(features) / len(features)
        return np.linalg.solve(features + penalty * np.eye(len(features)), products)

    def _with_mirror_images(self) -> tuple[Float64, Float64]:
        """Σ φφᵀ and Σ φtᵀ averaged over mirror images.

        Mirroring an image moves its neighbours and voxels about and turns the sign of the codes
        whose direction is odd.
        """
        channels, voxels = self.basis.shape
        features, products = self.features, self.products
        neighbours = mirrors(3, self.dims)
        places = mirrors(round(voxels ** (1 / self.dims)), self.dims)
        for neighbour, place in zip(neighbours, places, strict=True):
            parity = np.sign(np.sum(self.basis * self.basis[:, place], axis=1))
            order = (neighbour[:, None] * channels + np.arange(channels)).ravel()
            signs = np.tile(parity, len(neighbour))
            turned = features[np.ix_(order, order)] * np.outer(signs, signs)
            features = (features + turned) / 2
            products = (products + (products[order] * signs[:, None])[:, place]) / 2
        return features, products

    def transpose_solution(self) -> Float64:
        """C of the plain transform back, Wᵀ√P at the patch itself."""
        channels, voxels = self.basis.shape
        coefficients = np.zeros((3**self.dims, channels, voxels))
        coefficients[3**self.dims // 2, 1:] = self.basis[1:] * np.sqrt(voxels)
        return coefficients.reshape(-1, voxels)

    def error(self, coefficients: Float64) -> float:
        """Mean squared error per voxel of an estimate on the images added."""
        C = coefficients  # noqa: N806  the letter of the docstring
        squares = self.energy - 2 * np.vdot(C, self.products) + np.vdot(C, self.features @ C)
        return float(squares / (self.weight * self.basis.shape[1]))


def neighbourhoods(codes: Float64, dims: int) -> Float64:
    """Features (*cells, 3 ** dims, channels): the codes around each cell, repeated at the border.

    The first code is given as the difference from the cell's own.
    """
    padded = np.pad(codes, [(1, 1)] * dims + [(0, 0)], mode="edge")
    cells = codes.shape[:dims]
    shifted = [
        padded[tuple(slice(o, o + n) for o, n in zip(offset, cells, strict=True))]
        for offset in product(range(3), repeat=dims)
    ]
    around = np.stack(shifted, axis=-2)
    around[..., 0] -= codes[..., None, 0]
    return around


def synthesis_kernel(coefficients: Float64, dims: int, channels: int) -> Array:
    """C as a convolution over codes (P, channels, 3, …): the differences multiplied out."""
    voxels = coefficients.shape[1]
    kernel = coefficients.reshape(3**dims, channels, voxels).copy()
    centre = 3**dims // 2
    # Σ_n C_n (z_n − z) + z = Σ_{n≠0} C_n z_n + (1 + C_0 − Σ_n C_n) z
    kernel[centre, 0] += 1.0 - kernel[:, 0].sum(axis=0)
    return np.ascontiguousarray(
        kernel.transpose(2, 1, 0).reshape(voxels, channels, *[3] * dims), dtype=np.float32
    )


def analysis_kernel(basis: Float64, dims: int) -> Array:
    """W / √P as a convolution (channels, 1, factor, …)."""
    channels, voxels = basis.shape
    factor = round(voxels ** (1 / dims))
    kernel = (basis / np.sqrt(voxels)).reshape(channels, 1, *[factor] * dims)
    # safetensors writes the memory as it lies, whatever the strides say
    return np.ascontiguousarray(kernel, dtype=np.float32)
