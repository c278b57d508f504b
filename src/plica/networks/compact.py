"""The compact autoencoder: residual blocks around the optimal linear one.

```text
      ┌───────────── analysis ──────────────┐
x ──►─┤                                     +─►─ standardise ─►─ z        f voxels per code cell
      └─ unshuffle ─ conv ─ blocks ─ conv ──┘                             and axis; u: z before it
                                                                          is standardised
      ┌───────────── synthesis ─────────────┐
u ──►─┤                                     +─►─ shuffle ─►─ x̂
      └─ conv ─ blocks ─ conv ──────────────┘
```

Analysis and synthesis are those of `networks.linear`. The last convolution of either branch begins
at zero, so that training begins at the score of the linear autoencoder. Nothing looks at the whole
map: what a code sees, and what sees a code, is finite and known (`encoder_reach`, `decoder_reach`),
so that tiles with such a halo give the very result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError, WeightsError
from plica.networks.blocks import CONVOLUTION, activate, add
from plica.networks.cells import shuffle, unshuffle

MOST_FACTOR = 64
MOST_WIDTH = 2048
MOST_BLOCKS = 64
_CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}
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


class Compact(nn.Module):
    """Small learned codes for images of one channel.

    The stages of encoder and decoder are written one after another as (side, width, blocks, …),
    where `side` is how many voxels a cell of the stage's grid has per axis. The encoder's sides
    grow up to at most `factor`, the decoder's shrink from at most `factor`; () leaves the branch
    out.

    Args:
        dims: Axes of space: 2 or 3.
        factor: Voxels per code and axis.
        code_channels: Codes per cell.
        encoder: Its stages.
        decoder: Its stages.
        kernels: Sides of a block's two convolutions.
        expansion: A block's inner channels, as a multiple of the width.

    Example:
        >>> Compact(dims=2, factor=4, code_channels=3, encoder=(4, 96, 5), decoder=(4, 96, 8))
    """

    code_mean: Tensor
    code_deviation: Tensor

    def __init__(
        self,
        *,
        dims: int,
        factor: int,
        code_channels: int,
        encoder: tuple[int, ...],
        decoder: tuple[int, ...],
        kernels: tuple[int, ...] = (3, 3),
        expansion: int = 1,
    ) -> None:
        super().__init__()
        _check_numbers(dims, factor, code_channels, kernels, expansion)
        self.dims = dims
        self.factor = factor
        self.in_channels = 1
        self.code_channels = code_channels
        self.encoder_stages = _read_stages("encoder", encoder, factor)
        self.decoder_stages = _read_stages("decoder", decoder, factor)
        self.kernels = tuple(kernels)
        voxels = factor**dims
        self.analysis = nn.Parameter(torch.zeros(code_channels, 1, *[factor] * dims))
        self.synthesis = nn.Parameter(torch.zeros(voxels, code_channels, *[3] * dims))
        self.register_buffer("code_mean", torch.zeros(code_channels))
        self.register_buffer("code_deviation", torch.ones(code_channels))
        block = partial(Block, dims=dims, kernels=self.kernels, expansion=expansion)
        self.encoder = _Encoder(dims, factor, code_channels, self.encoder_stages, block)
        self.decoder = _Decoder(dims, factor, code_channels, self.decoder_stages, block)

    # -- folding and unfolding -------------------------------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        """Codes (batch, code, *space / factor), standardised."""
        u = self._analyse(x)
        if self.encoder_stages:
            u = add(self.encoder(x).to(u.dtype), u)
        mean, deviation = self._statistics()
        return (u - mean) / deviation

    def decode(self, z: Tensor) -> Tensor:
        """The image of codes z, about [−1, 1]; not clamped."""
        mean, deviation = self._statistics()
        around = functional.pad(z * deviation + mean, [1, 1] * self.dims, mode="replicate")
        x = shuffle(self._synthesise(around), self.factor)
        if self.decoder_stages:
            x = add(self.decoder(around).to(x.dtype), x)
        return x

    def _analyse(self, x: Tensor) -> Tensor:
        """The linear codes, never in half precision: a branch cannot repair what is rounded."""
        with torch.autocast(x.device.type, enabled=False):
            return _CONVOLVE[self.dims](
                x.to(self.analysis.dtype), self.analysis, stride=self.factor
            )

    def _synthesise(self, around: Tensor) -> Tensor:
        with torch.autocast(around.device.type, enabled=False):
            return _CONVOLVE[self.dims](around.to(self.synthesis.dtype), self.synthesis)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * self.dims)
        return self.code_mean.reshape(shape), self.code_deviation.reshape(shape)

    # -- weights from elsewhere ------------------------------------------------------------------

    @torch.no_grad()
    def adopt_linear(self, state: Mapping[str, Tensor]) -> None:
        """Take the two kernels of a fitted `networks.linear.Linear` of the same size.

        Raises:
            WeightsError: They are missing or of another size.
        """
        for name in ("analysis", "synthesis"):
            own, given = getattr(self, name), state.get(name)
            if given is None or given.shape != own.shape:
                came = "nothing" if given is None else tuple(given.shape)
                raise WeightsError(
                    f"the linear start for this compact network needs {name} of "
                    f"{tuple(own.shape)}, but {came} came: take the linear codec of the same "
                    "dims, factor and channels"
                )
            own.copy_(given)

    @torch.no_grad()
    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Give codes that have had these statistics, per channel, mean 0 and deviation 1.

        The image does not change: `decode` undoes what `encode` does.

        Raises:
            SettingsError: There is not one finite mean and positive deviation per code channel.
        """
        shape = self.code_mean.shape
        fine = mean.shape == shape and deviation.shape == shape
        if not fine or not (mean.isfinite() & deviation.isfinite() & (deviation > 0)).all():
            raise SettingsError(
                f"standardised codes need {shape[0]} finite means and as many deviations above "
                f"zero, but {mean.tolist()} and {deviation.tolist()} came"
            )
        self.code_mean += mean.to(self.code_mean) * self.code_deviation
        self.code_deviation *= deviation.to(self.code_deviation)

    # -- facts -----------------------------------------------------------------------------------

    @property
    def encoder_reach(self) -> int:
        """How many code cells away a voxel may lie, per axis, for a code to see it."""
        return -(-self._encoder_reach_voxels // self.factor)

    @property
    def _encoder_reach_voxels(self) -> int:
        stages = self.encoder_stages
        if not stages:
            return 0
        last = self.factor if stages[-1].side == self.factor else 0
        return stages[0].side + last + sum(self._widening(stage) for stage in stages)

    @property
    def decoder_reach(self) -> int:
        """How many code cells away a code may lie, per axis, for a voxel to see it."""
        stages = self.decoder_stages
        if not stages:
            return 1
        reach = stages[-1].side  # in voxels, around a cell of the grid in hand
        for stage in reversed(stages):
            reach = -(-reach // stage.side) * stage.side + self._widening(stage)
        return -(-reach // self.factor) + 1

    def _widening(self, stage: Stage) -> int:
        return stage.side * stage.blocks * sum(side // 2 for side in self.kernels)

    @property
    def receptive_field(self) -> int:
        """Voxels per axis that one code sees."""
        return self.factor + 2 * self._encoder_reach_voxels

    def multiply_adds(self) -> tuple[float, float]:
        """Multiplications with a weight per voxel of the image: to encode, and to decode."""
        analysis = self.analysis.numel() / self.factor**self.dims
        synthesis = self.synthesis.numel() / self.factor**self.dims
        encoder, decoder = (
            sum(part.weight.numel() / side**self.dims for part, side in branch.placed())
            for branch in (self.encoder, self.decoder)
        )
        return analysis + encoder, synthesis + decoder


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
Convolution = nn.Conv2d | nn.Conv3d


class _Encoder(nn.Module):
    """unshuffle, conv, then blocks and 1×1 convolutions to coarser grids, then conv."""

    def __init__(
        self,
        dims: int,
        factor: int,
        code_channels: int,
        stages: tuple[Stage, ...],
        block: MakeBlock,
    ) -> None:
        super().__init__()
        self.stages = stages
        self.factor = factor
        if not stages:
            return
        first, last = stages[0], stages[-1]
        self.head = _convolution(dims, first.side**dims, first.width, 3, padding=0)
        self.blocks = _make_blocks(stages, block)
        self.changes = nn.ModuleList(
            _convolution(dims, (b.side // a.side) ** dims * a.width, b.width, 1)
            for a, b in pairwise(stages)
        )
        ratio = factor // last.side
        side = 3 if ratio == 1 else 1  # a code that gathers several cells sees around it already
        self.tail = _convolution(dims, ratio**dims * last.width, code_channels, side, gain=0)

    def forward(self, x: Tensor) -> Tensor:
        """What is added to the linear codes of x."""
        side = self.stages[0].side
        h = unshuffle(x, side)
        h = self.head(functional.pad(h, [1, 1] * (h.ndim - 2), mode="replicate"))
        for index, stage in enumerate(self.stages):
            if stage.side != side:
                h = self.changes[index - 1](unshuffle(h, stage.side // side))
            side = stage.side
            h = self.blocks[index](h)
        return self.tail(unshuffle(h, self.factor // side))

    def placed(self) -> Iterator[tuple[Convolution, int]]:
        """Every convolution and the side of the cells it is computed for."""
        if not self.stages:
            return
        yield self.head, self.stages[0].side
        for stage, blocks in zip(self.stages, self.blocks, strict=True):
            yield from ((part, stage.side) for part in _convolutions(blocks))
        sides = [stage.side for stage in self.stages[1:]]
        yield from zip(_convolutions(self.changes), sides, strict=True)
        yield self.tail, self.factor


class _Decoder(nn.Module):
    """conv, then blocks and 1×1 convolutions to finer grids, then conv and shuffle."""

    def __init__(
        self,
        dims: int,
        factor: int,
        code_channels: int,
        stages: tuple[Stage, ...],
        block: MakeBlock,
    ) -> None:
        super().__init__()
        self.stages = stages
        self.factor = factor
        if not stages:
            return
        first, last = stages[0], stages[-1]
        widened = (factor // first.side) ** dims * first.width
        self.head = _convolution(dims, code_channels, widened, 3, padding=0)
        self.blocks = _make_blocks(stages, block)
        self.changes = nn.ModuleList(
            _convolution(dims, a.width, (a.side // b.side) ** dims * b.width, 1)
            for a, b in pairwise(stages)
        )
        self.tail = _convolution(dims, last.width, last.side**dims, 3, gain=0)

    def forward(self, around: Tensor) -> Tensor:
        """What is added to the linear image of the codes, which come with one more cell around."""
        side = self.factor
        h = self.head(around)
        for index, stage in enumerate(self.stages):
            if index:
                h = self.changes[index - 1](h)
            h = self.blocks[index](shuffle(h, side // stage.side))
            side = stage.side
        return shuffle(self.tail(h), side)

    def placed(self) -> Iterator[tuple[Convolution, int]]:
        """Every convolution and the side of the cells it is computed for."""
        if not self.stages:
            return
        yield self.head, self.factor
        for stage, blocks in zip(self.stages, self.blocks, strict=True):
            yield from ((part, stage.side) for part in _convolutions(blocks))
        sides = [stage.side for stage in self.stages[:-1]]
        yield from zip(_convolutions(self.changes), sides, strict=True)
        yield self.tail, self.stages[-1].side


# -- making and checking -----------------------------------------------------------------------


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
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # there is one
    with torch.no_grad():
        convolution.weight.mul_(gain)
    return convolution


def _convolutions(module: nn.Module) -> Iterator[Convolution]:
    return (part for part in module.modules() if isinstance(part, Convolution))


def _check_numbers(
    dims: int, factor: int, code_channels: int, kernels: tuple[int, ...], expansion: int
) -> None:
    if dims not in CONVOLUTION or not 1 <= factor <= MOST_FACTOR or code_channels < 1:
        raise SettingsError(
            f"a compact network has 2 or 3 dims, a factor of 1 to {MOST_FACTOR} and at least one "
            f"code channel, but dims {dims}, factor {factor} and code_channels {code_channels} came"
        )
    sides = isinstance(kernels, tuple | list) and len(kernels) == 2
    if not sides or any(side not in (1, 3, 5, 7) for side in kernels) or not 1 <= expansion <= 8:
        raise SettingsError(
            "a compact network's blocks have two kernels of side 1, 3, 5 or 7 and an expansion of "
            f"1 to 8, but kernels {kernels!r} and expansion {expansion!r} came"
        )


def _read_stages(name: str, numbers: tuple[int, ...], factor: int) -> tuple[Stage, ...]:
    """(side, width, blocks, …) as stages whose grids fit into one another."""
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
