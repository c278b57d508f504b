"""What is printed can be read in any terminal, and by any program."""

import io
import json
import re
import sys

import pytest
from rich.console import Console

from plica.cli import console
from plica.cli.console import (
    describe_failure,
    estimate_left,
    format_bytes,
    format_duration,
    format_shape,
    keep_end,
    print_json,
    print_table,
)
from plica.errors import PlicaError

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


def test_without_title_and_caption_paragraphs_stand_alone(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_table("", COLUMNS, ROWS[:1])
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert said[0] == "study/series-3/thorax"
    assert said[-1].endswith("window: clipped_fraction 0.002")


def test_streams_that_are_no_files_are_left_as_they_are(monkeypatch):
    streams = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    console.ready_streams()
    assert (sys.stdout, sys.stderr) == streams


@pytest.mark.parametrize("width", [30, 140])
def test_names_with_brackets_are_printed_as_they_are(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    name = "scan[a][/b].nii"

    print_table(f"{name}!", ("fact", f"{name}?"), [("unit", "HU")], caption=f"{name}.")

    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    for word in (f"{name}!", f"{name}?", f"{name}."):
        assert word in said


def test_progress_tells_names_with_brackets_as_they_are():
    bar = console.progress(quiet=True)
    task = bar.add_task("reading scan[a][/b].nii", total=2)
    text = Console(file=io.StringIO(), width=200)

    text.print(bar.make_tasks_table([bar.tasks[task]]))

    assert "reading scan[a][/b].nii" in text.file.getvalue()


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


def test_an_error_of_the_system_is_a_sentence_about_its_file():
    error = OSError(30, "Read-only file system", "out/codec")
    assert describe_failure(error) == "out/codec cannot be used: Read-only file system"
    full = OSError(28, "No space left on device")
    assert describe_failure(full) == "reading or writing failed: No space left on device"
    assert describe_failure(MemoryError()) == "there is not enough memory"
    assert describe_failure(PlicaError("choose volume=0")) == "choose --volume 0"


def test_the_time_left_is_told_from_the_first_piece_on():
    assert estimate_left(10.0, 0.0, 1) is None
    assert estimate_left(None, 0.5, 1) is None
    assert estimate_left(28.0, 0.25, 1) == 84
    assert estimate_left(28.0, 1.0, 1) == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (4.2, "4 s"),
        (95, "1 min 35 s"),
        (1290, "21 min"),
        (11_100, "3 h 05 min"),
        (200 * 3600, "8.3 days"),
        (float("inf"), "unknown"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, said):
    assert format_duration(seconds) == said


def test_a_file_in_work_shows_how_far_it_is(monkeypatch):
    drawn = io.StringIO()
    terminal = Console(file=drawn, force_terminal=True, width=120)
    monkeypatch.setattr(console, "stderr", lambda: terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.progress(quiet=False) as bar:
        task = bar.add_task("decoding ct", total=1)
        bar.update(task, completed=0.25)
        bar.refresh()
    shown = drawn.getvalue()
    assert "25 %" in shown
    assert "left" in shown
    assert "-:--:--" not in shown


class Clock:
    """A time that passes when told to."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def count(clock, seconds, *, quiet=False, lines=True, cases=4):
    """Cases that take so many seconds each."""
    with console.progress(quiet=quiet, lines=lines) as bar:
        task = bar.add_task("judging", total=cases)
        for number in range(cases):
            bar.update(task, description=f"case {number}")
            clock.now += seconds
            bar.advance(task)


def test_long_work_is_told_in_lines_where_there_is_no_terminal(clock, capsys):
    count(clock, 5)

    said = capsys.readouterr().err.splitlines()
    assert [line.split(" done")[0] for line in said] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert [line.split(" · ")[1] for line in said] == ["case 0", "case 1", "case 2", "case 3"]


def test_lines_of_quick_work_are_few(clock, capsys):
    count(clock, 0.01, cases=1000)

    assert len(capsys.readouterr().err.splitlines()) <= 10 / console.LINE_EACH


def test_a_case_that_takes_long_is_told_meanwhile(clock, capsys):
    with console.progress(quiet=False, lines=True) as bar:
        task = bar.add_task("judging", total=1)
        for part in ("tissues", "edges"):
            bar.update(task, description=f"ct · codec: {part}")
            clock.now += 25

    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("0 of 1 done in ")
    assert said.endswith(" · ct · codec: edges")


@pytest.mark.parametrize("how", [{"quiet": True}, {"lines": False}])
def test_lines_are_for_those_who_want_them(clock, capsys, how):
    count(clock, 60, **how)

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("name", "kept"), [("a/b.dcm", "a/b.dcm"), ("aa/b.dcm", "…/b.dcm")])
def test_of_a_long_name_the_end_is_kept_and_the_cut_is_seen(name, kept):
    assert keep_end(name, 7) == kept
