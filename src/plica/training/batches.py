"""Batches: which patch of which image is at which place of which step, as a pure function."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import SettingsError
from plica.training.crops import cut, draw_side, draw_start, vary
from plica.training.data import Pool, Prepared, usable_planes
from plica.training.prepared import STRAIGHT, PreparedImage, spread_channels, turn
from plica.training.recipe import Recipe

Float32 = NDArray[np.float32]
Share = tuple[Float32, tuple[int, ...]]

_BLOCK = 4096
"""Patches in which each source is drawn as often as its weight says, in an order of their own."""

# One stream of chance for each purpose.
_PATCH, _SOURCES, _CASES = 0, 1, 2
_AHEAD = 2
_MOST_THREADS = 8


class Batches:
    """The batches of a training.

    The patch at place p of step t depends on (seed, t, p) alone: not on how many processes share a
    batch, nor on where a training was interrupted. Within a source every image is drawn once
    before any is drawn again.

    Args:
        prepared: What is drawn from.
        recipe: How.

    Examples:
        >>> from plica.training.data import Shape, prepare_cases
        >>> prepared = prepare_cases(recipe.data, cohort, Shape.of(network))
        >>> x, seeds = Batches(prepared, recipe).at(0)
        >>> x.shape, len(seeds)
        ((2, 1, 16, 16), 2)
    """

    def __init__(self, prepared: Prepared, recipe: Recipe) -> None:
        self._pools = prepared.pools
        self._shape = prepared.validation.shape
        self._data = recipe.data
        self._recipe = recipe
        self._quotas = _share_block([pool.weight for pool in self._pools])
        self._order = lru_cache(maxsize=8)(self._make_order)
        self._permutation = lru_cache(maxsize=64)(self._make_permutation)

    # -- one step --------------------------------------------------------------------------------

    def at(self, step: int, rank: int = 0, world: int = 1) -> Share:
        """One process's share of the batch of a step, and one seed per patch.

        Args:
            step: From 0.
            rank: Which of the processes.
            world: How many there are; they take equal shares, one after the other.

        Raises:
            SettingsError: The processes cannot share the batch evenly.
        """
        batch = self._recipe.batch
        if batch % world:
            raise SettingsError(f"{world} processes cannot share batches of {batch} evenly")
        each = batch // world
        places = range(rank * each, (rank + 1) * each)
        x = np.stack([self._patch(step, place) for place in places])
        return x, tuple(self._seed(step, place) for place in places)

    def _rng(self, *where: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(self._entropy(*where)))

    def _entropy(self, *where: int) -> np.random.SeedSequence:
        return np.random.SeedSequence((self._recipe.seed, *where))

    def _seed(self, step: int, place: int) -> int:
        return int(self._entropy(_PATCH, step, place).generate_state(1, np.uint64)[0] >> 1)

    def choose(self, step: int, place: int) -> tuple[Pool, PreparedImage]:
        """The source and the image a patch is taken from."""
        block, inside = divmod(step * self._recipe.batch + place, int(self._quotas.sum()))
        sources, ordinals = self._order(block)
        source = int(sources[inside])
        pool = self._pools[source]
        drawn = block * int(self._quotas[source]) + int(ordinals[inside])
        epoch, at = divmod(drawn, len(pool.images))
        return pool, pool.images[self._permutation(source, epoch)[at]]

    def _make_order(self, block: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """For each patch of a block: its source, and how many of that source came before."""
        sources = np.repeat(np.arange(len(self._quotas)), self._quotas)
        sources = self._rng(_SOURCES, block).permutation(sources)
        ordinals = np.empty_like(sources)
        for source, quota in enumerate(self._quotas):
            ordinals[sources == source] = np.arange(quota)
        return sources, ordinals

    def _make_permutation(self, source: int, epoch: int) -> NDArray[Any]:
        return self._rng(_CASES, source, epoch).permutation(len(self._pools[source].images))

    # -- one patch -------------------------------------------------------------------------------

    def _patch(self, step: int, place: int) -> Float32:
        _, image = self.choose(step, place)
        rng = self._rng(_PATCH, step, place)
        pixels = image.open()
        groups = max(1, image.channels // self._shape.in_channels)
        held = rng.random() < self._data.foreground
        cutter = self._cut_slice if self._shape.dims == 2 else self._cut_cube
        group = int(rng.integers(groups))
        # Grey is repeated last: cutting it once is enough.
        wanted = self._shape.in_channels if image.channels > 1 else 1
        x = cutter(rng, image, spread_channels(pixels, wanted, group), held)
        x = vary(rng, x, self._data.augmentation)
        return np.ascontiguousarray(spread_channels(x, self._shape.in_channels, 0))

    def _cut_slice(
        self, rng: np.random.Generator, image: PreparedImage, pixels: Any, held: bool
    ) -> Float32:
        """A square (channel, row, column) out of one slice."""
        planes = usable_planes(image, self._data)
        across = planes[int(rng.integers(len(planes)))]
        by = image.turn_to(across)
        voxel = image.draw_voxel(rng, pixels, by) if held else None
        slices = image.slices(across)
        k = int(slices[rng.integers(len(slices))]) if voxel is None else voxel[2]
        plane = turn(pixels, by)[..., k].transpose(0, 2, 1)
        wanted = None if voxel is None else (voxel[1], voxel[0])
        return self._cut(rng, plane, wanted)

    def _cut_cube(
        self, rng: np.random.Generator, image: PreparedImage, pixels: Any, held: bool
    ) -> Float32:
        """A cube (channel, i, j, k)."""
        return self._cut(rng, pixels, image.draw_voxel(rng, pixels, STRAIGHT) if held else None)

    def _cut(self, rng: np.random.Generator, array: Any, wanted: Any) -> Float32:
        crop, lengths = self._data.crop, array.shape[1:]
        side = draw_side(rng, crop, self._data.augmentation, min(lengths))
        starts = [
            draw_start(rng, side, length, None if wanted is None else int(wanted[axis]))
            for axis, length in enumerate(lengths)
        ]
        return cut(array, starts, side, crop)

    # -- step after step -------------------------------------------------------------------------

    def stream(
        self, first: int, last: int, *, rank: int = 0, world: int = 1, threads: int = 0
    ) -> Generator[Share, None, None]:
        """The shares of the steps from `first` up to `last`, made ahead while a step is computed.

        Args:
            threads: That make shares; 0 takes some of the cores. Order and shares are the same
                for any number.
        """
        threads = threads or _choose_threads(world)
        pending: deque[Future[Share]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
            try:
                coming = iter(range(first, last))
                for step in coming:
                    pending.append(pool.submit(self.at, step, rank, world))
                    if len(pending) >= threads + _AHEAD:
                        break
                while pending:
                    share = pending.popleft().result()
                    if (step := next(coming, -1)) >= 0:
                        pending.append(pool.submit(self.at, step, rank, world))
                    yield share
            finally:
                for future in pending:
                    future.cancel()


def _choose_threads(world: int) -> int:
    """Half the cores of a process, for the other half computes; a few are enough for a device."""
    return min(_MOST_THREADS, max(1, (os.cpu_count() or 1) // (2 * world)))


def _share_block(weights: list[float]) -> NDArray[np.int64]:
    """How many of a block's patches each source gets: by weight, and at least one."""
    shares = np.array(weights) / sum(weights) * _BLOCK
    return np.maximum(1, np.rint(shares)).astype(np.int64)
