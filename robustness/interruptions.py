"""Commands stopped at several moments and gone on with: the end equals the undisturbed one."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from robustness import outcomes
from robustness.forking import run_forked
from robustness.outcomes import Seen
from robustness.reading_back import digest, find_parts, find_wrong, list_files
from robustness.writers import WRITERS, Writer

SIGNALS = {"SIGINT": signal.SIGINT, "SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}
MOMENTS = (0.3, 0.6, 0.9)
LIMIT_S = 300.0
TRIES, EARLIER = 5, 0.7  # where a command ended before it was stopped
Record = dict[str, Any]


def all_records(base: Path, folder: Path, *, every: int = 1) -> Iterator[Record]:
    """Every command that can go on, stopped by each signal at each moment."""
    for writer in [writer for writer in WRITERS if writer.again is not None][::every]:
        whole, seconds = _undisturbed(writer, base, folder)
        for name, number in SIGNALS.items():
            for moment in MOMENTS[::every]:
                yield _interrupted(writer, base, folder, (name, number, moment * seconds), whole)


def contents(writer: Writer, out: Path) -> dict[str, str]:
    """What has to be equal: each output's digest by its name."""
    if writer.command == "train":
        last = max((out / "run" / "checkpoints").iterdir())
        return {path.name: digest(path) for path in sorted(last.glob("*.safetensors"))}
    return {str(path.relative_to(out)): digest(path)
            for pattern in writer.keeps for path in sorted(out.glob(pattern))}  # fmt: skip


def _undisturbed(writer: Writer, base: Path, folder: Path) -> tuple[dict[str, str], float]:
    room = folder / f"whole-{writer.command}".replace(" ", "-")
    room.mkdir()
    seen = run_forked(writer.line(base), room, limit_s=LIMIT_S)
    if seen.code != 0:
        raise SystemExit(f"{writer.command} does not run undisturbed: {seen.stderr[-600:]}")
    whole = contents(writer, room / "out")
    if not whole:
        raise SystemExit(f"{writer.command} made nothing by which to see that it went on rightly")
    return whole, seen.seconds


def _interrupted(
    writer: Writer, base: Path, folder: Path, stop: tuple[str, int, float], whole: dict[str, str]
) -> Record:
    """Stop it; where it ended before, earlier."""
    name, number, after = stop
    for _ in range(TRIES):
        record = _try_once(writer, base, folder, (name, number, after), whole)
        if record["class"] != outcomes.UNTRIED:
            break
        after *= EARLIER
    return record


def _try_once(
    writer: Writer, base: Path, folder: Path, stop: tuple[str, int, float], whole: dict[str, str]
) -> Record:
    name, number, after = stop
    room = folder / f"cut-{time.monotonic_ns()}"
    room.mkdir()
    kept = room.with_name(f"{room.name}.kept")
    try:
        cut = run_forked(
            writer.line(base), room, limit_s=LIMIT_S, before=_stop_after(number, after)
        )
        kind, why = judge_cut(cut, number, find_parts(room), _find_half(writer, room))
        then = run_forked(_line_again(writer, base, room), room, limit_s=LIMIT_S)
        if not kind:
            killed = number == signal.SIGKILL
            kind, why = _judge_again(then, writer, room, whole, killed=killed)
        return {
            "table": "interruptions", "command": writer.command, "kind": name,
            "about": f"{name} after {after:.1f} s", "words": list(writer.line(base)), "class": kind,
            "why": why, "code": cut.code, "seconds": round(cut.seconds + then.seconds, 3),
            "peak_bytes": max(cut.peak, then.peak), "said": cut.stderr[-600:], "digest": "",
        }  # fmt: skip
    finally:
        shutil.rmtree(room, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)


def _stop_after(number: int, seconds: float) -> Callable[[], None]:
    def before() -> None:
        timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), number))
        timer.daemon = True
        timer.start()

    return before


def _line_again(writer: Writer, base: Path, room: Path) -> tuple[str, ...]:
    if writer.command == "train" and any((room / "out" / "run").glob("checkpoints/*")):
        return ("train", "--resume", "-o", "out/run", "--cache", "out/cache", "-q")
    return (*writer.line(base), *(writer.again or ()))


def _find_half(writer: Writer, room: Path) -> str:
    found = [path for pattern in writer.outputs for path in (room / "out").glob(pattern)]
    return find_wrong(path for path in list_files(found) if not _is_hidden(path, room))


def _is_hidden(path: Path, room: Path) -> bool:
    """Whether it lies in what nothing reads: judged by `find_parts`."""
    return any(part.startswith(".") for part in path.relative_to(room).parts)


def judge_cut(cut: Seen, number: int, parts: list[str], half: str) -> tuple[str, str]:
    """What the stopped command may leave: no half file under a name, and words where it could."""
    if half:
        return outcomes.LEFTOVER, f"half-written: {half}"
    if cut.code == 0:
        return outcomes.UNTRIED, "ended before it was stopped"
    if number != signal.SIGKILL:
        if parts:
            return outcomes.LEFTOVER, ", ".join(parts)
        kind, why = outcomes.classify(cut)
        return (kind, why) if kind in outcomes.FAULTS and kind != outcomes.VAGUE else ("", "")
    if cut.code == -number:
        return "", ""
    return outcomes.CRASHED, f"ended with {cut.code} before it could be killed: {cut.stderr[-300:]}"


def _judge_again(
    then: Seen, writer: Writer, room: Path, whole: dict[str, str], *, killed: bool
) -> tuple[str, str]:
    """Gone on with, it has to end well and equal what was never disturbed.

    What was killed could not remove its hidden part; nothing reads it, and it may be deleted.
    """
    if then.code != 0 and "is finished" not in then.stderr:  # a training that ended all the same
        kind, why = outcomes.classify(then)
        return (kind if kind in outcomes.FAULTS else outcomes.SILENT), why or (
            f"could not go on: {then.stderr.strip()[-400:]}")  # fmt: skip
    if contents(writer, room / "out") != whole:
        return outcomes.SILENT, "went on, and is not what an undisturbed run makes"
    if parts := find_parts(room):
        return (outcomes.NOTED if killed else outcomes.LEFTOVER), ", ".join(parts)
    return outcomes.DONE, ""
