"""MAISI's autoencoder in our own layers is MONAI's, and exact schedules drop nothing of it."""

import copy

import pytest
import torch
from tests.networks import framed

from plica.codecs.layouts import from_maisi
from plica.codecs.weights import fill
from plica.networks.autoencoder import Autoencoder, Sampling
from plica.networks.maisi import MaisiAutoencoder
from plica.networks.schedule import plan_schedule, run_schedule

WIDTHS = (32, 64, 32)
CLOSE = 2e-5  # of the deviation: float32, through sixteen layers


@pytest.fixture(scope="module")
def pair():
    """A thin network, and MONAI's own with the same weights."""
    maisi = pytest.importorskip("monai.apps.generation.maisi.networks.autoencoderkl_maisi")
    theirs = maisi.AutoencoderKlMaisi(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        num_res_blocks=(2, 2, 2),
        num_channels=WIDTHS,
        attention_levels=(False, False, False),
        latent_channels=4,
        num_splits=1,
        save_mem=False,
    )
    framed.fill(theirs)
    theirs.float()
    ours = MaisiAutoencoder(dims=3, in_channels=1, code_channels=4, widths=WIDTHS)
    fill(ours, from_maisi(theirs.state_dict(), levels=3, blocks=2), name="maisi")
    return ours.eval().requires_grad_(False), theirs


def make_volume(*sides: int) -> torch.Tensor:
    return framed.make_frames(1, *sides).float()


def test_it_is_an_autoencoder_with_a_posterior(pair):
    ours, _ = pair
    x = make_volume(8, 12, 4)

    assert isinstance(ours, Autoencoder)
    assert isinstance(ours, Sampling)
    assert ours.encode(x).shape == (1, 4, 2, 3, 1)
    assert ours.decode(ours.encode(x)).shape == x.shape


@torch.no_grad()
def test_monai_gives_the_same_of_zero_to_one(pair):
    ours, theirs = pair
    x = make_volume(16, 12, 20)
    mean, sigma = theirs.encode((x + 1) / 2)

    assert framed.differ(ours.encode(x), mean) < CLOSE
    assert framed.differ(ours.posterior(x)[1], 2 * sigma.log()) < CLOSE
    assert framed.differ(ours.decode(mean), 2 * theirs.decode(mean) - 1) < CLOSE


@pytest.mark.parametrize("direction", ["encode", "posterior", "decode"])
@pytest.mark.parametrize("sides", [(36, 12, 8), (4, 4, 44)])
def test_schedules_in_little_memory_give_what_the_whole_gives(pair, direction, sides, tmp_path):
    """Sides of which parts of equal length would drop the rest; in float64, which hides nothing."""
    ours = copy.deepcopy(pair[0]).double()
    torch.manual_seed(0)
    x = (make_volume(*sides) if direction != "decode" else torch.randn(1, 4, 9, 4, 5)).double()
    whole = {
        "encode": ours.encode,
        "posterior": lambda x: torch.cat(ours.posterior(x), 1),
        "decode": ours.decode,
    }[direction](x)
    from plica.errors import TooLarge

    with pytest.raises(TooLarge) as refused:
        plan_schedule(ours, direction, sides=tuple(x.shape[2:]), memory=1)
    memory = int(refused.value.least * 1.001)
    plan = plan_schedule(ours, direction, sides=tuple(x.shape[2:]), memory=memory)
    pieces = run_schedule(ours, direction, x, plan=plan, scratch=tmp_path)

    assert plan.boxes > len(plan.steps)
    assert framed.differ(pieces, whole) < 1e-12


def test_sides_are_doubled_by_interpolation_in_two_dimensions_too():
    from plica.networks.blocks import Upsample
    from plica.networks.convolving import upsample_core

    torch.manual_seed(0)
    layer = Upsample(dims=2, width=32, smooth=True).eval().requires_grad_(False)
    x = torch.randn(1, 32, 9, 7)
    core = (slice(3, 6), slice(0, 4))
    seen = x[:, :, 2:7, 0:5]

    made = upsample_core(layer, seen, core, (9, 7))

    torch.testing.assert_close(made, layer(x)[:, :, 6:12, 0:8], rtol=1e-5, atol=1e-5)


def test_our_own_layout_is_left_as_it_is(pair):
    ours, _ = pair
    state = ours.state_dict()

    assert from_maisi(state, levels=3, blocks=2).keys() == state.keys()
