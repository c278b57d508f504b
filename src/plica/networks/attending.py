"""Attention as stages of a schedule: keys and values first, then every query, some at a time.

For a map whose tokens' scores have no room in memory, and be its keys in a file: the sums run along
with the chunks of keys (`attention.attend_to_chunks`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from plica.networks.attention import Attention, attend_to_chunks
from plica.networks.bench import Bench
from plica.networks.convolving import convolution_bytes, convolve, operations
from plica.networks.moments import normalise
from plica.networks.pieces import Box, Sides, choose_tile, count, cut, lengths
from plica.networks.stage import Made, Stage

# Queries and keys that are looked at together: what is done to their table stays in the cache, and
# keys are read once for so many queries.
QUERIES, KEYS = 4096, 1024


@dataclass(frozen=True)
class Keys(Stage):
    """Attention's keys and values."""

    layer: Attention

    @property
    def makes(self) -> tuple[Made, ...]:
        """See `Stage`."""
        width = self.layer.k.out_channels
        return (Made("k", width, self.sides), Made("v", width, self.sides))

    @property
    def operations(self) -> int:
        """See `Stage`."""
        return 2 * operations(self.layer.k, math.prod(self.sides))

    @property
    def traffic(self) -> int:
        """See `Stage`."""
        return 3 * self.makes[0].values

    def need(self, tile: Sides) -> float:
        """See `Stage`."""
        cells = math.prod(tile)
        read = cells * self.layer.k.in_channels * self.itemsize
        made = convolution_bytes(self.layer.k, cells, self.itemsize)
        return self._with_kept(read + made, read, made)

    def run(self, bench: Bench, box: Box) -> None:
        """See `Stage`."""
        y = normalise(bench.read("h", box), self.layer.norm, bench.moments("h"))
        for name, layer in (("k", self.layer.k), ("v", self.layer.v)):
            made = convolve(layer, y, padding=(0,) * len(box))
            bench.write(name, box, made, watched=False)


@dataclass(frozen=True)
class Attend(Stage):
    """Attention of every query to all keys, some at a time."""

    layer: Attention
    most_cells: ClassVar[int] = QUERIES
    drops: ClassVar[tuple[str, ...]] = ("k", "v")

    @property
    def operations(self) -> int:
        """See `Stage`."""
        cells = math.prod(self.sides)
        return 2 * operations(self.layer.q, cells) + 2 * cells**2 * self.layer.q.in_channels

    @property
    def traffic(self) -> int:
        """See `Stage`."""
        cells = math.prod(self.sides)
        passes = -(-cells // QUERIES)
        return 2 * cells * self.layer.q.in_channels * (1 + passes)

    def need(self, tile: Sides) -> float:
        """See `Stage`."""
        cells, width = math.prod(tile), self.layer.q.in_channels
        keys, precise = min(KEYS, math.prod(self.sides)), max(4, self.itemsize)
        table = cells * keys * (precise + 2 * (self.itemsize % 4))
        rows = cells * width * (2 * precise + 5 * self.itemsize) + 4 * keys * width * self.itemsize
        looking = self._looking(cells, width)
        return table + rows + 2 * self.layer.q.weight.numel() * self.itemsize + looking

    def run(self, bench: Bench, box: Box) -> None:
        """See `Stage`."""
        y = normalise(bench.read("h", box), self.layer.norm, bench.moments("h"))
        none = (0,) * len(box)
        q = _rows(convolve(self.layer.q, y, padding=none))
        chunks = list(cut(self.sides, choose_tile(self.sides, math.prod, KEYS) or self.sides))
        done = self.operations * count(box) / math.prod(self.sides) / len(chunks)
        y = attend_to_chunks(q, (self._read_keys(bench, chunk, done) for chunk in chunks))
        y = y.reshape(1, *lengths(box), -1).movedim(-1, 1)
        y = convolve(self.layer.proj_out, y, padding=none)
        bench.write_over("h", box, y.add_(bench.read("h", box)), watched=self.watched)

    def tell(self, bench: Bench, box: Box) -> None:
        """Said with each chunk of keys."""

    def finish(self, bench: Bench) -> None:
        """See `Stage`."""
        bench.settle("h", self.layer.q.in_channels)
        bench.drop("k")
        bench.drop("v")

    def _read_keys(self, bench: Bench, box: Box, done: float) -> tuple[Tensor, Tensor]:
        bench.advance(done)
        return _rows(bench.read("k", box)), _rows(bench.read("v", box))


def _rows(values: Tensor) -> Tensor:
    """(1, channel, *box) as (token, channel)."""
    return values[0].movedim(0, -1).flatten(0, -2)
