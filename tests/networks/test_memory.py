import multiprocessing
from functools import partial

import pytest
import torch
from torch import nn

from plica.errors import SettingsError
from plica.networks.memory import (
    Largest,
    find_largest,
    find_largest_batch,
    foretell,
    measure_peaks,
)
from plica.networks.probes import build_probe

GIB = 2**30
SIDE = 128


class Allocator:
    """Takes so many images, and remembers what it was asked for."""

    def __init__(self, room):
        self.room, self.asked = room, []

    def __call__(self, batch):
        self.asked.append(batch)
        return batch <= self.room


@pytest.mark.parametrize("room", [0, 1, 2, 3, 7, 8, 9, 1000, 1023, 1024, 1025])
def test_the_largest_that_fits_is_found(room):
    allocator = Allocator(room)
    assert find_largest(allocator) == room
    assert len(allocator.asked) <= 2 * (room.bit_length() + 1)
    assert max(allocator.asked) <= max(1, 2 * room), "no more than twice what fits is tried"


@pytest.mark.parametrize("most", [1, 6, 8])
def test_probing_ends_at_the_most(most):
    allocator = Allocator(100)
    assert find_largest(allocator, most=most) == most
    assert max(allocator.asked) == most


def test_the_largest_batch_lies_on_a_line_through_two():
    found = foretell(((1, 300), (2, 400)), 1000)
    assert (found.batch, found.power_of_two) == (8, 8)
    assert found.how == "foretold from the most memory of batches of 1 and 2"
    assert foretell(((1, 300), (2, 400)), 999).batch == 7
    assert foretell(((1, 300), (2, 400)), 999).power_of_two == 4


def test_what_was_measured_is_not_foretold():
    assert foretell(((1, 1100),), 1000) == Largest(
        0, 1000, "measured: a batch of 1 needs more", ((1, 1100),)
    )
    assert foretell(((1, 600), (2, 1100)), 1000).batch == 1
    assert foretell(((1, 800),), 1000).batch == 1


def test_images_that_need_nothing_have_no_largest_batch():
    assert foretell(((1, 300), (32, 300)), 1000).bound


@pytest.fixture(scope="module")
def peaks():
    """What a child process measured of rising batches of small pictures."""
    return measure_peaks(partial(build_probe, "small-2d"), (1, SIDE, SIDE), memory=4 * GIB)


def test_a_child_process_measures_what_larger_batches_need(peaks):
    assert [batch for batch, _ in peaks][:2] == [1, 2]
    growth = (peaks[-1][1] - peaks[0][1]) / (peaks[-1][0] - peaks[0][0])
    one_map = 16 * SIDE * SIDE * 4  # what leaves the stem
    assert one_map <= growth <= 8 * one_map


def test_growth_is_even_from_small_batches_to_large_ones(peaks):
    """Else a line through small ones foretells nothing."""
    found = dict(peaks)
    early, late = (found[16] - found[4]) / 12, (found[64] - found[16]) / 48
    assert early == pytest.approx(late, rel=0.25)


def test_what_the_child_refuses_comes_back():
    with pytest.raises(SettingsError, match="cannot look at"):
        measure_peaks(partial(nn.Conv2d, 1, 1, 3), (2, 8, 8), memory=GIB)


def test_a_child_that_the_system_ends_is_a_sentence(monkeypatch):
    class Ended:
        exitcode = -9

        def __init__(self, **_: object) -> None: ...
        def start(self) -> None: ...
        def join(self) -> None: ...

    monkeypatch.setattr(type(multiprocessing.get_context("spawn")), "Process", Ended)
    with pytest.raises(SettingsError, match=r"ended the process .*\(exit code -9\).*smaller size"):
        measure_peaks(partial(nn.Conv2d, 1, 1, 3), (1, 8, 8), memory=GIB)


def test_memory_must_be_said_and_told():
    build = partial(build_probe, "small-2d")
    with pytest.raises(SettingsError, match="how much memory"):
        find_largest_batch(build, (1, 64, 64))
    with pytest.raises(SettingsError, match="cannot be told"):
        find_largest_batch(build, (1, 64, 64), device="mps", memory=GIB)


@pytest.mark.gpu
def test_a_card_is_filled_and_no_more():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    build = partial(build_probe, "small-2d")
    less, more = (
        find_largest_batch(build, (1, 512, 512), device="cuda", memory=memory)
        for memory in (2 * GIB, 4 * GIB)
    )
    assert 0 < less.batch < more.batch
    assert max(peak for _, peak in less.peaks) <= 2 * GIB
