"""How long the metrics take and how much memory, beside scikit-image where it has the same one.

python benchmarks/metrics_speed.py
python benchmarks/metrics_speed.py --shape 512 512 200 --metric fsc-resolution wavelet-detail
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence

import numpy as np
from skimage.metrics import structural_similarity

from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import measure
from plica.metrics.surfaces import surface_distances

SHAPES = ((512, 512, 1), (3000, 2400, 1), (200, 230, 190))
METRICS = ("psnr", "ssim", "ms-ssim", "wavelet-detail", "fsc-resolution")
SPACING_MM = (0.7, 0.7, 1.5)


def clock(job: Callable[[], float]) -> tuple[float, float]:
    """Seconds of one run, and its result."""
    begun = time.perf_counter()
    result = job()
    return time.perf_counter() - begun, result


def make_pair(shape: tuple[int, int, int]) -> tuple[Image, Image]:
    """Something as rough as a CT, and the same with noise."""
    generator = np.random.default_rng(0)
    grid = Grid.from_spacing(shape, SPACING_MM)
    sides = []
    source = np.empty((1, *shape), np.int16)
    decoded = np.empty_like(source)
    walk = np.zeros(shape[1:])
    for row in range(shape[0]):  # in rows, so that making them is not what needs the memory
        walk += generator.normal(size=shape[1:])
        source[0, row] = walk * 50
        decoded[0, row] = source[0, row] + generator.normal(size=shape[1:]) * 30
    sides = [Image(pixels, grid, Unit.HU) for pixels in (source, decoded)]
    return sides[0], sides[1]


def peak() -> float:
    """The most memory this process has held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def show(shape: tuple[int, int, int], metrics: Sequence[str]) -> None:
    """One row."""
    pair = make_pair(shape)
    before = peak()
    cells = []
    for name in metrics:
        seconds, _ = clock(lambda name=name: measure(*pair, metrics=[name])[name])
        cells.append(f"{seconds:{max(len(name), 7)}.2f}s")
    voxels = "×".join(map(str, shape))
    print(f"{voxels:>14}  {'  '.join(cells)}   {before:6.2f} → {peak():.2f} GiB", end="")
    if np.prod(shape) < 1e7 and "ssim" in metrics:
        x, y = (side.pixels[0].squeeze().astype(np.float64) for side in pair)
        theirs, same = clock(
            lambda: structural_similarity(
                x, y, data_range=4095, gaussian_weights=True, use_sample_covariance=False
            )
        )
        difference = abs(measure(*pair, metrics=["ssim"])["ssim"] - same)
        print(f"   ssim of scikit-image {theirs:.2f}s, difference {difference:.1e}", end="")
    print()


def show_surfaces(shape: tuple[int, int, int]) -> None:
    """Two spheres, one a voxel aside."""
    places = np.ogrid[tuple(slice(-1, 1, side * 1j) for side in shape)]
    ball = sum(place**2 for place in places) < 0.5
    seconds, value = clock(
        lambda: surface_distances(ball, np.roll(ball, 1, 0), SPACING_MM).mean()[0]
    )
    print(f"{'×'.join(map(str, shape)):>14}  surface distances {seconds:.2f}s, ASSD {value:.3f} mm")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=int, nargs=3, help="only this shape")
    parser.add_argument("--metric", nargs="+", default=METRICS)
    asked = parser.parse_args()
    print(f"{'voxels':>14}  {'  '.join(f'{name:>8}' for name in asked.metric)}   memory")
    for shape in SHAPES if asked.shape is None else [tuple(asked.shape)]:
        show(shape, asked.metric)
    if asked.shape is None:
        show_surfaces(SHAPES[-1])


if __name__ == "__main__":
    main()
