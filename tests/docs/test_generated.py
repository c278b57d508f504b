"""Pages and parts of pages that scripts write are what the scripts would write now."""

import importlib
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FROM_THE_PROGRAM = (
    "changelog", "codecs", "commands", "foundation", "installing", "metrics", "protocols", "tree",
)  # fmt: skip
FROM_REPORTS = {"efficiency", "faithfulness", "readme", "report_pictures"}
"""Of what commands measured, in minutes; what they say is held by tests of their pages."""
BUDGETS = {"budgets"}  # tests/test_architecture.py


@pytest.fixture
def script(monkeypatch):
    """Run a script of docs/ as the command line does, here; its exit status."""

    def run(name, *words):
        monkeypatch.syspath_prepend(DOCS)
        monkeypatch.chdir(ROOT)
        path = DOCS / f"make_{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *words])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
        return ended.value.code

    return run


@pytest.mark.parametrize("name", FROM_THE_PROGRAM)
def test_what_the_program_says_of_itself_is_up_to_date(script, name, capsys):
    assert script(name, "--check") == 0, capsys.readouterr().out


def test_what_it_makes_of_every_real_file_is_up_to_date(script, shared, capsys):
    assert script("formats", "--data", str(shared / "data"), "--check") == 0, capsys.readouterr()


def test_every_script_is_held_by_a_test():
    there = {path.stem.removeprefix("make_") for path in DOCS.glob("make_*.py")}
    assert there == {*FROM_THE_PROGRAM, *FROM_REPORTS, *BUDGETS, "formats"}


def test_a_stale_page_is_said_and_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(DOCS)
    parts = importlib.import_module("parts")

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n")
    made = parts.fill(page, {"a": parts.tabulate(("n",), [("1|2",)])})
    monkeypatch.setattr(sys, "argv", ["make_page.py"])

    assert parts.keep(page, made, check=True) == 1
    assert capsys.readouterr().out == "page.md is out of date: run python docs/make_page.py\n"
    assert "old" in page.read_text()
    assert parts.keep(page, made, check=False) == 0
    assert page.read_text() == "before\n<!-- a -->\n| n |\n| --- |\n| 1\\|2 |\n<!-- /a -->\nafter\n"
    with pytest.raises(SystemExit, match="needs the two lines '<!-- b -->'"):
        parts.fill(page, {"b": ""})
    assert parts.fill(page, {"a": ""}) == "before\n<!-- a -->\n<!-- /a -->\nafter\n"
    assert parts.tabulate(("a", "b", "c"), [], "lrc").endswith("\n| --- | ---: | :---: |")


@pytest.mark.parametrize("page", ["<!-- a -->\nkept\n", "<!-- /a -->\n<!-- a -->\nkept\n"])
def test_a_mark_that_is_missing_or_misplaced_never_takes_the_rest_of_a_page(
    page, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.syspath_prepend(DOCS)
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(SystemExit):
        importlib.import_module("parts").fill(path, {"a": "new"})
    with pytest.raises(SystemExit):
        importlib.import_module("pages").put_section(path, "a", "new")
    assert path.read_text() == page
    importlib.import_module("pages").put_section(path, "b", "new")
    assert path.read_text() == f"{page}\n<!-- b -->\nnew\n<!-- /b -->\n"
