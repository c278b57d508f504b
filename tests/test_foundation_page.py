"""docs/foundation.md says what the cards say, and its commands run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.codecs.test_tiny import make_folder
from typer.testing import CliRunner

import plica
from plica.cli.main import app
from plica.codecs.catalogue import CODECS, offer
from plica.codecs.policy import WINDOWS_HU
from plica.codecs.reconstruction import FADE
from plica.grid import Grid
from plica.image import Image, Unit

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "foundation.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the page's commands run: a CT of some slices, and made weights of taef2."""
    values = np.random.default_rng(0).normal(0, 300, (1, 24, 21, 3)).astype(np.int16)
    image = Image(values, Grid.from_spacing((24, 21, 3), (0.8, 0.8, 2.0)), Unit.HU)
    plica.write(image, tmp_path / "ct.nii.gz")
    (tmp_path / "ct").mkdir()
    plica.write(image, tmp_path / "ct" / "chest.nii.gz")
    make_folder(tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_frozen_autoencoder_stands_in_the_page():
    for name in CODECS:
        if offer(name).card.family in {"tiny", "foundation"}:
            assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("name", ["every CT", "policies", "tissues", "planes", "audit"])
def test_what_was_measured_stands_between_its_marks(name):
    (text,) = re.findall(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", PAGE, flags=re.DOTALL)

    assert text.count("\n|") >= 3


def test_windows_are_those_of_the_program():
    (low, high), (soft_low, soft_high) = WINDOWS_HU["wide"], WINDOWS_HU["soft"]

    assert f"−{-low:g} … {high:g} HU, `soft` −{-soft_low:g} … {soft_high:g} HU" in PAGE
    assert "fading over a tenth of the window" in PAGE
    assert FADE == 0.1


def test_reconstructing_as_on_the_page(folder):
    line = next(one for one in PAGE.splitlines() if one.startswith("plica reconstruct"))
    words = shlex.split(line.replace("WEIGHTS", "weights"))[1:]

    done = CliRunner().invoke(app, words)

    assert done.exit_code == 0, (done.output, done.exception)
    source, decoded, residual = (
        plica.read(folder / name) for name in ("ct.nii.gz", "out.nii.gz", "residual.nii.gz")
    )
    assert decoded.grid.agrees_with(source.grid)
    np.testing.assert_allclose(
        residual.pixels, decoded.pixels.astype(np.float32) - source.pixels, atol=1e-3
    )


def test_the_python_of_the_page_runs(folder):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict = {}
    exec(block.replace('taef2", weights="weights/', 'taef2", weights="weights'), names)

    assert names["came"].facts["passes"] == 8
    assert plica.read(folder / "out.nii.gz").grid.shape == (24, 21, 3)
