"""Stages of a schedule: one layer each, done to a map box by box.

Of the maps, `h` is the one that goes through all layers, `a` a block's inner one, `n` what takes
h's place where sides or channels change, `k` and `v` attention's keys and values.

    enter    n    → h                       leave   h → result
    first    h    → a = conv₁(silu(norm₁ h))
    second   h, a → h + conv₂(silu(norm₂ a))        in place, since only a is seen with a halo
    down, up h    → n → h
    keys     h    → k, v                    attend  h, k, v → h + proj(Σ softmax(q·k) v)

Where a block makes fewer channels, the new ones take the place of the first of the old ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from plica.networks.attending import Attend, Keys
from plica.networks.attention import Attention
from plica.networks.bench import Bench
from plica.networks.blocks import Downsample, ResidualBlock, Upsample, activate
from plica.networks.convolving import (
    convolution_bytes,
    convolve,
    convolve_core,
    core_bytes,
    operations,
    pad_far,
    upsample_bytes,
    upsample_core,
    upsample_operations,
)
from plica.networks.moments import normalise
from plica.networks.parts import TABLE, Part
from plica.networks.pieces import Box, Sides, grow, lengths, scale
from plica.networks.stage import Made, Stage


@dataclass(frozen=True)
class Enter(Stage):
    """The input, what stands before the coder, and its first convolution."""

    part: Part
    halo: ClassVar[int] = 1

    @property
    def makes(self) -> tuple[Made, ...]:
        """See `Stage`."""
        return (Made("h", self.part.coder.conv_in.out_channels, self.sides),)

    @property
    def operations(self) -> int:
        """See `Stage`."""
        cells, entries = math.prod(self.sides), self.part.looking if self.part.enlarging else 0
        searched = cells * entries * self.part.channels[0]
        return operations(self.part.coder.conv_in, cells) + searched

    @property
    def traffic(self) -> int:
        """See `Stage`."""
        return self.makes[0].values

    def need(self, tile: Sides) -> float:
        """See `Stage`."""
        cells, seen = self._cells(tile)
        table = 2 * 4 * TABLE if self.part.looking and self.part.enlarging else 0
        read = seen * self.part.channels[0] * (2 * 4 + 3 * self.itemsize)
        layer = self.part.coder.conv_in
        made = convolution_bytes(layer, seen, self.itemsize)
        looking = self._looking(cells, layer.out_channels)
        return max(read + table, self._with_kept(read + made + looking, table))

    def run(self, bench: Bench, box: Box) -> None:
        """See `Stage`."""
        x = self.part.before(bench.reader.read(grow(box, 1, self.sides))).to(self.part.dtype)
        y = convolve_core(self.part.coder.conv_in, x, box, self.sides)
        bench.write("h", box, y, watched=self.watched)


@dataclass(frozen=True)
class First(Stage):
    """A block up to its first convolution."""

    block: ResidualBlock
    halo: ClassVar[int] = 1

    @property
    def makes(self) -> tuple[Made, ...]:
        """See `Stage`."""
        return (Made("a", self.block.conv1.out_channels, self.sides),)

    @property
    def operations(self) -> int:
        """See `Stage`."""
        return operations(self.block.conv1, math.prod(self.sides))

    @property
    def traffic(self) -> int:
        """See `Stage`."""
        return math.prod(self.sides) * (
            self.block.conv1.in_channels + self.block.conv1.out_channels
        )

    def need(self, tile: Sides) -> float:
        """See `Stage`."""
        cells, seen = self._cells(tile)
        read = seen * self.block.conv1.in_channels * self.itemsize
        made = core_bytes(self.block.conv1, self._seen(tile), self.itemsize)
        looking = self._looking(cells, self.block.conv1.out_channels)
        return max(2 * read, self._with_kept(read + made, read)) + looking

    def run(self, bench: Bench, box: Box) -> None:
        """See `Stage`."""
        y = bench.read("h", grow(box, 1, self.sides))
        y = activate(normalise(y, self.block.norm1, bench.moments("h")))
        y = convolve_core(self.block.conv1, y, box, self.sides)
        bench.write("a", box, y, watched=True)


@dataclass(frozen=True)
class Second(Stage):
    """A block from its second convolution on."""

    block: ResidualBlock
    halo: ClassVar[int] = 1
    drops: ClassVar[tuple[str, ...]] = ("a",)

    @property
    def widths(self) -> tuple[int, int]:
        """Channels in and out."""
        return self.block.conv1.in_channels, self.block.conv1.out_channels

    @property
    def _target(self) -> str:
        return "n" if self.widths[1] > self.widths[0] else "h"

    @property
    def makes(self) -> tuple[Made, ...]:
        """See `Stage`."""
        return (Made("n", self.widths[1], self.sides),) if self._target == "n" else ()

    @property
    def operations(self) -> int:
        """See `Stage`."""
        cells = math.prod(self.sides)
        shortcut = operations(self.block.nin_shortcut, cells) if self._changes else 0
        return operations(self.block.conv2, cells) + shortcut

    @property
    def traffic(self) -> int:
        """See `Stage`."""
        return math.prod(self.sides) * (self.widths[0] + 2 * self.widths[1])

    @property
    def _changes(self) -> bool:
        return hasattr(self.block, "nin_shortcut")

    def need(self, tile: Sides) -> float:
        """See `Stage`."""
        cells, seen = self._cells(tile)
        before, after = self.widths
        read = seen * after * self.itemsize
        made = core_bytes(self.block.conv2, self._seen(tile), self.itemsize)
        result = seen * after * self.itemsize
        beside = cells * before * self.itemsize
        if self._changes:
            beside += convolution_bytes(self.block.nin_shortcut, cells, self.itemsize)
        looking = self._looking(cells, after)
        convolving = max(2 * read, self._with_kept(read + made, read))
        adding = self._with_kept(result + beside + looking, read, read, made - result)
        return max(convolving, adding)

    def run(self, bench: Bench, box: Box) -> None:
        """See `Stage`."""
        y = bench.read("a", grow(box, 1, self.sides))
        y = activate(normalise(y, self.block.norm2, bench.moments("a")))
        y = convolve_core(self.block.conv2, y, box, self.sides)
        x = bench.read("h", box)
        if self._changes:
            x = convolve(self.block.nin_shortcut, x, padding=(0,) * len(self.sides))
        y = x.add_(y)
        if self._target == "n":
            bench.write("n", box, y, watched=self.watched)
        else:
            bench.write_over("h", box, y, watched=self.watched)

    def finish(self, bench: Bench) -> None:
        """See `Stage`."""
        if self._target == "n":
            bench.rename("n", "h")
        else:
            bench.settle("h", self.widths[1])
        bench.drop("a")


@dataclass(frozen=True)
class Down(Stage):
    """Half the sides. Boxes are those of the result."""

    layer: Downsample
    finer: Sides
    drops: ClassVar[tuple[str, ...]] = ("h",)

    @property
    def makes(self) -> tuple[Made, ...]:
        """See `Stage`."""
        return (Made("n", self.layer.conv.out_channels, self.sides),)

    @property
    def operations(self) -> int:
        """See `Stage`."""
        return operations(self.layer.conv, math.prod(self.sides))

    @property
    def traffic(self) -> int:
        """See `Stage`."""
        return (math.prod(self.sides) + math.prod(self.finer)) * self.layer.conv.out_channels

    def need(self, tile: Sides) -> float:
        """See `Stage`."""
        cells = math.prod(tile)
        read = math.prod(2 * side + 1 for side in tile) * self.layer.conv.in_channels
        made = convolution_bytes(self.layer.conv, cells, self.itemsize)
        looking = self._looking(cells, self.layer.conv.out_channels)
        read *= self.itemsize
        return max(2 * read, self._with_kept(read + made + looking, read))

    def run(self, bench: Bench, box: Box) -> None:
        """See `Stage`."""
        seen = tuple(
            slice(2 * span.start, min(2 * span.stop + 1, side))
            for span, side in zip(box, self.finer, strict=True)
        )
        x = pad_far(bench.read("h", seen), tuple(2 * side + 1 for side in lengths(box)))
        y = convolve(self.layer.conv, x, padding=(0,) * len(box), stride=2)
        bench.write("n", box, y, watched=self.watched)

    def finish(self, bench: Bench) -> None:
        """See `Stage`."""
        bench.rename("n", "h")


@dataclass(frozen=True)
class Up(Stage):
    """Twice the sides. Boxes are those of what is enlarged."""

    layer: Upsample
    halo: ClassVar[int] = 1
    drops: ClassVar[tuple[str, ...]] = ("h",)

    @property
    def makes(self) -> tuple[Made, ...]:
        """See `Stage`."""
        return (Made("n", self.layer.conv.out_channels, tuple(2 * side for side in self.sides)),)

    @property
    def operations(self) -> int:
        """See `Stage`."""
        return upsample_operations(self.layer, math.prod(self.sides))

    @property
    def traffic(self) -> int:
        """See `Stage`."""
        return math.prod(self.sides) * self.layer.conv.in_channels + self.makes[0].values

    def need(self, tile: Sides) -> float:
        """See `Stage`."""
        cells, seen = self._cells(tile)
        width = self.layer.conv.in_channels
        looking = self._looking(cells * 2 ** len(tile), width)
        made = upsample_bytes(self.layer, seen, cells, self.itemsize)
        return seen * width * self.itemsize + made + looking

    def run(self, bench: Bench, box: Box) -> None:
        """See `Stage`."""
        x = bench.read("h", grow(box, 1, self.sides))
        y = upsample_core(self.layer, x, box, self.sides)
        bench.write("n", scale(box, 2), y, watched=self.watched)

    def finish(self, bench: Bench) -> None:
        """See `Stage`."""
        bench.rename("n", "h")


@dataclass(frozen=True)
class Leave(Stage):
    """The coder's last convolution, what stands after it, and the result."""

    part: Part
    halo: ClassVar[int] = 1
    drops: ClassVar[tuple[str, ...]] = ("h",)

    @property
    def operations(self) -> int:
        """See `Stage`."""
        cells, entries = math.prod(self.sides), 0 if self.part.enlarging else self.part.looking
        searched = cells * entries * self.part.channels[1]
        return operations(self.part.coder.conv_out, cells) + searched

    @property
    def traffic(self) -> int:
        """See `Stage`."""
        return math.prod(self.sides) * self.part.coder.conv_out.in_channels

    def need(self, tile: Sides) -> float:
        """See `Stage`."""
        _, seen = self._cells(tile)
        layer = self.part.coder.conv_out
        read = seen * layer.in_channels * self.itemsize
        made = convolution_bytes(layer, 4 * seen, self.part.outer.itemsize)
        if self.part.outer != self.part.dtype:
            made += seen * layer.in_channels * self.part.outer.itemsize
        table = 2 * 4 * TABLE if self.part.looking and not self.part.enlarging else 0
        return max(2 * read, self._with_kept(read + made, read) + table)

    def run(self, bench: Bench, box: Box) -> None:
        """See `Stage`."""
        y = bench.read("h", grow(box, 1, self.sides))
        coder = self.part.coder
        y = normalise(y, coder.norm_out, bench.moments("h"))
        y = activate(y) if coder.manner.activated else y
        y = convolve_core(coder.conv_out, y.to(self.part.outer), box, self.sides)
        bench.writer.write(box, self.part.after(y))

    def finish(self, bench: Bench) -> None:
        """See `Stage`."""
        bench.drop("h")


