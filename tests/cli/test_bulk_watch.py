"""What plica bulk encode shows while it works."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress, ProgressColumn

from plica.bulk.task import Death, Made, Outcome
from plica.cli import console
from plica.cli.bulk_encode import LINE_OF_HOURS
from plica.cli.bulk_watch import watch


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    drawn = io.StringIO()
    monkeypatch.setattr(console, "stderr", lambda: Console(file=drawn, width=120))
    return drawn


@pytest.mark.parametrize("silent", [False, True])
def test_what_is_to_come_is_foretold_once_and_not_silently(shown, silent, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("plica.cli.bulk_watch.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("plica.bulk.forecast.time.monotonic", lambda: clock[0])
    bar = console.progress(quiet=True)
    watcher = watch(bar, 1000, silent=silent)
    watcher.looked(3, 40)
    assert bar.tasks[0].description == "looking: 3 folders, 40 files"
    watcher.planned(5000, 0)
    for clock[0], through in ((10.0, 1), (30.0, 11), (50.0, 21)):
        watcher.through(through, 1000 * through)
    said = shown.getvalue()
    note = "note: about 32 min for the other 989 series, and 989 kB (1 kB each)\n"
    assert said == ("" if silent else note)
    watcher.booked(Made("s", tuple(Outcome(str(n)) for n in range(21)), 21_000))
    watcher.through(0, 0)
    assert (bar.tasks[0].completed, bar.tasks[0].total) == (21, 1000)
    watcher.died(Death("s"))
    assert "a worker died" in bar.tasks[0].description


@pytest.mark.parametrize("silent", [False, True])
def test_that_a_crew_starts_is_a_line_of_a_log_and_not_of_a_silent_one(shown, silent):
    bar = console.progress(quiet=True)
    watch(bar, None, silent=silent, hired=2).starting()
    assert shown.getvalue() == ("" if silent else "starting 2 workers (Ray) …\n")
    assert bar.tasks[0].description == "starting 2 workers (Ray) …"


@pytest.mark.parametrize(
    ("shards", "series", "said"),
    [
        (0, 0, "stopping; Ctrl-C again stops at once"),
        (1, 0, "finishing 1 shard; Ctrl-C again loses it"),
        (2, 310, "finishing 2 shards, 310 series, about 1 min 02 s; Ctrl-C again loses them"),
    ],
)
def test_who_stops_is_told_what_is_finished_and_how_long_it_takes(shards, series, said, capfd):
    bar, clock = ticking()
    watcher = watch(bar, None, silent=False)
    watcher.planned(1000, 0)
    for clock[0], through in ((0.0, 1), (10.0, 51)):
        watcher.through(through, 0)
    watcher.stopping(shards, series)
    assert capfd.readouterr().err == f"\nnote: {said}\n"
    watch(console.progress(quiet=True), None, silent=True).stopping(shards, series)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("shards", "said"), [(0, "stopping"), (2, "finishing")])
@pytest.mark.parametrize("silent", [False, True])
def test_a_bar_says_that_it_stops_and_goes_on_saying_so(shards, said, silent, capfd):
    bar, _ = ticking()
    watcher = watch(bar, None, silent=silent, hired=2)
    watcher.planned(1000, 0)
    watcher.starting()
    with bar._lock:  # as where it is being drawn, by a thread that waits for nobody's signal
        watcher.stopping(shards, 310)
    assert bar.tasks[0].description == said
    watcher.through(10, 0)
    watcher.died(Death("s"))
    assert bar.tasks[0].description == said


def ticking(**how: object) -> tuple[Progress, list[float]]:
    bar, clock = console.progress(quiet=False, each=LINE_OF_HOURS, **how), [0.0]
    bar.get_time = lambda: clock[0]
    return bar, clock


def render(bar: Progress, kind: type[ProgressColumn]) -> str:
    [column] = [one for one in bar.columns if isinstance(one, kind)]
    return str(column.render(bar.tasks[0]))


def test_the_time_left_fits_the_rate_shown_however_long_a_crew_took_to_start(shown):
    bar, clock = ticking()
    watcher = watch(bar, None, silent=False, hired=2)
    watcher.planned(1500, 0)
    watcher.starting()
    assert bar.tasks[0].description == "starting 2 workers (Ray) …"
    watcher.through(0, 0)
    assert bar.tasks[0].description == "starting 2 workers (Ray) …"
    clock[0] = 53.0
    watcher.through(10, 0)
    assert bar.tasks[0].description == "encoding"
    assert render(bar, console._Left) == ""  # one look tells no rate
    clock[0] = 63.0
    watcher.through(60, 0)
    assert render(bar, console._Rate) == "5.0/s"
    assert render(bar, console._Left) == "4 min 48 s left"
    assert shown.getvalue() == "starting 2 workers (Ray) …\n"


def test_a_log_has_a_line_a_minute_with_rate_and_time_left(shown, monkeypatch):
    bar, clock = ticking(lines=True)
    monkeypatch.setattr("plica.cli.console.time.monotonic", lambda: clock[0] + bar_made)
    bar_made = bar._said_at
    watcher = watch(bar, None, silent=True)
    watcher.planned(100_000, 0)
    for second in range(1, 181):
        clock[0] = float(second)
        watcher.through(10 * second, 0)
    said = shown.getvalue().splitlines()
    assert len(said) == 3
    assert said[2] == "1,800 of 100,000 done in 3 min 00 s, 10.0/s, 2 h 43 min left · encoding"
