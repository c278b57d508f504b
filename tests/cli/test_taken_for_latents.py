"""What is said of a latent whose preparation lost nothing, and of what was taken for a latent."""

import numpy as np
import pytest
from typer.testing import CliRunner

from plica.cli.main import app
from plica.errors import LatentError
from plica.formats.doors import read_latent, write
from plica.grid import Grid
from plica.image import Image, Unit


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def encode(tmp_path):
    def work(codec):
        pixels = np.arange(8 * 8 * 4, dtype=np.int16).reshape(1, 8, 8, 4)
        write(Image(pixels, Grid.from_spacing((8, 8, 4)), Unit.HU), tmp_path / "ct.nii.gz")
        out = tmp_path / "ct.latent"
        done = run("encode", tmp_path / "ct.nii.gz", "-o", out, "-c", codec, "-q")
        assert done.exit_code == 0, done.output
        return out

    return work


def test_it_says_that_nothing_was_lost_and_what_the_weights_hash_is_of(encode):
    said = " ".join(run("inspect", encode("identity")).stdout.split())
    assert "lost in preparation nothing; what the codec itself loses: plica compare" in said
    assert "of the numbers; a codec's card has the SHA-256 of their file" in said


@pytest.mark.parametrize(
    ("name", "kind"),
    [("c.nii.gz", "a NIfTI image"), ("c.nii", "a NIfTI image"), ("c.npy", "a NumPy array")],
)
def test_codes_written_for_viewers_are_named_as_such(encode, tmp_path, name, kind):
    write(read_latent(encode("bicubic-4x-3d")), tmp_path / name)
    with pytest.raises(
        LatentError, match=f"{name}: this is {kind}, not a latent: .* codes written for viewers"
    ):
        read_latent(tmp_path / name)
    done = run("decode", tmp_path / name, "-o", tmp_path / "d.nii.gz")
    assert done.exit_code == 1
    assert "know no way back: decode the .latent" in " ".join(done.stderr.split())
