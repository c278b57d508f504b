"""Wan's autoencoders: groups of frames give what the library gives of the whole."""

import pytest
import torch
from tests.networks import framed

from plica.networks.wan import Wan

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module", params=["2.1", "2.2"])
def pair(request):
    """A thin network, and the library's own with the same weights."""
    if request.param == "2.1":
        ours = Wan(width=8, decoder_width=8, code_channels=4)
        theirs = diffusers.AutoencoderKLWan(base_dim=8, z_dim=4)
    else:
        ours = Wan(width=8, decoder_width=12, code_channels=6, residual=True, patch=2)
        theirs = diffusers.AutoencoderKLWan(
            base_dim=8,
            decoder_base_dim=12,
            z_dim=6,
            is_residual=True,
            patch_size=2,
            in_channels=12,
            out_channels=12,
            scale_factor_spatial=16,
        )
    framed.fill(ours)
    theirs.double().eval().load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_streams_give_what_the_whole_gives(pair, frames):
    framed.check_streams(pair[0], frames)


@pytest.mark.parametrize("frames", [1, 5, 17])
@torch.no_grad()
def test_the_library_gives_the_same(pair, frames):
    framed.check_library(*pair, frames)


def test_codes_know_the_past_alone(pair):
    framed.check_depends_on_the_past_alone(pair[0], 13)


def test_other_sides_and_lengths_are_refused(pair):
    framed.check_refusals(pair[0])


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_a_longer_sequence_holds_no_more(pair, direction):
    held = framed.count_held(pair[0], 29, direction)

    assert len(held) == 8
    assert max(held[3:]) == min(held[3:])


def test_the_factors_are_those_of_the_card(pair):
    assert (pair[0].factor, pair[0].patch) in {(8, 1), (16, 2)}
    assert pair[0].period == 4
