"""docs/metrics.md says of each metric what the metric says of itself."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.networks.published import make_weights_dir
from typer.testing import CliRunner

from plica.cli.main import app
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics import spectral, structural, wavelet
from plica.metrics.metric import METRICS
from plica.metrics.overlap import LABEL_METRICS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_metric_stands_in_the_page():
    for name in (*METRICS, *LABEL_METRICS):
        assert f"| `{name}`" in PAGE


def test_the_sizes_are_those_of_the_program():
    sides = dict(re.findall(r"\| `([\w-]+)`[^|]*\| (\d+) voxels \|", PAGE))

    assert int(sides["ssim"]) == structural.TAPS
    assert int(sides["wavelet-detail"]) == 1 << wavelet.LEVELS
    assert int(sides["fsc-resolution"]) == spectral.LEAST_SIDE
    assert structural._count_scales(176) == 5 > structural._count_scales(175)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files the page speaks of, which is where commands run."""
    grid = Grid.from_spacing((40, 36, 24), (0.8, 0.8, 2.0))
    generator = np.random.default_rng(0)
    ct = generator.normal(0, 30, grid.shape).cumsum(0).astype(np.int16)
    mask, moved = np.zeros((2, *grid.shape), np.uint8)
    mask[6:30, 6:30, 2:20] = moved[8:32, 6:30, 2:20] = 1
    for name, pixels, unit in (
        ("ct", ct, Unit.HU), ("decoded", ct + 1, Unit.HU), ("lesion", mask, Unit.LABEL),
        ("drawn", mask, Unit.LABEL), ("found", moved, Unit.LABEL),
    ):  # fmt: skip
        write(Image(pixels[None], grid, unit), tmp_path / f"{name}.nii.gz")
    make_weights_dir(tmp_path / "weights", ["vgg16", "lpips-vgg16"])
    monkeypatch.chdir(tmp_path)


def test_the_commands_of_the_page_run(folder):
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output, done.exception)


def test_the_python_of_the_page_runs(folder):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict = {}
    exec(block, names)
    assert np.isfinite(names["found"]["psnr"])
