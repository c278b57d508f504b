"""A lifted network does to every slice what the flat one did."""

import torch
from tests.networks.made import make_input, make_state

from plica.networks.blocks import ResidualBlock
from plica.networks.kl import KlAutoencoder
from plica.networks.lifting import lift


def test_a_kernel_lies_in_the_middle_of_the_last_axis():
    kernel = torch.arange(9.0).reshape(1, 1, 3, 3)

    lifted = lift({"w": kernel, "b": torch.ones(2)})

    assert torch.equal(lifted["w"][..., 1], kernel)
    assert lifted["w"].abs().sum() == kernel.abs().sum()
    assert torch.equal(lifted["b"], torch.ones(2))


def test_a_kernel_of_one_gets_an_axis_of_one():
    assert lift({"w": torch.ones(2, 3, 1, 1)})["w"].shape == (2, 3, 1, 1, 1)


def test_convolutions_of_a_lifted_block_act_slice_by_slice():
    flat = ResidualBlock(dims=2, width_in=32, width_out=64)
    flat.load_state_dict(make_state(flat))
    solid = ResidualBlock(dims=3, width_in=32, width_out=64)
    solid.load_state_dict(lift(flat.state_dict()))
    slices = make_input("slices", (1, 32, 6, 5))

    with torch.no_grad():
        # The same slice everywhere, so that normalisation, which sees all of them, agrees too.
        volume = solid(slices[..., None].repeat(1, 1, 1, 1, 4))

        torch.testing.assert_close(volume, flat(slices)[..., None].expand_as(volume))


def test_keys_and_shapes_become_those_of_the_3d_network():
    sizes = {"in_channels": 1, "code_channels": 1, "widths": (32, 64), "projection": True}
    with torch.device("meta"):
        flat = KlAutoencoder(dims=2, **sizes).state_dict()
        solid = KlAutoencoder(dims=3, **sizes).state_dict()
    lifted = lift({key: torch.zeros(value.shape) for key, value in flat.items()})

    assert {key: value.shape for key, value in lifted.items()} == {
        key: value.shape for key, value in solid.items()
    }
