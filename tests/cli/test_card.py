"""plica card: the model card of a codec by name, or of a folder."""

import hashlib

import pytest
from tests.codecs.test_directory import make_codec
from typer.testing import CliRunner

from plica.cli.main import app
from plica.codecs.directory import WEIGHTS, write_directory
from plica.errors import OutputError, UnknownName


def card(*words):
    return CliRunner().invoke(
        app, ["card", *map(str, words)], catch_exceptions=False, standalone_mode=False
    )


def test_a_packaged_codec_has_a_card():
    page = card("linear-4x3-2d").stdout

    assert page.startswith("---\nlicense: apache-2.0\n")
    assert "CDD-CESM, CC BY 4.0" in page
    assert "not a medical device" in page


def test_the_card_of_a_folder_names_the_hash_of_its_weights(tmp_path):
    folder = write_directory(tmp_path / "mine", make_codec())
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()

    page = card(folder).stdout

    assert f"| SHA-256 | {sha256} |" in page
    assert 'plica.load("the folder of this card")' in page
    assert "Nothing was learned" not in page


def test_a_card_is_written_where_it_is_asked_for_and_replaces_nothing(tmp_path):
    out = tmp_path / "README.md"
    done = card("bicubic-4x-2d", "-o", out)

    assert done.stdout == ""
    assert out.read_text() == card("bicubic-4x-2d").stdout
    with pytest.raises(OutputError):
        card("linear-4x3-2d", "-o", out)
    card("linear-4x3-2d", "-o", out, "--overwrite")
    assert "linear-4x3-2d" in out.read_text()


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean"):
        card("linear-4x3-2D")
