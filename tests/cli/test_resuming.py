"""A report's folder: what is there is gone on with, replaced or left alone, as was said."""

from dataclasses import dataclass

import pytest

from plica.cli.resuming import open_journal, refuse_report
from plica.errors import OutputError, SettingsError
from plica.run import RECIPE


@dataclass(frozen=True)
class Asked:
    """What a run was asked for."""

    codecs: tuple[str, ...] = ("taef2",)


def fill(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("kept")


ANEW = {"overwrite": True, "resume": False}
ON = {"overwrite": False, "resume": True}
NEITHER = {"overwrite": False, "resume": False}


@pytest.mark.parametrize(
    ("paths", "said", "why"),
    [
        (("report.json",), NEITHER, "--overwrite or --resume"),
        (("run/recipe.toml",), NEITHER, "--overwrite or --resume"),
        (("thesis.txt",), NEITHER, "--overwrite or --resume"),
        (("thesis.txt",), ANEW, "holds other things than a report"),
        (("thesis.txt", "run/features/1.npz"), ON, "holds other things than a report"),
    ],
)
def test_a_folder_that_is_not_the_reports_own_is_refused(tmp_path, paths, said, why):
    fill(tmp_path, *paths)
    with pytest.raises(OutputError, match=why):
        refuse_report(tmp_path, **said)


@pytest.mark.parametrize(
    "paths", [(), ("report.json", "index.html"), ("run/recipe.toml", "cases.csv"), ("run/f/1",)]
)
@pytest.mark.parametrize("said", [ANEW, ON])
def test_a_folder_of_its_own_is_gone_on_with_or_replaced(tmp_path, paths, said):
    fill(tmp_path, *paths)
    refuse_report(tmp_path, **said)
    refuse_report(tmp_path / "new", **said)

    there = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert there == set(paths), "looking whether it may be written changes nothing"


def test_a_file_is_no_folder_and_without_one_there_is_nothing_to_resume(tmp_path):
    fill(tmp_path, "file")
    with pytest.raises(OutputError, match="is a file, but a report is a folder"):
        refuse_report(tmp_path / "file", **ANEW)
    with pytest.raises(SettingsError, match="name it with -o"):
        refuse_report(None, **ON)
    refuse_report(None, **NEITHER)


def test_a_run_is_begun_anew_but_what_is_no_run_is_never_removed(tmp_path):
    open_journal(tmp_path / "mine", Asked(), **NEITHER)
    fill(tmp_path, "mine/run/results/old.json", "foreign/run/thesis.txt")

    open_journal(tmp_path / "mine", Asked(), **ANEW)
    with pytest.raises(OutputError):
        open_journal(tmp_path / "foreign", Asked(), **ANEW)

    assert not (tmp_path / "mine/run/results/old.json").exists()
    assert (tmp_path / "mine/run" / RECIPE).is_file()
    assert (tmp_path / "foreign/run/thesis.txt").read_text() == "kept"
