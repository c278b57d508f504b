"""The compact autoencoder begins as the linear one, sees as far as it says, and counts right."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.networks.compacts import SIZES, make
from torch.utils.flop_counter import FlopCounterMode

from plica.errors import SettingsError, WeightsError
from plica.networks.autoencoder import Autoencoder, Local
from plica.networks.compact import Compact
from plica.networks.linear import Linear


@pytest.fixture(params=SIZES)
def size(request):
    return SIZES[request.param]


def image(network, cells, seed=0):
    sides = [network.factor * n for n in (cells if isinstance(cells, tuple) else [cells] * 3)]
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, *sides[: network.dims], generator=generator) * 2 - 1


# -- a beginning that is known -----------------------------------------------------------------


def test_untrained_it_is_the_linear_autoencoder_to_the_bit(size):
    linear = Linear(dims=size["dims"], factor=size["factor"], channels=size["code_channels"])
    generator = torch.Generator().manual_seed(1)
    for buffer in linear.buffers():
        buffer.copy_(torch.randn(buffer.shape, generator=generator))
    network = Compact(**size)
    network.adopt_linear(linear.state_dict())
    x = image(network, 4)

    z = network.encode(x)

    assert isinstance(network, Autoencoder)
    assert isinstance(network, Local)
    assert torch.equal(z, linear.encode(x))
    assert torch.equal(network.decode(z), linear.decode(z))


def test_a_linear_start_of_another_size_is_refused(size):
    network = Compact(**size)
    for other in (
        {"analysis": torch.zeros(9, 1, 2, 2), "synthesis": network.synthesis.detach()},
        {"analysis": network.analysis.detach()},
    ):
        with pytest.raises(WeightsError, match="take the linear codec of the same"):
            network.adopt_linear(other)


@pytest.mark.parametrize("name", ["one grid, 2D", "finer decoder, 3D"])
def test_every_weight_learns_from_the_second_step_on(name):
    network = Compact(**SIZES[name])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (network.analysis, network.synthesis):
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    optimiser = torch.optim.SGD(network.parameters(), 1e-3)
    x = image(network, 5)
    for _ in range(2):
        optimiser.zero_grad()
        (network.decode(network.encode(x)) - x).abs().mean().backward()
        optimiser.step()

    still = [key for key, one in network.named_parameters() if not one.grad.any()]

    assert still == []


def test_half_precision_around_it_leaves_the_linear_path_whole():
    """Codes rounded to eight bits could not be repaired; the branches may be rounded."""
    network = make(SIZES["one grid, 2D"])
    x = image(network, 6)
    with torch.autocast("cpu", torch.bfloat16):
        alone = network._analyse(x)
        z = network.encode(x)
        y = network.decode(z)

    assert torch.equal(alone, network._analyse(x))
    assert z.dtype == y.dtype == torch.float32
    spread = network.encode(x).std()
    assert (z - network.encode(x)).abs().max() < 0.1 * spread


# -- standardised codes ------------------------------------------------------------------------


def test_standardising_moves_the_codes_and_not_the_image(size):
    network = make(size)
    x = image(network, 6)
    before, codes = network.decode(network.encode(x)), network.encode(x)
    axes = (0, *range(2, 2 + network.dims))

    for _ in range(2):  # what is measured is measured on the codes of the day
        now = network.encode(x)
        network.standardise(now.mean(axes), now.std(axes, correction=0))

    z = network.encode(x)
    torch.testing.assert_close(z.mean(axes), torch.zeros(len(z[0])), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(axes, correction=0), torch.ones(len(z[0])), atol=1e-4, rtol=0)
    assert not torch.allclose(z, codes)
    scale = before.abs().max()
    torch.testing.assert_close(network.decode(z) / scale, before / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("mean", "deviation"),
    [([0.0], [1.0]), ([0.0] * 3, [1.0, 0.0, 1.0]), ([0.0, math.nan, 0.0], [1.0] * 3)],
)
def test_statistics_that_are_none_are_refused(mean, deviation):
    network = Compact(**SIZES["one grid, 2D"])
    with pytest.raises(SettingsError, match="3 finite means"):
        network.standardise(torch.tensor(mean), torch.tensor(deviation))


# -- what it sees ------------------------------------------------------------------------------


def _changed(after, before):
    """First and last index along the first axis of space at which anything differs."""
    differs = (after != before).any(dim=1).any(dim=0)
    along = differs.flatten(1).any(dim=1).nonzero()[:, 0]
    return along.min().item(), along.max().item()


def test_codes_see_as_far_as_said_and_no_voxel_further(size):
    network = make(size)
    reach, factor = network.encoder_reach, network.factor
    cells, middle = 2 * reach + 5, reach + 2
    x = image(network, (cells, 3, 3)).double()
    network.double()
    before = network.encode(x)
    seen = []
    for at in (middle * factor, (middle + 1) * factor - 1):  # a cell's first voxel, and its last
        nudged = x.clone()
        nudged[:, :, at] += 1.0
        seen.append(_changed(network.encode(nudged), before))

    assert min(first for first, _ in seen) == middle - reach
    assert max(last for _, last in seen) == middle + reach
    margin = (network.receptive_field - factor) // 2
    assert reach == math.ceil(margin / factor)


def test_voxels_see_as_far_as_said_and_no_code_further(size):
    network = make(size)
    reach, factor = network.decoder_reach, network.factor
    cells, middle = 2 * reach + 5, reach + 2
    generator = torch.Generator().manual_seed(0)
    sides = [cells, 3, 3][: network.dims]
    z = torch.randn(1, network.code_channels, *sides, generator=generator).double()
    network.double()
    nudged = z.clone()
    nudged[:, :, middle] += 1.0

    first, last = _changed(network.decode(nudged), network.decode(z))

    # From a coarse grid on, all voxels of a cell see the same, so the last cell is reached in part.
    assert first // factor == middle - reach
    assert last // factor == middle + reach


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(sorted(SIZES)), cells=st.tuples(*[st.integers(1, 5)] * 3))
def test_any_whole_number_of_cells_comes_back_in_its_shape(name, cells):
    network = make(SIZES[name])
    x = image(network, cells)

    z = network.encode(x)

    assert z.shape == (1, network.code_channels, *cells[: network.dims])
    assert network.decode(z).shape == x.shape


# -- what it costs -----------------------------------------------------------------------------


def test_multiplications_are_counted_right(size):
    network = make(size)
    x = image(network, 4)
    encode, decode = network.multiply_adds()
    with FlopCounterMode(display=False) as counted:
        z = network.encode(x)
    assert counted.get_total_flops() / 2 / x.numel() == pytest.approx(encode)
    with FlopCounterMode(display=False) as counted:
        network.decode(z)
    assert counted.get_total_flops() / 2 / x.numel() == pytest.approx(decode)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": 4}, "2 or 3 dims"),
        ({"factor": 0}, "factor of 1 to"),
        ({"kernels": (3, 4)}, "side 1, 3, 5 or 7"),
        ({"kernels": (3,)}, "two kernels"),
        ({"expansion": 0}, "expansion of"),
        ({"encoder": (4, 16)}, "written as"),
        ({"encoder": (3, 16, 1)}, "divide one another"),
        ({"encoder": (4, 16, 1, 2, 16, 1)}, "growing"),
        ({"decoder": (2, 16, 1, 4, 16, 1)}, "shrinking"),
        ({"decoder": (4, 16, 1, 4, 16, 1)}, "divide one another"),
        ({"decoder": (4, 10**6, 1)}, "at most"),
        ({"decoder": (4, 16, 1000)}, "at most"),
        ({"decoder": (4, 0, 1)}, "at most"),
        # 512 GiB would be asked for.
        ({"dims": 3, "factor": 64, "encoder": (64, 1, 0)}, "at most 1024 voxels"),
        ({"dims": 3, "factor": 64, "encoder": (), "decoder": (64, 1, 0)}, "at most 1024 voxels"),
    ],
)
def test_settings_of_which_there_is_no_network_are_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        Compact(**{**SIZES["one grid, 2D"], **changes})


def test_decoding_pass_by_pass_is_decoding(size):
    network = make(size)
    z = network.encode(image(network, 6))
    passes = network.decoding_passes()

    x = z
    for one in passes:
        x = one.function(x)

    torch.testing.assert_close(x, network.decode(z), atol=1e-6, rtol=1e-6)
    assert sum(one.share for one in passes) == pytest.approx(1)
    assert sum(one.reach for one in passes) == network.decoder_reach
    several = len(size["decoder"]) > 3 and size["decoder"][0] == size["factor"]
    assert len(passes) == (2 if several else 1)
