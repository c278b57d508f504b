"""LTX-Video's autoencoder: causal encoding, and decoding that waits for what it looks at."""

import pytest
import torch
from tests.networks import framed

from plica.networks.ltx import LtxVideo

diffusers = pytest.importorskip("diffusers")
# The library takes squares of its normalisations in single precision, whatever it is given.
ROUNDING = 2e-6


@pytest.fixture(scope="module")
def pair():
    widths, blocks = (8, 8, 16, 24), (1, 2, 1, 1, 1)
    ours = framed.fill(LtxVideo(widths=widths, code_channels=6, blocks=blocks))
    theirs = diffusers.AutoencoderKLLTXVideo(
        block_out_channels=widths,
        decoder_block_out_channels=widths,
        latent_channels=6,
        layers_per_block=blocks,
        decoder_layers_per_block=blocks,
    )
    theirs.double().eval().load_state_dict(ours.state_dict(), strict=False)
    return ours, theirs


@pytest.mark.parametrize("frames", [1, 9, 17, 73])
def test_streams_give_what_the_whole_gives(pair, frames):
    framed.check_streams(pair[0], frames)


@pytest.mark.parametrize("frames", [1, 9, 41, 121])
@torch.no_grad()
def test_the_library_gives_the_same(pair, frames):
    framed.check_library(*pair, frames, within=ROUNDING)


def test_codes_know_the_past_alone(pair):
    framed.check_depends_on_the_past_alone(pair[0], 25)


def test_frames_come_before_the_codes_have_ended(pair):
    """The decoder looks ahead, but not without end."""
    ours, _ = pair
    z = ours.encode(framed.make_frames(3, 161, 32, 32))
    given = 0

    def count():
        nonlocal given
        for code in z.split(1, 2):
            given += 1
            yield code

    first = next(iter(ours.decode_stream(count())))

    assert first.shape[2] > 0
    assert given < z.shape[2]


def test_other_sides_and_lengths_are_refused(pair):
    framed.check_refusals(pair[0])


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_a_longer_sequence_holds_no_more(pair, direction):
    held = framed.count_held(pair[0], 8 * 40 + 1, direction)[3:-1]

    half = len(held) // 2
    assert half > 3
    assert max(held[half:]) <= max(held[:half])
