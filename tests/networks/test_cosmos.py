"""Cosmos' tokenizer: convolutions keep two frames, attention all keys and values."""

import itertools

import pytest
import torch
from tests.networks import framed

from plica.networks.cosmos import Cosmos

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def pair():
    ours = Cosmos(
        widths=(8, 16, 16, 24), decoder_widths=(16, 24, 16, 16), code_channels=4, blocks=1
    )
    theirs = diffusers.AutoencoderKLCosmos(
        encoder_block_out_channels=(8, 16, 16, 24),
        decode_block_out_channels=(16, 24, 16, 16),
        latent_channels=4,
        num_layers=1,
    )
    framed.fill(ours)
    theirs.double().eval().load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("frames", [1, 9, 33])
def test_streams_give_what_the_whole_gives(pair, frames):
    framed.check_streams(pair[0], frames)


@pytest.mark.parametrize("frames", [1, 9, 41])
@torch.no_grad()
def test_the_library_gives_the_same(pair, frames):
    framed.check_library(*pair, frames)


def test_codes_know_the_past_alone(pair):
    framed.check_depends_on_the_past_alone(pair[0], 25)


def test_other_sides_and_lengths_are_refused(pair):
    framed.check_refusals(pair[0])


@pytest.mark.parametrize(("direction", "width"), [("encode", 24), ("decode", 16)])
def test_only_keys_and_values_grow_with_the_sequence(pair, direction, width):
    held = framed.count_held(pair[0], 8 * 8 + 1, direction)

    grown = {after - before for before, after in itertools.pairwise(held[3:])}
    assert grown == {2 * width * 8}  # of one code cell, in bytes


def test_a_network_made_without_memory_keeps_its_tables():
    with torch.device("meta"):
        network = Cosmos(
            widths=(8, 16, 16, 24), decoder_widths=(16, 24, 16, 16), code_channels=4, blocks=1
        )
    full = Cosmos(
        widths=(8, 16, 16, 24), decoder_widths=(16, 24, 16, 16), code_channels=4, blocks=1
    )
    network.load_state_dict(full.state_dict(), assign=True)
    x = torch.rand(1, 3, 9, 8, 8)

    with torch.no_grad():
        assert torch.equal(network.decode(network.encode(x)), full.decode(full.encode(x)))


def test_what_grows_is_foretold(pair):
    """Keys and values of one attention at the codes' resolution, twice while one is added."""
    ours = pair[0]

    for part, coder in enumerate((ours.encoder, ours.decoder)):
        widths = [layer.to_k.out_channels for layer in coder.mid_block.temp_attentions]
        assert ours.kept_per_code[part] == 4 * sum(widths) > 0
