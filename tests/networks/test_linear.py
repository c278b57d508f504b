"""The linear autoencoder lays patches where they were cut."""

from itertools import product

import pytest
import torch

from plica.networks.autoencoder import Autoencoder
from plica.networks.linear import Linear


def whole_patches(dims, factor):
    """Every voxel of a patch is a code: nothing is lost, so a misplaced voxel shows."""
    voxels = factor**dims
    network = Linear(dims=dims, factor=factor, channels=voxels)
    network.analysis[:] = torch.eye(voxels).reshape(network.analysis.shape)
    network.synthesis[(slice(None), slice(None), *[1] * dims)] = torch.eye(voxels)
    return network


@pytest.mark.parametrize(("dims", "factor"), [(2, 4), (2, 8), (3, 2), (3, 4)])
def test_every_voxel_comes_back_to_its_place(dims, factor):
    network = whole_patches(dims, factor)
    assert isinstance(network, Autoencoder)
    sides = [3 * factor, 2 * factor, factor][:dims]
    x = torch.arange(2.0 * torch.tensor(sides).prod()).reshape(2, 1, *sides)
    z = network.encode(x)
    assert z.shape == (2, factor**dims, *[side // factor for side in sides])
    assert torch.equal(network.decode(z), x)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_code_reaches_the_patches_beside_it_and_no_others(dims):
    network = Linear(dims=dims, factor=4, channels=1)
    network.synthesis[:] = 1.0
    z = torch.zeros(1, 1, *[5] * dims)
    z[(0, 0, *[2] * dims)] = 1.0
    seen = network.decode(z)[0, 0].nonzero()
    assert seen.min() == 4
    assert seen.max() == 15
    assert len(seen) == 12**dims


def test_the_codes_of_the_border_are_repeated_outside():
    network = Linear(dims=2, factor=2, channels=1)
    network.synthesis[:] = 1.0
    z = torch.zeros(1, 1, 2, 2)
    z[0, 0, 0, 0] = 1.0
    # the corner sees its own code four times: itself, above, left of it and above left
    for row, column in product(range(2), repeat=2):
        assert network.decode(z)[0, 0, row, column] == 4.0
