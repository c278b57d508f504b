"""What a report cannot be written without is asked for before any work."""

import pytest
from typer.testing import CliRunner

from plica.cli import needing
from plica.cli.main import app

IMAGES = ["images/", "-c", "linear-4x3-2d"]


@pytest.mark.parametrize("lacking", ["scipy", "matplotlib"])
@pytest.mark.parametrize(
    "words",
    [
        ["reconstruction", *IMAGES],
        ["faithfulness", *IMAGES],
        ["segmentation", *IMAGES, "--rule", "air-and-dense", "--tolerance", "2"],
        ["compare", "before/", "after/"],
    ],
    ids=lambda words: words[0],
)
def test_it_is_named_with_its_extra_and_nothing_is_read_or_written(
    words, lacking, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where none of the images and reports is
    found = needing.find_spec
    monkeypatch.setattr(needing, "find_spec", lambda name: None if name == lacking else found(name))

    done = CliRunner().invoke(app, ["evaluate", *words, "-o", "report"])

    assert f"needs the package '{lacking}', which is not installed" in str(done.exception)
    assert "plica[eval]" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_probing_is_refused_before_hours_of_fitting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(needing, "find_spec", lambda name: None)

    words = ["cases.csv", "-c", "identity", "--label", "class", "-o", "report"]
    done = CliRunner().invoke(app, ["evaluate", "probe", *words])

    assert "probing needs the package 'matplotlib'" in str(done.exception)


def test_a_comparison_that_is_printed_alone_needs_no_charts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = needing.find_spec
    monkeypatch.setattr(
        needing, "find_spec", lambda name: None if name == "matplotlib" else found(name)
    )

    done = CliRunner().invoke(app, ["evaluate", "compare", "before/", "after/"])

    assert "before" in str(done.exception)
    assert "matplotlib" not in str(done.exception)