def list_stages(part: Part, sides: Sides) -> list[Stage]:
    """All stages of a part for an input of these sides, in order."""
    itemsize = part.dtype.itemsize
    layers = list(part.coder.layers())
    watched = [not isinstance(layer, Downsample | Upsample) for layer in layers] + [True]
    stages: list[Stage] = [Enter(sides, itemsize, part, watched=watched[0])]
    for layer, wanted in zip(layers, watched[1:], strict=True):
        stages += _stages_of(layer, sides, itemsize, watched=wanted)
        if isinstance(layer, Downsample):
            sides = tuple(side // 2 for side in sides)
        elif isinstance(layer, Upsample):
            sides = tuple(side * 2 for side in sides)
    return [*stages, Leave(sides, itemsize, part)]


def _stages_of(layer: nn.Module, sides: Sides, itemsize: int, *, watched: bool) -> list[Stage]:
    if isinstance(layer, ResidualBlock):
        return [First(sides, itemsize, layer), Second(sides, itemsize, layer, watched=watched)]
    if isinstance(layer, Attention):
        return [Keys(sides, itemsize, layer), Attend(sides, itemsize, layer, watched=watched)]
    if isinstance(layer, Downsample):
        coarser = tuple(side // 2 for side in sides)
        return [Down(coarser, itemsize, layer, sides, watched=watched)]
    if isinstance(layer, Upsample):
        return [Up(sides, itemsize, layer, watched=watched)]
    raise TypeError(f"a coder has no layer such as {type(layer).__name__}")
