"""Frames arrive in pieces of any length and leave in groups, each once and in order."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from plica.errors import SettingsError
from plica.networks.patches import fold_patches, unfold_patches
from plica.networks.regrouping import check_pieces, join, mark_last, regroup


def make_pieces(lengths):
    frames = torch.arange(sum(lengths), dtype=torch.float32)[None, None, :, None, None]
    return list(frames.split(list(lengths), 2))


@given(
    some.lists(some.integers(1, 9), min_size=1, max_size=9),
    some.integers(1, 9),
    some.integers(1, 8),
)
def test_groups_are_full_but_for_the_last_and_lose_nothing(lengths, first, then):
    regrouped = regroup(make_pieces(lengths), first=first, then=then)
    groups = [group.flatten().tolist() for group in regrouped]

    assert list(itertools.chain(*groups)) == list(range(sum(lengths)))
    wanted = [first, *[then] * len(groups)]
    assert [len(group) for group in groups[:-1]] == wanted[: len(groups) - 1]
    assert 1 <= len(groups[-1]) <= wanted[len(groups) - 1]


def test_a_group_is_given_as_soon_as_it_is_full():
    taken = []

    def pieces():
        for piece in make_pieces([3, 3, 3]):
            taken.append(piece)
            yield piece

    next(iter(regroup(pieces(), first=1, then=4)))

    assert len(taken) == 1


def test_the_last_group_is_known_as_such():
    assert [last for _, last in mark_last(make_pieces([1, 2, 3]))] == [False, False, True]
    assert list(mark_last([])) == []


def test_what_is_cut_is_joined():
    x = torch.rand(1, 2, 7, 3, 4)

    assert torch.equal(join(x.split(2, 2)), x)


@pytest.mark.parametrize("count", [0, 2, 4, 6])
def test_sequences_of_other_lengths_are_refused_when_they_end(count):
    pieces = (torch.zeros(1, 3, 1, 8, 8) for _ in range(count))

    with pytest.raises(SettingsError, match=f"1 . 4 · n frames, but {count} came"):
        list(check_pieces(pieces, channels=3, factor=8, period=4))


@pytest.mark.parametrize("side", [1, 2, 4])
def test_patches_are_unfolded_to_what_was_folded(side):
    x = torch.rand(2, 3, 5, 8, 12)

    assert torch.equal(unfold_patches(fold_patches(x, side), side), x)
    assert unfold_patches(fold_patches(x[:, :, :0], side), side).shape == (2, 3, 0, 8, 12)
