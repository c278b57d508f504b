"""What docs/reports.md shows of a report is what a report is."""

import json
import re
from pathlib import Path

from tests.evaluation.reports import make_report

from plica.evaluation.casebook import COLUMNS
from plica.evaluation.publish import compose
from plica.evaluation.record import VERSION, read_record

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")


def find_blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL)


def describe(thing):
    """The names in a record, and those of the first thing in each of its lists."""
    if isinstance(thing, dict):
        return {name: describe(value) for name, value in thing.items()}
    if isinstance(thing, list):
        return [describe(thing[0])] if thing else []
    return ...


def test_the_record_shown_has_the_names_of_a_record(tmp_path):
    (block,) = find_blocks("json")
    shown = describe(json.loads(block))
    found = describe(json.loads(compose(make_report())["report.json"]))

    assert json.loads(block)["version"] == VERSION
    assert list(shown) == list(found)
    for part in ("sections", "results"):
        assert list(shown[part][0]) == list(found[part][0])
    for part in ("tables", "figures"):
        assert list(shown["sections"][0][part][0]) == list(found["sections"][0][part][0])
    assert list(shown["results"][0]["values"][0]) == list(found["results"][0]["values"][0])


def test_the_record_shown_can_be_read(tmp_path):
    (block,) = find_blocks("json")
    (tmp_path / "report.json").write_text(block, encoding="utf-8")

    assert read_record(tmp_path).results.all[0].patient == "patient-1"


def test_the_columns_named_are_the_columns():
    table = PAGE.partition("## `cases.csv`")[2].partition("## ")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in row.split(", ")]

    assert tuple(name.strip("`") for name in named) == COLUMNS


def test_the_program_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = find_blocks("python")
    names = {}
    exec(compile(block, "reports.md", "exec"), names)

    assert names["page"].is_file()


def test_the_pictures_are_there():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", PAGE):
        assert (ROOT / "docs" / path).is_file()
