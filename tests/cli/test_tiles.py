"""--tile changes nothing but memory, and progress within an image never runs backwards."""

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from plica.cli.choosing import parse_settings
from plica.cli.jobs import Job, Manner, Outcome, _Share, run
from plica.cli.main import app
from plica.errors import SettingsError
from plica.formats.latents import read
from plica.formats.sources import Source


def plica(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def volume(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 900, (21, 18, 15)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / "v.nii")
    return tmp_path / "v.nii"


def test_tiles_give_the_same_latent_and_the_same_image(volume, tmp_path):
    for name, words in {"whole": (), "tiles": ("--tile", 8)}.items():
        latent = tmp_path / f"{name}.latent"
        codec = ("--codec", "linear-4x1-3d")
        assert plica("encode", volume, "-o", latent, *codec, *words).exit_code == 0
        assert plica("decode", latent, "-o", tmp_path / f"{name}.nii", *words).exit_code == 0

    whole, tiles = (read(tmp_path / f"{name}.latent").codes for name in ("whole", "tiles"))
    np.testing.assert_allclose(tiles, whole, atol=1e-6)
    whole, tiles = (
        nibabel.load(tmp_path / f"{name}.nii").get_fdata() for name in ("whole", "tiles")
    )
    assert np.abs(tiles - whole).max() <= 1


def test_a_codec_without_exact_tiles_is_refused_before_any_image_is_read(volume, tmp_path):
    result = plica("encode", volume, "-o", tmp_path / "o.latent", "-c", "identity", "--tile", 64)
    assert result.exit_code == 1
    assert "no option tile" in str(result.exception)


def test_a_tile_that_is_none_is_refused(volume, tmp_path):
    result = plica("encode", volume, "-o", tmp_path / "o.latent", "--tile", 2)
    assert result.exit_code == 1
    assert "at least 8 voxels" in str(result.exception)


def test_progress_is_no_setting():
    with pytest.raises(SettingsError, match="shown anyway"):
        parse_settings(["progress=yes"])


def test_a_job_of_two_phases_never_runs_backwards_and_never_beyond_itself():
    shown = []
    share = _Share(3, 2, shown.append)
    for _ in range(3):  # once more than was said
        for done in (1, 2, 4):
            share(done, 4)
    assert shown == sorted(shown)
    assert shown[0] == 3.125
    assert shown[-1] == 4.0


def test_every_job_is_watched_in_its_own_place(tmp_path):
    told = []

    def work(job: Job) -> Outcome:
        told[-1](1, 2)
        return Outcome(job.source)

    jobs = [Job(Source(str(n), tmp_path / str(n)), tmp_path / f"{n}.out") for n in range(3)]
    outcomes = run(jobs, work, verb="doing", manner=Manner(quiet=True), watch=told.append)

    assert len(outcomes) == 3
    assert [share.place for share in told] == [0, 1, 2]
