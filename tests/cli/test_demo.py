"""plica demo: images that come with other packages, folded, unfolded and looked at."""

import json

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from plica.cli import samples
from plica.cli.main import app
from plica.errors import OutputError


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """The demo of one small slice, of a package that is not installed, and of one radiograph."""
    slices = ("pydicom", "data/test_files/CT_small.dcm", "ct-slice", samples.PYDICOM)
    monkeypatch.setattr(samples, "PACKAGED", (slices, ("no_such_package", "a.nii", "brain", "")))
    radiograph = tmp_path / "images" / samples.RADIOGRAPHS[0][0]
    radiograph.parent.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 48), np.uint8)
    Pillow.fromarray(pixels).save(radiograph)

    def call(*words):
        given = ("demo", "-o", tmp_path / "out", "--radiographs", tmp_path / "images", *words)
        return CliRunner().invoke(app, [str(word) for word in given])

    return call


def test_every_image_has_a_latent_a_decoded_image_and_a_picture(demo, tmp_path):
    done = demo()

    assert done.exit_code == 0, (done.output, done.exception)
    assert "brain comes inside 'no_such_package': pip install 'plica[demo]'" in done.stderr
    for word in ("ct-slice", "chest-radiograph", "linear-4x3-2d", "bicubic-4x-2d", "128×128"):
        assert word in done.stdout
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(made) == 2 * (3 + 2)
    pictures = [path.partition(".")[0] for path in made if path.endswith(".panel.png")]
    assert pictures == ["chest-radiograph", "ct-slice"]


def test_what_is_there_is_replaced_where_that_is_asked_and_machines_get_records(demo, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("a")
    refused = demo()
    assert isinstance(refused.exception, OutputError)
    assert "is not empty: choose another folder, or --overwrite" in str(refused.exception)

    records = json.loads(demo("--overwrite", "--json").stdout)
    assert [one["image"] for one in records] == ["ct-slice"] * 3 + ["chest-radiograph"] * 3
    assert demo("--overwrite", "--quiet").output == ""
    assert records[0]["shape"] == [128, 128, 1]
    assert all(one["latent_bytes"] > 0 and one["voxels_per_code"] > 1 for one in records)
