"""How long the structural metrics take, beside scikit-image where it has the same one.

python benchmarks/metrics_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from skimage.metrics import structural_similarity

from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import measure

SHAPES = ((512, 512, 1), (3000, 2400, 1), (200, 230, 190))


def clock(job: Callable[[], float]) -> tuple[float, float]:
    """Seconds of one run, and its result."""
    begun = time.perf_counter()
    result = job()
    return time.perf_counter() - begun, result


def main() -> None:
    """Print a table."""
    print(f"{'voxels':>16}  {'ssim':>8}  {'scikit-image':>12}  {'ms-ssim':>8}   difference of ssim")
    for shape in SHAPES:
        generator = np.random.default_rng(0)
        source = (generator.normal(size=(1, *shape)).cumsum(axis=1) * 50).astype(np.int16)
        decoded = (source + generator.normal(size=source.shape) * 30).astype(np.int16)
        grid = Grid.from_spacing(shape)
        pair = Image(source, grid, Unit.HU), Image(decoded, grid, Unit.HU)
        ours, value = clock(lambda pair=pair: measure(*pair, metrics=["ssim"])["ssim"])
        scales, _ = clock(lambda pair=pair: measure(*pair, metrics=["ms-ssim"])["ms-ssim"])
        x, y = (side[0].squeeze().astype(np.float64) for side in (source, decoded))
        theirs, same = clock(
            lambda x=x, y=y: structural_similarity(
                x, y, data_range=4095, gaussian_weights=True, use_sample_covariance=False
            )
        )
        print(
            f"{'×'.join(map(str, shape)):>16}  {ours:7.2f}s  {theirs:11.2f}s  {scales:7.2f}s   "
            f"{abs(value - same):.1e}"
        )


if __name__ == "__main__":
    main()
