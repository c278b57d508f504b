"""HunyuanVideo's autoencoder: the whole sequence at once, since its statistics are the whole's."""

import pytest
import torch
from tests.networks import framed

from plica.networks.hunyuanvideo import HunyuanVideo

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def pair():
    widths = (32, 32, 64, 32)
    ours = framed.fill(HunyuanVideo(widths=widths, code_channels=4, blocks=1))
    theirs = diffusers.AutoencoderKLHunyuanVideo(
        block_out_channels=widths, latent_channels=4, layers_per_block=1
    )
    theirs.use_framewise_encoding = theirs.use_framewise_decoding = False
    theirs.double().eval().load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("frames", [1, 5, 21])
def test_streams_give_what_the_whole_gives(pair, frames):
    framed.check_streams(pair[0], frames)


@pytest.mark.parametrize("frames", [1, 5, 21])
@torch.no_grad()
def test_the_library_without_its_blended_tiles_gives_the_same(pair, frames):
    framed.check_library(*pair, frames)


def test_the_first_code_changes_with_the_last_frame_so_that_nothing_can_be_streamed(pair):
    ours, _ = pair
    x = framed.make_frames(3, 13, 8, 8)
    later = x.clone()
    later[:, :, -1] *= -2

    assert not ours.streams
    assert ours.frames_at_a_time == 0
    assert framed.differ(ours.encode(later)[:, :, :1], ours.encode(x)[:, :, :1]) > 1e-4


def test_other_sides_and_lengths_are_refused(pair):
    framed.check_refusals(pair[0])
