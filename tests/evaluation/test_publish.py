"""A report's folder is whole or not there, and is never put over another's work by accident."""

import json
import os

import pytest
from tests.evaluation.reports import make_report

from plica.errors import InputError, OutputError
from plica.evaluation import casebook
from plica.evaluation import publish as publishing
from plica.evaluation.publish import compose, publish, refuse_folder
from plica.evaluation.report import Figure, Report, Section

SMALL = Report("Small", (), (), {}, {})


def contents(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def with_figure(name):
    return Report(
        "t", (), (Section("s", figures=(Figure(name, "c", "a", b"png", b"pdf"),)),), {}, {}
    )


def test_a_report_becomes_a_folder(tmp_path):
    page = publish(make_report(charts=False), tmp_path / "new" / "report")

    assert page == tmp_path / "new" / "report" / "index.html"
    assert contents(page.parent) >= {
        "index.html", "report.md", "report.json", "cases.csv", "facts.csv"
    }  # fmt: skip
    assert sorted(path.name for path in page.parent.parent.iterdir()) == ["report"]


def test_the_record_lists_every_file(tmp_path):
    pytest.importorskip("matplotlib")
    page = publish(make_report(), tmp_path / "report")
    listed = json.loads((page.parent / "report.json").read_text())["files"]

    assert set(listed) == contents(page.parent)
    assert {name.rpartition(".")[2] for name in listed if name.startswith("figures/")} == {
        "png",
        "pdf",
    }


def test_one_report_is_the_same_files_every_time():
    assert compose(make_report(charts=False)) == compose(make_report(charts=False))


def test_the_page_is_written_last():
    assert list(compose(make_report(charts=False)))[-1] == "index.html"


def test_an_empty_report_is_a_page_too(tmp_path):
    publish(SMALL, tmp_path / "report")

    assert contents(tmp_path / "report") == {"index.html", "report.md", "report.json"}


def test_a_folder_of_others_is_refused_before_any_work(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(OutputError, match=r"thesis\.tex"):
        refuse_folder(tmp_path)
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        publish(SMALL, tmp_path)
    assert contents(tmp_path) == {"thesis.tex"}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "report").write_text("")

    with pytest.raises(OutputError, match="is a file"):
        publish(SMALL, tmp_path / "report", overwrite=True)


def test_a_runs_own_folder_may_lie_in_the_reports(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text("")
    publish(SMALL, tmp_path)

    assert contents(tmp_path) == {"run/recipe.toml", "index.html", "report.md", "report.json"}


def test_replacing_a_report_leaves_what_is_not_the_reports(tmp_path):
    publish(with_figure("old"), tmp_path / "report")
    (tmp_path / "report" / "notes.txt").write_text("mine")
    (tmp_path / "report" / "figures" / "mine.png").write_text("mine")
    publish(with_figure("new"), tmp_path / "report", overwrite=True)

    assert contents(tmp_path / "report") == {
        "index.html", "report.md", "report.json", "notes.txt",
        "figures/mine.png", "figures/new.png", "figures/new.pdf",
    }  # fmt: skip


def test_a_forged_record_takes_no_file_away(tmp_path):
    (tmp_path / "victim.csv").write_text("")
    report = tmp_path / "report"
    publish(SMALL, report)
    (report / "notes.txt").write_text("")
    forged = ["../victim.csv", "notes.txt", "figures/../../victim.csv", "/etc/passwd"]
    (report / "report.json").write_text(json.dumps({"files": forged}))
    publish(SMALL, report, overwrite=True)

    assert (tmp_path / "victim.csv").exists()
    assert (report / "notes.txt").exists()


def test_what_fails_while_it_is_made_leaves_the_earlier_report(tmp_path):
    publish(SMALL, tmp_path / "report")
    before = (tmp_path / "report" / "index.html").read_bytes()

    with pytest.raises(InputError):
        publish(Report("t", (), (), {"thing": object()}, {}), tmp_path / "report", overwrite=True)
    assert (tmp_path / "report" / "index.html").read_bytes() == before


def test_a_full_disk_leaves_the_earlier_report(tmp_path, monkeypatch):
    publish(SMALL, tmp_path / "report")
    before = {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir()}

    def fail(files, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing, "_write", fail)
    with pytest.raises(OutputError, match="No space left"):
        publish(make_report(charts=False), tmp_path / "report", overwrite=True)
    with pytest.raises(OutputError, match="No space left"):
        publish(SMALL, tmp_path / "other")
    assert {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir()} == before
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_said(tmp_path):
    folder = tmp_path / "report"
    publish(SMALL, folder)
    folder.chmod(0o555)

    with pytest.raises(OutputError, match="cannot be written"):
        publish(SMALL, folder, overwrite=True)


def test_without_pyarrow_the_page_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    files = compose(make_report(charts=False))

    assert "cases.parquet" not in files
    assert "There is no cases.parquet" in files["index.html"].decode()
    assert b"plica[tables]" in files["report.md"].replace(b"\\", b"")


def test_every_case_is_in_the_tables():
    files = compose(make_report(charts=False))
    results = make_report(charts=False).results

    assert files["cases.csv"].count(b"\n") >= sum(len(r.values) for r in results)
    assert casebook.COLUMNS[0].encode() in files["cases.csv"].splitlines()[0]
