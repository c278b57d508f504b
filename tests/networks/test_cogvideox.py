"""CogVideoX's autoencoder: its batches are the library's, and odd lengths are filled up."""

import pytest
import torch
from tests.networks import framed

from plica.networks.cogvideox import CogVideoX

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def pair():
    widths = (32, 32, 64, 32)
    ours = framed.fill(CogVideoX(widths=widths, code_channels=4, blocks=1))
    theirs = diffusers.AutoencoderKLCogVideoX(
        block_out_channels=widths, latent_channels=4, layers_per_block=1
    )
    theirs.double().eval().load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("frames", [1, 5, 9, 13, 25])
def test_streams_give_what_the_whole_gives(pair, frames):
    framed.check_streams(pair[0], frames)


@pytest.mark.parametrize("frames", [1, 9, 25])
@torch.no_grad()
def test_the_library_gives_the_same(pair, frames):
    framed.check_library(*pair, frames)


@pytest.mark.parametrize("frames", [5, 13])
def test_odd_lengths_are_those_whose_last_frame_is_repeated(pair, frames):
    ours, _ = pair
    x = framed.make_frames(3, frames, 8, 8)
    filled = torch.cat([x, *[x[:, :, -1:]] * 4], 2)
    z = ours.encode(x)
    repeated = torch.cat([z, z[:, :, -1:]], 2)

    assert torch.equal(z, ours.encode(filled)[:, :, :-1])
    assert torch.equal(ours.decode(z), ours.decode(repeated)[:, :, :-4])


def test_other_sides_and_lengths_are_refused(pair):
    framed.check_refusals(pair[0])


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_a_longer_sequence_holds_no_more(pair, direction):
    held = framed.count_held(pair[0], 49, direction)

    assert max(held[2:-1]) == min(held[2:-1])
