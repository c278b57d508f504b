"""What is printed can be read in any terminal, and by any program."""

import json
import re
import sys

import pytest

from plica.cli.console import format_bytes, format_shape, print_json, print_table

COLUMNS = ("image", "codec", "voxels", "unit", "codes", "fewer", "kept", "not kept")
ROWS = [
    ("study/series-3/thorax", "linear-4x1-3d", "512×512×300", "HU", "1 on 128×128×75", "64.0×",
     "4.92 MB", "window: clipped_fraction 0.002"),
    ("-9", "linear-4x3-2d", "331×331", "display", "9 on 83×83", "5.3×", "251 kB", ""),
]  # fmt: skip


@pytest.fixture
def terminal(monkeypatch, capsys):
    def show(width: int, columns=COLUMNS, rows=ROWS) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        print_table("Encoded", columns, rows, caption="what they mean")
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()

    return show


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120, 200])
def test_no_number_is_broken_and_no_line_too_long_at_any_width(terminal, width):
    lines = terminal(width)

    assert max(map(len, lines)) <= width
    shown = "\n".join(lines)
    for row in ROWS:
        for cell in row[1:7]:
            assert cell in shown


def test_a_wide_terminal_has_a_table_and_a_narrow_one_paragraphs(terminal):
    assert len(terminal(140)) == 5  # title, headings, two rows, caption
    narrow = terminal(70)
    assert narrow[1] == "study/series-3/thorax"
    assert narrow[2].startswith("  codec linear-4x1-3d  voxels")


def test_headings_are_folded_only_where_there_is_no_room(terminal):
    columns, rows = ("image", "voxels per code", "unit"), [("ct", "16", "HU")]

    assert terminal(60, columns, rows)[1].split("  ")[1].strip() == "voxels per code"
    assert [line.strip() for line in terminal(20, columns, rows)[1:3]] == ["voxels", "per"]


def test_facts_stay_a_table_in_a_narrow_terminal(terminal):
    lines = terminal(40, ("fact", "ct.latent"), [("weights", "sha256:" + "0" * 64), ("unit", "HU")])

    assert max(map(len, lines)) <= 40
    assert lines[1].split() == ["fact", "ct.latent"]


def test_a_name_that_begins_like_a_number_stands_at_the_left(terminal):
    assert any(line.startswith("-9") for line in terminal(140))


def test_json_has_no_word_for_what_is_not_finite_and_is_ascii(capsys):
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": "größer \udcff"})

    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"a": None, "b": [None, 1.5], "c": "größer \udcff"}


def test_sizes_are_written_for_people():
    assert [format_bytes(size) for size in (0, 999, 1000, 1_300_000, 5e12)] == [
        "0 B", "999 B", "1 kB", "1.3 MB", "5 TB",
    ]  # fmt: skip
    assert format_shape((512, 512, 40)) == "512×512×40"
    assert format_shape((512, 1, 1)) == "512×1"
