"""In which order the latents of a store are met: shuffled, repeatable, cut into equal parts.

    shards in an order drawn from (seed, epoch), laid end to end:   |  s3  | s0 |   s2   | s1 |
    cut into one part for each rank, each part into one for each worker:  |···|···|···|···|
    each part taken in blocks of `buffer` latents, each block shuffled:   |~~~|~~~|~~~|~~~|

Only numbers are shuffled, so that going to any position of any epoch reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from plica.errors import SettingsError


@dataclass(frozen=True)
class Span:
    """Positions begin … end − 1 of an epoch."""

    begin: int
    end: int

    def cut(self, part: int, parts: int, *, even: bool = False) -> Span:
        """One of so many parts, which differ by one position at most: the first ones are longer.

        Args:
            part: Which, from 0.
            parts: How many.
            even: All as long as the shortest; what is left over at the end is in none.
        """
        if not 0 <= part < parts:
            raise SettingsError(f"there is no part {part} of {parts}; parts are counted from 0")
        least, over = divmod(self.end - self.begin, parts)
        over = 0 if even else over
        begin = self.begin + part * least + min(part, over)
        return Span(begin, begin + least + (part < over))

    def __len__(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class Order:
    """The order of a store's latents.

    Args:
        counts: How many there are in each shard.
        seed: Other seeds give other orders.
        shuffle: Whether they are shuffled at all.
        buffer: How many are shuffled among each other: more mix better and jump about on the disk
            more.

    Raises:
        SettingsError: The buffer holds none.
    """

    counts: tuple[int, ...]
    seed: int = 0
    shuffle: bool = True
    buffer: int = 8192

    def __post_init__(self) -> None:
        if self.buffer < 1 or self.seed < 0:
            raise SettingsError(
                f"a buffer holds at least 1 latent and a seed is at least 0, but they are "
                f"{self.buffer} and {self.seed}"
            )

    @property
    def whole(self) -> Span:
        """All positions of an epoch."""
        return Span(0, sum(self.counts))

    def walk(self, epoch: int, span: Span, skip: int = 0) -> Iterator[tuple[int, int]]:
        """Shard and row of each position of a span, but for so many that are skipped.

        Examples:
            >>> list(Order((2, 1), shuffle=False).walk(0, Span(0, 3)))
            [(0, 0), (0, 1), (1, 0)]
        """
        shards = np.arange(len(self.counts))
        if self.shuffle:
            shards = self._chance(epoch).permutation(shards)
        ends = np.cumsum(np.array(self.counts, np.int64)[shards])
        first = span.begin + skip // self.buffer * self.buffer
        for begin in range(first, span.end, self.buffer):
            block = np.arange(begin, min(begin + self.buffer, span.end))
            if self.shuffle:
                block = self._chance(epoch, begin).permutation(block)
            if begin == first:
                block = block[skip % self.buffer :]
            at = np.searchsorted(ends, block, side="right")
            rows = block - (ends[at] - np.array(self.counts, np.int64)[shards[at]])
            yield from zip(shards[at].tolist(), rows.tolist(), strict=True)

    def _chance(self, epoch: int, *where: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, len(where), *where])
