"""A lifted network does to every slice what the flat one did."""

import pytest
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


@pytest.mark.parametrize("slices", [4, 8, 12])
@pytest.mark.parametrize(
    "sizes",
    [
        {"code_channels": 1, "widths": (32, 64, 64)},
        {"code_channels": 3, "widths": (32, 32, 64), "attention_levels": (1,)},
    ],
)
def test_a_lifted_network_gives_a_constant_stack_what_the_flat_one_gives_a_slice(sizes, slices):
    """The rule MedVAE's 3D training begins by: true in every slice, the borders included.

    Zeros stand around the lifted kernels, so that neither padding nor the uneven windows of the
    downsampling along k reach a result; normalisation and attention see the same values more often.
    """
    flat = KlAutoencoder(dims=2, in_channels=1, projection=True, **sizes)
    solid = KlAutoencoder(dims=3, in_channels=1, projection=True, **sizes)
    flat.load_state_dict(make_state(flat))
    solid.load_state_dict(lift(flat.state_dict()))
    picture = make_input("constant", (1, 1, 16, 12))
    with torch.no_grad():
        z, codes = flat.encode(picture), solid.encode(stack(picture, slices))

        assert codes.shape == (*z.shape, slices // 4)
        assert z.std() > 0.1
        torch.testing.assert_close(codes, stack(z, slices // 4), rtol=0, atol=1e-5)
        for there, back in ((flat.decode, solid.decode), (flat.project, solid.project)):
            expected = stack(there(z), back(codes).shape[-1])
            torch.testing.assert_close(back(codes), expected, rtol=0, atol=1e-5)


def test_before_it_is_trained_further_a_lifted_network_mixes_no_slices_but_by_statistics():
    solid = KlAutoencoder(dims=3, in_channels=1, code_channels=1, widths=(32, 32))
    flat = KlAutoencoder(dims=2, in_channels=1, code_channels=1, widths=(32, 32))
    solid.load_state_dict(lift(make_state(flat)))
    volume = make_input("volume", (1, 1, 8, 8, 8)).requires_grad_()

    solid.encoder.down[0].downsample(solid.encoder.conv_in(volume))[..., 1].sum().backward()

    seen = volume.grad.abs().sum((0, 1, 2, 3)) > 0
    # Windows of three reach one voxel over the far side: their middle is the odd slice of each two.
    assert seen.tolist() == [False, False, False, True, False, False, False, False]


def stack(x: torch.Tensor, slices: int) -> torch.Tensor:
    return x[..., None].expand(*x.shape, slices)
