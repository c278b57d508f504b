"""Branches of the compact autoencoder: residual blocks on one grid or several.

Cells are seen as cosine coefficients, each over the deviation it has in medical images, and the
means of cells also by what they differ from those around them, which no scale of the mean itself
would bring out. Both are fixed, so they are computed, never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError
from plica.networks.blocks import CONVOLUTION, activate, add
from plica.networks.cells import (
    MEAN_DEVIATION,
    expect_deviations,
    expect_difference,
    make_cosines,
    shuffle,
    unshuffle,
)
from plica.networks.convolution import fit

MOST_WIDTH = 2048
MOST_BLOCKS = 64
# Voxels of a stage's cell: the matrix that sees it as cosines has the square of so many numbers.
MOST_CELL = 1024
Convolution = nn.Conv2d | nn.Conv3d
CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}
_MEAN_OF = {2: functional.avg_pool2d, 3: functional.avg_pool3d}
# What a block adds begins small, so that a deep branch does not grow from block to block.
_BLOCK_GAIN = 0.2


@dataclass(frozen=True)
class Stage:
    """Blocks on one grid.

    Args:
        side: Voxels of the image per cell and axis.
        width: Channels.
        blocks: How many.
    """

    side: int
    width: int
    blocks: int


class Block(nn.Module):
    """x + conv(silu(conv(x))): no normalisation, so that nothing but the kernels looks around."""

    def __init__(self, *, dims: int, width: int, kernels: tuple[int, ...], expansion: int) -> None:
        super().__init__()
        first, second = kernels
        self.conv1 = _convolution(dims, width, width * expansion, first)
        self.conv2 = _convolution(dims, width * expansion, width, second, gain=_BLOCK_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """The block's result, of x's shape."""
        return add(self.conv2(activate(self.conv1(x))), x)


MakeBlock = Callable[..., Block]


class Encoding(nn.Module):
    """Cells, conv, then blocks and 1×1 convolutions to coarser grids, then conv."""

    front: Tensor

    def __init__(
        self, dims: int, factor: int, codes: int, stages: tuple[Stage, ...], block: MakeBlock
    ) -> None:
        super().__init__()
        self.dims = dims
        self.factor = factor
        self.stages = stages
        first, last = stages[0], stages[-1]
        _check_cell(first.side, dims)
        cosines, deviations = make_cosines(first.side, dims), expect_deviations(first.side, dims)
        _keep(self, "front", cosines / deviations[:, None], dims)
        self.head = _convolution(dims, len(cosines) + 1, first.width, 3, padding=0)
        self.blocks = _make_blocks(stages, block)
        self.changes = nn.ModuleList(
            _convolution(dims, (b.side // a.side) ** dims * a.width, b.width, 1)
            for a, b in pairwise(stages)
        )
        ratio = factor // last.side
        side = 3 if ratio == 1 else 1  # a code that gathers several cells sees around it already
        self.tail = _convolution(dims, ratio**dims * last.width, codes, side, gain=0)

    def forward(self, x: Tensor) -> Tensor:
        """What is added to the linear codes of x, each over its scale."""
        side = self.stages[0].side
        h = self.head(pad_cells(fit(self._see(unshuffle(x, side)), self.head)))
        for index, stage in enumerate(self.stages):
            if stage.side != side:
                h = self.changes[index - 1](unshuffle(h, stage.side // side))
            side = stage.side
            h = self.blocks[index](h)
        return self.tail(unshuffle(h, self.factor // side))

    def _see(self, cells: Tensor) -> Tensor:
        # In half precision the small coefficients would drown in the mean's rounding.
        with torch.autocast(cells.device.type, enabled=False):
            h = CONVOLVE[self.dims](cells.to(self.front.dtype), self.front)
            return append_difference(h)

    @property
    def reach_voxels(self) -> int:
        """How far from its cell a code sees."""
        last = self.factor if self.stages[-1].side == self.factor else 0
        return 2 * self.stages[0].side + last + sum(_widen(*pair) for pair in self._widths())

    def _widths(self) -> Iterator[tuple[Stage, nn.Module]]:
        return zip(self.stages, self.blocks, strict=True)

    def multiply_adds(self) -> float:
        """Per voxel of the image."""
        cells: list[tuple[nn.Module, int]]
        cells = [(self.head, self.stages[0].side), (self.tail, self.factor)]
        cells += zip(self.changes, (stage.side for stage in self.stages[1:]), strict=True)
        return self.stages[0].side ** self.dims + _count(self.dims, cells, self._widths())


class Decoding(nn.Module):
    """Conv, then blocks and 1×1 convolutions to finer grids, then conv and cells."""

    back: Tensor

    def __init__(
        self, dims: int, factor: int, codes: int, stages: tuple[Stage, ...], block: MakeBlock
    ) -> None:
        super().__init__()
        self.dims = dims
        self.factor = factor
        self.stages = stages
        first, last = stages[0], stages[-1]
        _check_cell(last.side, dims)
        self.head = _convolution(
            dims, codes + 1, (factor // first.side) ** dims * first.width, 3, padding=0
        )
        self.blocks = _make_blocks(stages, block)
        self.changes = nn.ModuleList(
            _convolution(dims, a.width, (a.side // b.side) ** dims * b.width, 1)
            for a, b in pairwise(stages)
        )
        self.tail = _convolution(dims, last.width, last.side**dims, 3, gain=0)
        cosines, deviations = make_cosines(last.side, dims), expect_deviations(last.side, dims)
        _keep(self, "back", (cosines * deviations[:, None]).T, dims)

    def forward(self, u: Tensor) -> Tensor:
        """What is added to the linear image of codes, which come each over its scale."""
        return self.finish(self.begin(u))

    def begin(self, u: Tensor) -> Tensor:
        """The first stage's map."""
        h = self.head(pad_cells(fit(append_difference(u), self.head)))
        return self.blocks[0](shuffle(h, self.factor // self.stages[0].side))

    def finish(self, h: Tensor) -> Tensor:
        """The image, from the first stage's map on."""
        side, h = self.stages[0].side, fit(h, self.head)
        for change, blocks, stage in zip(
            self.changes, self.blocks[1:], self.stages[1:], strict=True
        ):
            h = blocks(shuffle(change(h), side // stage.side))
            side = stage.side
        h = self.tail(h)
        with torch.autocast(h.device.type, enabled=False):
            return shuffle(CONVOLVE[self.dims](h.to(self.back.dtype), self.back), side)

    @property
    def reaches(self) -> tuple[int, int]:
        """How many codes away a cell of the first stage's map sees, and how many of these a voxel.

        Where the first stage is finer than the codes, only their sum is of use.
        """
        reach = self.stages[-1].side  # in voxels, around a cell of the grid in hand
        first, *others = self._widths()
        for stage, blocks in reversed(others):
            reach = -(-reach // stage.side) * stage.side + _widen(stage, blocks)
        within = -(-reach // self.factor)
        reach = -(-reach // first[0].side) * first[0].side + _widen(*first)
        return -(-reach // self.factor) + 2 - within, within

    @property
    def begun_share(self) -> float:
        """How much of the work `begin` is."""
        begun = _count(self.dims, [(self.head, self.factor)], islice(self._widths(), 1))
        return begun / self.multiply_adds()

    def _widths(self) -> Iterator[tuple[Stage, nn.Module]]:
        return zip(self.stages, self.blocks, strict=True)

    def multiply_adds(self) -> float:
        """Per voxel of the image."""
        cells: list[tuple[nn.Module, int]]
        cells = [(self.head, self.factor), (self.tail, self.stages[-1].side)]
        cells += zip(self.changes, (stage.side for stage in self.stages[:-1]), strict=True)
        return self.stages[-1].side ** self.dims + _count(self.dims, cells, self._widths())


def append_difference(h: Tensor) -> Tensor:
    """One more channel: how the first differs from its mean over the cells around, as strong."""
    dims = h.ndim - 2
    means = h[:, :1]
    difference = means - _MEAN_OF[dims](pad_cells(means), 3, stride=1)
    return torch.cat([h, difference * (MEAN_DEVIATION / expect_difference(dims))], 1)


def pad_cells(h: Tensor) -> Tensor:
    """One more cell on every side, as the outermost are."""
    return functional.pad(h, [1, 1] * (h.ndim - 2), mode="replicate")


def read_stages(name: str, numbers: tuple[int, ...], factor: int) -> tuple[Stage, ...]:
    """(side, width, blocks, …) as stages whose grids fit into one another.

    Args:
        name: "encoder", whose sides grow, or "decoder", whose sides shrink.
        factor: What the largest side must divide.

    Raises:
        SettingsError: No branch has such stages.

    Examples:
        >>> read_stages("encoder", (4, 96, 5, 8, 128, 2), 8)
        (Stage(side=4, width=96, blocks=5), Stage(side=8, width=128, blocks=2))
    """
    if not isinstance(numbers, tuple | list) or len(numbers) % 3:
        raise SettingsError(
            f"the stages of a compact network's {name} are written as (side, width, blocks, …), "
            f"but {numbers!r} came"
        )
    stages = tuple(Stage(*numbers[at : at + 3]) for at in range(0, len(numbers), 3))
    sides = [stage.side for stage in stages]
    grids = [*sides, factor] if name == "encoder" else [*reversed(sides), factor]
    nested = all(fine > 0 and coarse % fine == 0 for fine, coarse in pairwise(grids))
    if not nested or len(set(sides)) < len(sides):
        raise SettingsError(
            f"the sides of the {name}'s stages must divide one another and the factor {factor}, "
            f"{'growing' if name == 'encoder' else 'shrinking'}, but they are {sides}"
        )
    if any(not (1 <= one.width <= MOST_WIDTH and 0 <= one.blocks <= MOST_BLOCKS) for one in stages):
        raise SettingsError(
            f"a stage of a compact network has 1 to {MOST_WIDTH} channels and at most "
            f"{MOST_BLOCKS} blocks, but the {name} was given {numbers!r}"
        )
    return stages


def _check_cell(side: int, dims: int) -> None:
    if side**dims > MOST_CELL:
        raise SettingsError(
            f"the cells of a compact network's finest stage have at most {MOST_CELL} voxels, but "
            f"side {side} in {dims} dimensions makes {side**dims}: begin with a smaller side"
        )


def _make_blocks(stages: tuple[Stage, ...], block: MakeBlock) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(*(block(width=stage.width) for _ in range(stage.blocks))) for stage in stages
    )


def _convolution(
    dims: int, width_in: int, width_out: int, side: int, *, gain: float = 1, padding: int = -1
) -> Convolution:
    """A convolution with the weights of He et al. (2015), times `gain`, and no bias at first."""
    padding = side // 2 if padding < 0 else padding
    convolution = CONVOLUTION[dims](width_in, width_out, side, padding=padding)
    if not convolution.weight.is_meta:  # where there is no memory, torch imports for 2 s to do it
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # there is one
    with torch.no_grad():
        convolution.weight.mul_(gain)
    return convolution


def _keep(module: nn.Module, name: str, matrix: np.ndarray, dims: int) -> None:
    """A fixed matrix as a 1×1 convolution; it is no weight, and moves with the network."""
    kernel = torch.from_numpy(matrix.astype(np.float32)).reshape(*matrix.shape, *[1] * dims)
    module.register_buffer(name, kernel, persistent=False)


def _convolutions(module: nn.Module) -> Iterator[Convolution]:
    return (part for part in module.modules() if isinstance(part, Convolution))


def _widen(stage: Stage, blocks: nn.Module) -> int:
    """Voxels by which a stage's blocks look further on either side."""
    return stage.side * sum(part.kernel_size[0] // 2 for part in _convolutions(blocks))


def _count(
    dims: int,
    placed: list[tuple[nn.Module, int]],
    blocks: Iterator[tuple[Stage, nn.Module]],
) -> float:
    """Products with a weight per voxel of modules, each computed once per cell of its side."""
    everything = [*placed, *((part, stage.side) for stage, part in blocks)]
    return sum(
        part.weight.numel() / side**dims
        for module, side in everything
        for part in _convolutions(module)
    )
