"""A report's record is strict JSON, loses no digit, and is read back with suspicion."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.reports import make_report, make_results

from plica.errors import InputError, TooLarge, UnreadableFile
from plica.evaluation.record import (
    VERSION,
    make_strict,
    name_figures,
    read_record,
    record_report,
)
from plica.evaluation.report import Figure, Report, Section


def write(folder, record):
    (folder / "report.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_a_record_is_strict_json_and_comes_back(tmp_path):
    report = make_report(charts=False)
    record = json.loads(json.dumps(record_report(report), allow_nan=False))
    back = read_record(write(tmp_path, record))

    assert record["version"] == VERSION == "plica.report/1"
    assert back.results == make_results()
    assert back.setting == report.setting
    assert back.title == report.title
    assert back.name == tmp_path.name


def test_numbers_keep_their_digits_and_what_is_no_number_has_a_word():
    @dataclass
    class Found:
        mean: float

    made = make_strict(
        {
            "third": 1 / 3,
            "array": np.array([np.nan, -np.inf]),
            7: np.float32(0.1),
            "found": Found(2.0),
            "path": Path("a/b"),
            "flag": np.bool_(True),
            "all": (1, {2}),
        }
    )

    assert made["third"] == 1 / 3
    assert made["array"] == [None, "-Infinity"]
    assert made["7"] == float(np.float32(0.1))
    assert made["found"] == {"mean": 2.0}
    assert made["flag"] is True
    assert json.dumps(made, allow_nan=False)


def test_what_json_cannot_say_is_refused():
    with pytest.raises(InputError, match="cannot hold a object"):
        make_strict({"thing": object()})


def test_figures_get_file_names_that_hurt_nobody_and_none_twice():
    figures = tuple(
        Figure(name, f"caption {n}", "", b"png")
        for n, name in enumerate(["../../etc/passwd", "worst <1>", "Worst 1", ""])
    )
    report = Report("t", (), (Section("s", figures=figures),), {}, {})

    assert list(name_figures(report).values()) == ["etc-passwd", "worst-1", "worst-1-2", "unnamed"]


def test_a_figure_that_two_sections_show_is_one_file():
    figure = Figure("psnr", "", "", b"png")
    report = Report(
        "t", (), (Section("s", figures=(figure,)), Section("t", figures=(figure,))), {}, {}
    )

    assert name_figures(report) == {figure: "psnr"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"version": "plica.report/2"}', "[" * 100_000]
)
def test_what_is_no_report_is_said_to_be_none(tmp_path, text):
    (tmp_path / "report.json").write_text(text)

    with pytest.raises(UnreadableFile):
        read_record(tmp_path)


@pytest.mark.parametrize("key", ["title", "setting", "record", "results"])
def test_a_damaged_report_is_said_to_be_damaged(tmp_path, key):
    whole = record_report(make_report(charts=False))
    lacking = {name: value for name, value in whole.items() if name != key}

    with pytest.raises(UnreadableFile, match="damaged"):
        read_record(write(tmp_path, lacking))
    with pytest.raises(UnreadableFile, match="damaged"):
        read_record(write(tmp_path, {**whole, key: 3} if key != "title" else lacking))


def test_a_folder_without_a_report_is_named(tmp_path):
    with pytest.raises(UnreadableFile, match=r"there is no .*absent: give the folder"):
        read_record(tmp_path / "absent")
    with pytest.raises(UnreadableFile, match="holds no report"):
        read_record(tmp_path)


def test_a_record_beyond_any_report_is_not_read(tmp_path):
    with (tmp_path / "report.json").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(TooLarge, match="bytes, and"):
        read_record(tmp_path)
