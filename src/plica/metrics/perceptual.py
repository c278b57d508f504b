"""LPIPS as a metric of images: slice by slice, through a network that was trained on photographs.

Values become those of a picture: with R the data range and b its lower end (−1024 for HU, 0 for
8-bit display values, otherwise the source's least value),

    x' = 2 · clip((x − b) / R, 0, 1) − 1

as a screen shows them, whose black and white are the ends of the range. Slices are those in which
a volume was acquired: across the axis of clearly the largest spacing, else axial; they stand as a
reader expects them. The number is the mean over slices, each at its own number of pixels.

Runs where torch's default device is: `with torch.device("cuda"): measure(…)`.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plica.codecs.pretrained import describe, load_perceptual
from plica.metrics.metric import NO_RANGE, Metric, Score
from plica.metrics.pair import Pair
from plica.networks.perceptual import Perceptual
from plica.preparation.planes import ORIENTATIONS, find_plane
from plica.preparation.reorient import find_turn

BATCH_PIXELS = 1 << 19  # VGG's first maps of so many are 128 MiB


@functools.lru_cache(maxsize=3)
def open_judge(network: str, weights_dir: Path | None, device: str) -> tuple[Perceptual, str]:
    """A network that judges, and in words which files it was made of.

    Raises:
        WeightsError: A file is nowhere, damaged or of another network.
    """
    judge = load_perceptual(network, weights_dir).to(device)
    files = (describe(name, weights_dir) for name in (network, f"lpips-{network}"))
    return judge, "; ".join(files)


def _lpips(network: str, pair: Pair) -> Score:
    pair = pair.boxed()
    if pair.finite is not None:
        return Score(math.nan, "some values are not finite: give images with finite values")
    if pair.source.shape[0] not in {1, 3}:
        return Score(math.nan, f"{pair.source.shape[0]} channels make no picture: give 1 or 3")
    if pair.data_range == 0:
        same = all(not difference.any() for difference in pair.differences())
        return Score(0.0, "no value differs") if same else Score(math.nan, NO_RANGE)
    source, decoded, plane = _slices(pair)
    judge, files = open_judge(network, pair.weights_dir, str(torch.get_default_device()))
    if min(source.shape[2:]) < judge.least_side:
        height, width = source.shape[2:]
        return Score(
            math.nan,
            f"slices of {width}×{height} pixels are too small for {network}: give at least "
            f"{judge.least_side}×{judge.least_side}",
        )
    distances: list[float] = []
    step = max(1, BATCH_PIXELS // (source.shape[2] * source.shape[3]))
    for start in range(0, len(source), step):
        x, y = (_picture(side[start : start + step], pair) for side in (source, decoded))
        with torch.no_grad():
            distances += judge(x, y).double().tolist()
    note = "one picture" if len(distances) == 1 else f"mean of {len(distances)} {plane} slices"
    return Score(float(np.mean(distances)), note, {"slices": distances, "weights": files})


def _slices(pair: Pair) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Source and decoded as (slice, channel, row, column), and the plane they lie in."""
    order, flipped, plane = [0, 1, 2], [False] * 3, "single"
    if pair.grid is not None and pair.grid.shape[2] > 1:
        plane = find_plane(pair.grid)
        order, flipped = find_turn(pair.grid.orientation, ORIENTATIONS[plane])
    turned = []
    for side in (pair.source, pair.decoded):
        side = side.transpose(0, *(axis + 1 for axis in order))
        side = np.flip(side, tuple(axis + 1 for axis in range(3) if flipped[axis]))
        turned.append(side.transpose(3, 0, 2, 1))
    return turned[0], turned[1], plane


def _picture(values: NDArray[Any], pair: Pair) -> torch.Tensor:
    """Slices as pictures in [−1, 1]."""
    shown = np.clip((values.astype(np.float64) - pair.low) / pair.data_range, 0, 1)
    return torch.as_tensor((2 * shown - 1).astype(np.float32), device=torch.get_default_device())


def _metric(name: str, network: str, words: str) -> Metric:
    return Metric(
        name=name,
        unit="1",
        better="lower",
        ranged=True,
        mask_rule=(
            "No value where any is not finite. With a region, all of the smallest box that holds "
            "it is compared."
        ),
        definition=(
            f"LPIPS 0.1 (Zhang 2018) with {words}: the data range, clipped, becomes [−1, 1], grey "
            "becomes three equal channels; mean over the slices of a volume in the plane in which "
            "it was acquired (axial where no spacing is clearly the largest)."
        ),
        function=functools.partial(_lpips, network),
    )


LPIPS_ALEX = _metric("lpips-alex", "alexnet", "AlexNet")
LPIPS_VGG = _metric("lpips-vgg", "vgg16", "VGG16")
LPIPS_SQUEEZE = _metric("lpips-squeeze", "squeezenet", "SqueezeNet 1.1")
