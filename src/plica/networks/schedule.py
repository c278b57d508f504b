"""Exact schedules: the published networks layer by layer, in the memory there is.

Normalisation and attention see all of a map, so that no tile of the input gives the network's own
result. A schedule does one layer at a time instead, to the whole map, in boxes with the halo of
that layer alone; moments of the next normalisation are gathered as a map is written. The result is
the untiled network's, to rounding. Maps that memory has no room for live in a scratch file.

    plan = plan_schedule(network, "encode", sides=(512, 512, 512), memory=4 * 2**30, scratch=True)
    codes = run_schedule(network, "encode", x, plan=plan, scratch=Path("/scratch"))

Where each map lives is chosen by what it costs: small tiles compute much of their halo for nothing,
and files are slow. Every budget is tried from all maps in memory to none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from plica.errors import SettingsError, TooLarge
from plica.networks.bench import Bench, Reader, Sink, SliceOf, Source, Writer
from plica.networks.heap import give_back
from plica.networks.maps import check_room
from plica.networks.parts import Part, take_apart
from plica.networks.pieces import Sides, choose_tile, count_boxes, cut, hold, whole
from plica.networks.stage import Stage
from plica.networks.stages import list_stages
from plica.networks.stitched import resize_last_axis

Advance = Callable[[float], None]
# What allocators keep, oneDNN's compiled kernels, threads: there whatever the tile.
FIXED = 2**25
# Larger tiles are no faster: their halo is small already, and the memory must first be got.
MOST_WORK = 2**29
# About what two cores and a plain disk do; only their ratio matters, for choosing. Each box costs
# as much as its calls and the reordering of its kernel take.
_OPERATIONS_PER_SECOND, _BYTES_PER_SECOND, _SECONDS_PER_BOX = 3e11, 1e9, 0.02
_MIB, _GIB = 2**20, 2**30


@dataclass(frozen=True)
class Step:
    """A stage, and the tile it is done in.

    Args:
        stage: What is done.
        tile: Sides of a box without halo, in cells of the stage.
        held: Bytes of the maps in memory meanwhile.
        peak: Bytes in memory, with those and all that is fixed.
    """

    stage: Stage
    tile: Sides
    held: int
    peak: int


@dataclass(frozen=True)
class Schedule:
    """How a part of a network is run.

    Args:
        part: Of the network.
        sides: Of the input, as the part's coder sees it.
        steps: In order.
        held: Maps of at most so many bytes live in memory.
        peak_bytes: Most memory that is taken meanwhile, the result's included.
        scratch_bytes: Most room that scratch files take at a time.
        operations: Multiply-adds.
        slices: How often all this is done, for stitched networks.
    """

    part: Part
    sides: Sides
    steps: tuple[Step, ...]
    held: float
    peak_bytes: int
    scratch_bytes: int
    operations: int
    slices: int = 1

    @property
    def tiles(self) -> dict[Sides, Sides]:
        """The smallest tile on each resolution, by the sides of its maps."""
        found: dict[Sides, Sides] = {}
        for step in self.steps:
            before = found.get(step.stage.sides, step.tile)
            found[step.stage.sides] = min(before, step.tile, key=math.prod)
        return found

    @property
    def homes(self) -> dict[tuple[int, Sides], str]:
        """Where maps live, "memory" or "scratch", by their channels and sides."""
        size = self.part.dtype.itemsize
        return {
            (made.channels, made.sides): "memory" if made.values * size <= self.held else "scratch"
            for step in self.steps
            for made in step.stage.makes
        }

    @property
    def boxes(self) -> int:
        """How many boxes are computed."""
        return sum(count_boxes(step.stage.sides, step.tile) for step in self.steps)

    def describe(self) -> str:
        """One line for a person."""
        homes = sorted(set(self.homes.values()))
        return (
            f"{len(self.steps)} layers in {self.boxes} boxes, maps in {' and '.join(homes)}; "
            f"{self.peak_bytes / _GIB:.2f} GiB of memory, {self.scratch_bytes / _GIB:.2f} GiB of "
            f"scratch, {self.operations * self.slices / 1e12:.2f} · 10¹² multiply-adds"
        )


# -- planning ------------------------------------------------------------------------------------


def plan_schedule(
    network: nn.Module,
    direction: str = "encode",
    *,
    sides: Sides,
    memory: int,
    scratch: bool = True,
    into: bool = False,
) -> Schedule:
    """How to run one direction of a network on one input in so much memory.

    Args:
        network: A KL, VQ or stitched autoencoder, or an encoder or decoder alone.
        direction: "encode", "posterior" or "decode".
        sides: Of the input's space: of an image, or of codes for decoding.
        memory: Bytes that may be taken, besides the network and the input.
        scratch: Whether maps may live in a file.
        into: Whether the result is written to where somebody else holds it, and does not count.

    Raises:
        TooLarge: There is no way; says the least memory there is one with.
        SettingsError: The network has no such direction, or takes no such sides.

    Examples:
        >>> plan = plan_schedule(network, "encode", sides=(512, 512), memory=2**30)
        >>> plan.peak_bytes < 2**30
        True
    """
    part = take_apart(network, direction)
    inner, slices = _sides_within(part, tuple(sides))
    stages = list_stages(part, inner)
    fixed = FIXED + _result_bytes(part, inner, slices, into=into)
    plans = [
        _plan_with(part, stages, held, memory=memory, fixed=fixed)
        for held in _thresholds(stages, scratch=scratch)
    ]
    fitting = [steps for steps in plans if steps.peak <= memory]
    if not fitting:
        raise _refusal(plans, sides, memory, scratch=scratch)
    best = min(fitting, key=lambda one: one.seconds)
    return Schedule(
        part=part,
        sides=inner,
        steps=best.steps,
        held=best.held,
        peak_bytes=best.peak,
        scratch_bytes=best.scratch,
        operations=sum(stage.operations for stage in stages),
        slices=slices,
    )


@dataclass(frozen=True)
class _Way:
    """One choice of what is held in memory."""

    steps: tuple[Step, ...]
    held: float
    peak: int
    scratch: int
    seconds: float


def _thresholds(stages: list[Stage], *, scratch: bool) -> list[float]:
    """Sizes of maps up to which they might be held, the most first."""
    if not scratch:
        return [math.inf]
    sizes = {made.values * stage.itemsize for stage in stages for made in stage.makes}
    return [math.inf, *sorted(sizes, reverse=True)[1:], 0]


def _plan_with(part: Part, stages: list[Stage], held: float, *, memory: int, fixed: int) -> _Way:
    """The tiles of every stage when maps of at most `held` bytes are held."""
    steps: list[Step] = []
    live: dict[str, int] = {}
    scratch, seconds = 0, 0.0
    for stage in stages:
        for made in stage.makes:
            live[made.name] = made.values * stage.itemsize
        inside = sum(size for size in live.values() if size <= held)
        scratch = max(scratch, sum(live.values()) - inside)
        tile, need = _fit(stage, min(MOST_WORK, memory - fixed - inside))
        steps.append(Step(stage, tile, inside, math.ceil(fixed + inside + need)))
        files = any(size > held for size in live.values())
        seconds += _guess_seconds(stage, tile, files=files)
        _pass_on(live, stage)
    peak = max(step.peak for step in steps)
    return _Way(tuple(steps), held, peak, scratch, seconds)


def _fit(stage: Stage, allowed: float) -> tuple[Sides, float]:
    """The largest tile that is allowed, or else the one that needs least; and its need."""
    tried: dict[Sides, float] = {}
    tile = choose_tile(stage.sides, partial(_weigh, stage, tried), allowed)
    if tile is None:
        tile = min(tried, key=lambda one: tried[one])
    return tile, tried[tile]


def _weigh(stage: Stage, tried: dict[Sides, float], tile: Sides) -> float:
    """What a tile needs, which is noted."""
    crowded = math.prod(tile) > stage.most_cells
    tried[tile] = math.inf if crowded else stage.need(tile)
    return tried[tile]


def _guess_seconds(stage: Stage, tile: Sides, *, files: bool) -> float:
    waste = hold(tile, stage.sides, stage.halo) / math.prod(tile)
    boxes = count_boxes(stage.sides, tile)
    seconds = stage.operations * waste / _OPERATIONS_PER_SECOND + boxes * _SECONDS_PER_BOX
    if files:
        seconds += stage.traffic * waste * stage.itemsize / _BYTES_PER_SECOND
    return seconds


def _pass_on(live: dict[str, int], stage: Stage) -> None:
    """What is left of the maps when a stage has ended."""
    for name in stage.drops:
        live.pop(name, None)
    if "n" in live:
        live["h"] = live.pop("n")


def _sides_within(part: Part, sides: Sides) -> tuple[Sides, int]:
    """The sides that the coder sees, and how many slices of them."""
    factor = 1 if part.enlarging else part.factor
    axes = len(part.axes) + part.sliced
    whole = len(sides) == axes and all(side >= factor and side % factor == 0 for side in sides)
    if not whole:
        raise SettingsError(
            f"this network takes {axes} sides that are multiples of {factor}, but {sides} came"
        )
    return tuple(sides[axis] for axis in part.axes), sides[-1] if part.sliced else 1


def _result_sides(part: Part, sides: Sides) -> Sides:
    factor = part.factor
    if part.enlarging:
        return tuple(side * factor for side in sides)
    return tuple(side // factor for side in sides)


def _result_bytes(part: Part, sides: Sides, slices: int, *, into: bool) -> int:
    values = part.channels[1] * math.prod(_result_sides(part, sides)) * slices
    # Of slices, all means, the same in another order, and the resized ones exist at a time.
    copies = 3 if part.sliced else 0 if into else 1
    return values * copies * part.outer.itemsize


def _refusal(plans: list[_Way], sides: Sides, memory: int, *, scratch: bool) -> TooLarge:
    least = min(way.peak for way in plans)
    at = math.ceil(least / _MIB)
    other = "" if scratch else ", or allow a scratch folder"
    return TooLarge(
        f"{memory / _MIB:.0f} MiB are too little for {' × '.join(map(str, sides))} cells, exactly: "
        f"the least that can is {at} MiB{other}",
        least=least,
    )


# -- running -------------------------------------------------------------------------------------


def run_schedule(
    network: nn.Module,
    direction: str,
    x: Tensor | Source,
    *,
    plan: Schedule,
    scratch: Path | None = None,
    into: Sink | None = None,
    advance: Advance = lambda done: None,
) -> Tensor | Sink:
    """One direction of a network on one input: the untiled result, to rounding.

    Args:
        network: As it was planned for, wherever it is.
        direction: "encode", "posterior" (mean and log-variance on one channel axis) or "decode".
        x: (1, channel, *space): a tensor, or anything of which boxes can be read as NumPy arrays.
        plan: From `plan_schedule`.
        scratch: Folder for maps that the plan has no memory for.
        into: What the result is written to, box by box, and what is then returned.
        advance: Is told how much more is done, in all the number of x's values.

    Raises:
        OutputError: The scratch folder has not the room.
        SettingsError: The plan is for other sides, or needs a scratch folder.

    Examples:
        >>> x = torch.randn(1, 1, 64, 64)
        >>> plan = plan_schedule(network, "encode", sides=(64, 64), memory=2**30)
        >>> z = run_schedule(network, "encode", x, plan=plan)
        >>> torch.allclose(z, network.encode(x), atol=1e-5)
        True
    """
    part = take_apart(network, direction)
    _check_plan(plan, part, tuple(x.shape), scratch)
    share = math.prod(x.shape) / (plan.operations * plan.slices)
    run = _Run(part, plan, scratch, lambda done: advance(done * share))
    if part.sliced:
        return _run_slices(run, x, into)
    sides = _turn_back(part, _result_sides(part, plan.sides))
    result = run.make_result(sides, x) if into is None else into
    run.run(x, result)
    return result


@dataclass(frozen=True)
class _Run:
    """What all slices of an input have in common."""

    part: Part
    plan: Schedule
    scratch: Path | None
    advance: Advance

    def make_result(self, sides: Sides, x: Tensor | Source) -> Tensor:
        device = x.device if isinstance(x, Tensor) else "cpu"
        return torch.empty(1, self.part.channels[1], *sides, dtype=self.part.outer, device=device)

    def run(self, x: Tensor | Source, result: Tensor | Sink) -> None:
        device = str(self.part.coder.conv_in.weight.device)
        bench = Bench(
            Reader(x, self.part.axes, self.part.outer, device),
            Writer(result, self.part.axes),
            dtype=self.part.dtype,
            device=device,
            held=self.plan.held,
            scratch=self.scratch,
            advance=self.advance,
        )
        try:
            with torch.inference_mode():
                for step in self.plan.steps:
                    _do(step, bench)
        finally:
            bench.close()


def _do(step: Step, bench: Bench) -> None:
    stage = step.stage
    for made in stage.makes:
        bench.make(made.name, made.channels, made.sides)
    for box in cut(stage.sides, step.tile):
        stage.run(bench, box)
        stage.tell(bench, box)
        give_back()
    stage.finish(bench)


def _run_slices(run: _Run, x: Tensor | Source, into: Sink | None) -> Tensor | Sink:
    """A stitched network's codes: each slice's, resized along the last axis."""
    plan, codes = run.plan, run.part.channels[1]
    sides = _turn_back(run.part, _result_sides(run.part, plan.sides))
    means = torch.empty(plan.slices, codes, *sides, dtype=run.part.outer)
    for k in range(plan.slices):
        run.run(SliceOf(x, k), means[k : k + 1])
    fewer = plan.slices * sides[0] // int(x.shape[2])
    result = resize_last_axis(means.permute(1, 2, 3, 0)[None], fewer)
    if into is None:
        return result.to(x.device) if isinstance(x, Tensor) else result
    Writer(into, (0, 1, 2)).write(whole(tuple(result.shape[2:])), result)
    return into


def _turn_back(part: Part, sides: Sides) -> Sides:
    """Sides as the caller sees them."""
    return tuple(sides[part.axes.index(axis)] for axis in range(len(part.axes)))


def _check_plan(plan: Schedule, part: Part, shape: Sides, scratch: Path | None) -> None:
    if shape[:2] != (1, part.channels[0]) or _sides_within(part, shape[2:]) != (
        plan.sides,
        plan.slices,
    ):
        raise SettingsError(
            f"the plan is for one image of {part.channels[0]} channels and {plan.sides} cells, but "
            f"{shape} came: plan anew"
        )
    if plan.scratch_bytes and scratch is None and part.coder.conv_in.weight.device.type == "cpu":
        raise SettingsError(
            "the plan keeps maps in scratch files: say in which folder, or plan without scratch"
        )
    if plan.scratch_bytes and scratch is not None:
        check_room(scratch, plan.scratch_bytes)
