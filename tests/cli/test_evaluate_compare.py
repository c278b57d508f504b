"""plica evaluate compare: two folders in, sentences out."""

import json
import sys
from dataclasses import replace

import pytest
from tests.evaluation.reports import CODECS, make_report

from plica.cli.main import main
from plica.evaluation.publish import publish

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    publish(make_report(charts=False), folder / "before")
    publish(make_report(charts=False, shift=0.6), folder / "after")
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["plica", "evaluate", "compare", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_what_changed_is_said_in_sentences(run, reports):
    code, out, _ = run(reports / "before", reports / "after")

    assert code == 0
    assert f"psnr of {CODECS[2]} on chest radiograph: +0." in out
    assert "better beyond noise" in out
    assert "became worse and 6 became better beyond noise" in out


def test_what_else_differs_is_a_table_of_its_own_and_quiet_says_nothing(run, reports, tmp_path):
    report = make_report(charts=False)
    publish(replace(report, setting={**report.setting, "machine": "1 H200"}), tmp_path / "other")

    _, out, _ = run(reports / "before", tmp_path / "other")
    assert "What else differs" in out
    assert "1 H200" in out.partition("What else differs")[2]
    assert run(reports / "before", tmp_path / "other", "--quiet") == (0, "", "")


def test_machines_get_one_document(run, reports):
    code, out, _ = run(reports / "before", reports / "after", "--json")
    found = json.loads(out)

    assert code == 0
    assert {"summary", "changes", "surroundings", "notes", "report"} == found.keys()
    assert {change["verdict"] for change in found["changes"]} <= {"better", "no change", "too few"}


def test_a_comparison_is_written_as_a_report(run, reports, tmp_path):
    pytest.importorskip("matplotlib")
    code, _, err = run(reports / "before", reports / "after", "-o", tmp_path / "changes")

    assert code == 0
    assert "report written to" in err
    assert (tmp_path / "changes" / "index.html").is_file()
    code, _, err = run(reports / "before", reports / "after", "-o", tmp_path / "changes")
    assert code == 1
    assert "already" in err


def test_two_codecs_of_one_report_are_compared(run, reports):
    code, out, _ = run(
        reports / "before", reports / "before", "--first", CODECS[0], "--second", CODECS[1]
    )

    assert code == 0
    assert f"psnr of {CODECS[0]} → {CODECS[1]}" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--first", "x"), "give both"), (("--first", "x", "--second", "y"), "has no codec 'x'")],
)
def test_a_wrong_codec_is_an_error_in_words(run, reports, words, said):
    code, _, err = run(reports / "before", reports / "after", *words)

    assert code == 1
    assert said in err


def test_a_folder_without_a_report_is_an_error_in_words(run, reports, tmp_path):
    code, _, err = run(reports / "before", tmp_path)

    assert code == 1
    assert "holds no report" in err or "there is no report" in err
