"""docs/metrics.md says of each metric what the metric says of itself."""

import re
import subprocess
import sys
from pathlib import Path

from plica.metrics import spectral, structural, wavelet
from plica.metrics.metric import METRICS
from plica.metrics.overlap import LABEL_METRICS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_program():
    done = subprocess.run(
        [sys.executable, "docs/make_metrics.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_stands_in_the_page():
    for name in (*METRICS, *LABEL_METRICS):
        assert f"| `{name}`" in PAGE


def test_the_sizes_are_those_of_the_program():
    sides = dict(re.findall(r"\| `([\w-]+)`[^|]*\| (\d+) voxels \|", PAGE))

    assert int(sides["ssim"]) == structural.TAPS
    assert int(sides["wavelet-detail"]) == 1 << wavelet.LEVELS
    assert int(sides["fsc-resolution"]) == spectral.LEAST_SIDE
    assert structural._count_scales(176) == 5 > structural._count_scales(175)
