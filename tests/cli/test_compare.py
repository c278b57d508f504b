"""plica compare: metrics by name, within a mask, and of drawings."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from plica.cli.console import speak_shell
from plica.cli.main import app
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image, Unit

SHAPE, SPACING = (30, 26, 20), (0.8, 0.8, 2.0)
GRID = Grid.from_spacing(SHAPE, SPACING)


@pytest.fixture
def files(tmp_path):
    """A volume, the same decoded, a mask of its middle, and two drawings."""
    generator = np.random.default_rng(0)
    source = generator.normal(0, 50, SHAPE).cumsum(0).astype(np.int16)
    decoded = (source + generator.normal(0, 5, SHAPE)).astype(np.int16)
    mask, moved = np.zeros((2, *SHAPE), np.uint8)
    mask[8:20, 8:20, 6:14] = 1
    moved[9:21, 8:20, 6:14] = 1
    paths = {}
    for name, pixels in {"a": source, "b": decoded, "mask": mask, "moved": moved}.items():
        unit = Unit.LABEL if name in {"mask", "moved"} else Unit.HU
        paths[name] = tmp_path / f"{name}.nii.gz"
        write(Image(pixels[None], GRID, unit), paths[name])
    paths["decoded"] = decoded
    paths["source"] = source
    return paths


def run(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_only_the_metrics_that_were_named_are_printed(files):
    done = run(files["a"], files["b"], "--metric", "psnr", "wavelet-detail", "--unit", "HU",
               "--json")  # fmt: skip

    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)["values"]
    assert [value["metric"] for value in values] == ["psnr", "wavelet-detail"]
    assert values[1]["detail"]["bands"]


def test_without_names_there_are_bands_and_frequencies_too(files):
    done = run(files["a"], files["b"], "--unit", "HU")

    assert done.exit_code == 0, done.output
    for words in ("wavelet-detail", "fsc-resolution", "cycles/mm", "native Nyquist 0.625"):
        assert words in " ".join(done.stdout.split())


def test_a_region_is_read_from_a_mask(files):
    done = run(files["a"], files["b"], "--region", files["mask"], "--metric", "mae", "--json")

    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    error = np.abs(files["decoded"].astype(float) - files["source"])[8:20, 8:20, 6:14]
    assert record["values"][0]["value"] == pytest.approx(error.mean())
    assert (record["n_values"], record["n_outside"]) == (error.size, 30 * 26 * 20 - error.size)


def test_a_region_on_another_grid_is_refused(files, tmp_path):
    other = tmp_path / "other.nii.gz"
    pixels = np.ones((1, *SHAPE), np.uint8)
    write(Image(pixels, Grid.from_spacing(SHAPE, (1, 1, 1)), Unit.LABEL), other)

    done = run(files["a"], files["b"], "--region", other)

    assert done.exit_code
    assert "the images and the region are not on one grid" in str(done.exception)


def test_drawings_are_compared_within_a_tolerance(files):
    done = run(files["mask"], files["moved"], "--tolerance", "0.8", "--json")

    assert done.exit_code == 0, done.output
    (label,) = json.loads(done.stdout)
    values = {value["metric"]: value["value"] for value in label["values"]}
    assert values["dice"] == pytest.approx(2 * 11 / 24)
    assert values["hd"] == pytest.approx(0.8, abs=1e-5)
    assert values["nsd"] == 1
    printed = run(files["mask"], files["moved"], "--tolerance", "0.8", "--metric", "nsd").stdout
    assert "tolerance of nsd: 0.8 mm" in printed


def test_drawings_without_a_tolerance_are_told_of_it(files):
    refused = run(files["mask"], files["moved"], "--unit", "label")
    mixed = run(files["mask"], files["moved"], "--tolerance", "1", "--region", files["mask"])

    assert "--tolerance" in str(refused.exception)
    assert "leave them out" in str(mixed.exception)


def test_what_has_no_range_is_told_in_the_words_of_the_shell(files, tmp_path):
    flat = tmp_path / "flat.nii.gz"
    write(Image(np.full((1, *SHAPE), 7, np.int16), GRID, Unit.RELATIVE), flat)

    done = run(flat, files["a"], "--unit", "relative", "--metric", "psnr")

    assert speak_shell(str(done.exception)).endswith("such as --data-range 4095")
