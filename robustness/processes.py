"""A few cases as processes of their own, as people start them: streams that are full or closed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustness import outcomes, reading_back
from robustness.outcomes import Seen

Record = dict[str, Any]
LIMIT_S = 600
LINES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (  # and what each has to write
    (("inspect", "{base}/study"), ()),
    (("inspect", "{base}/volumes/v0.nii.gz", "--json"), ()),
    (("codecs",), ()),
    (
        ("encode", "{base}/study", "-o", "out/a.latent", "-c", "linear-4x3-2d", "--overwrite"),
        ("out/a.latent",),
    ),
    (("encode", "{base}/nothing", "-o", "out/a.latent", "-c", "linear-4x3-2d"), ()),
    (("verify", "linear-4x3-2d", "{base}/volumes/v0.nii.gz", "--side", "16"), ()),
    (("doctor",), ()),
    (("demo", "-o", "out/demo", "-q"), ("out/demo/*",)),
)
STREAMS = ("as usual", "stdout on /dev/full", "stdout closed", "stdout read no further")


def all_records(base: Path, folder: Path) -> Iterator[Record]:
    """Each line with each kind of stream; the long ones with the usual alone."""
    for number, (line, outputs) in enumerate(LINES):
        words = tuple(word.format(base=base) for word in line)
        for stream in STREAMS if line[0] not in {"verify", "demo"} else STREAMS[:1]:
            room = folder / f"process-{number}-{STREAMS.index(stream)}"
            room.mkdir()
            begun = time.perf_counter()
            seen = _run(words, room, stream)
            if seen.code == 0:
                seen = replace(seen, wrong=reading_back.find_unmatched(room, outputs))
            kind, why = _judge(seen, stream)
            yield {
                "table": "processes", "command": line[0], "kind": stream, "about": " ".join(line),
                "words": list(words), "class": kind, "why": why, "code": seen.code,
                "seconds": round(time.perf_counter() - begun, 3), "peak_bytes": 0,
                "said": seen.stderr[-600:], "digest": "",
            }  # fmt: skip


def _run(words: tuple[str, ...], room: Path, stream: str) -> Seen:
    line = [sys.executable, "-m", "plica", *words]
    full = os.open("/dev/full", os.O_WRONLY)
    reading, writing = os.pipe()
    os.close(reading)
    given = {"stdout on /dev/full": full, "stdout read no further": writing}
    if stream == "stdout closed":
        line = ["sh", "-c", 'exec "$@" >&-', "sh", *line]
    try:
        done = subprocess.run(
            line, cwd=room, stdout=given.get(stream, subprocess.PIPE), stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Seen(None)
    finally:
        os.close(full)
        os.close(writing)
    out = done.stdout.decode(errors="replace") if done.stdout else ""
    return Seen(done.returncode, out, done.stderr.decode(errors="replace"))


def _judge(seen: Seen, stream: str) -> tuple[str, str]:
    """As any command; where nobody reads on, a command may end without words."""
    kind, why = outcomes.classify(seen)
    if kind == outcomes.VAGUE and stream == "stdout read no further":
        return outcomes.REFUSED, ""
    if kind in outcomes.GOOD and seen.code == 0 and stream == "stdout on /dev/full":
        return outcomes.SILENT, "what was asked for could not be printed, and nothing was said"
    return kind, why
