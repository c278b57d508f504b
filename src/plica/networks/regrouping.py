"""Frames that come in pieces of any length, in the groups that networks take them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from plica.errors import SettingsError


def regroup(pieces: Iterable[Tensor], *, first: int, then: int) -> Iterator[Tensor]:
    """A sequence in a group of `first` frames, then groups of `then`; the last may have fewer.

    Args:
        pieces: Each (batch, channel, frame, row, column), of one frame or more.
        first: Frames of the first group.
        then: Frames of every other.

    Examples:
        >>> [len(group[0, 0]) for group in regroup([torch.zeros(1, 3, 9, 8, 8)], first=1, then=4)]
        [1, 4, 4]
    """
    held: list[Tensor] = []
    wanted = first
    for piece in pieces:
        held.append(piece)
        while sum(one.shape[2] for one in held) >= wanted:
            joined = join(held)
            yield joined[:, :, :wanted]
            held = [joined[:, :, wanted:]]
            wanted = then
    rest = join(held) if held else None
    if rest is not None and rest.shape[2]:
        yield rest


def join(pieces: Iterable[Tensor]) -> Tensor:
    """One sequence of pieces that follow one another."""
    held = list(pieces)
    return held[0] if len(held) == 1 else torch.cat(held, dim=2)


def check_pieces(
    pieces: Iterable[Tensor], *, channels: int, factor: int, period: int
) -> Iterator[Tensor]:
    """The pieces of a sequence, each looked at before it is passed on.

    Args:
        pieces: Of the sequence.
        channels: How many it must have.
        factor: Of what rows and columns must be multiples.
        period: The sequence must have 1 + period · n frames; with 1 any number is well.

    Raises:
        SettingsError: It has other channels, sides or frames.

    Examples:
        >>> pieces = check_pieces([torch.zeros(1, 3, 9, 16, 16)], channels=3, factor=8, period=4)
        >>> next(pieces).shape
        torch.Size([1, 3, 9, 16, 16])
    """
    count = 0
    for piece in pieces:
        sides = tuple(piece.shape)
        fits = len(sides) == 5 and sides[1] == channels and all(sides[2:])
        if not fits or sides[3] % factor or sides[4] % factor:
            raise SettingsError(
                f"this network takes (batch, {channels}, frames, rows, columns), the last two "
                f"multiples of {factor}, but {sides} came: pad what is given"
            )
        count += sides[2]
        yield piece
    if count == 0 or (count - 1) % period:
        expected = "one or more" if period == 1 else f"1 + {period} · n"
        raise SettingsError(
            f"this network takes {expected} frames, but {count} came: repeat the last one"
        )


def mark_last(groups: Iterable[Tensor]) -> Iterator[tuple[Tensor, bool]]:
    """Each group, and whether it is the last one."""
    before: Tensor | None = None
    for group in groups:
        if before is not None:
            yield before, False
        before = group
    if before is not None:
        yield before, True
