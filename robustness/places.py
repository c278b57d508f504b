"""Places that cannot take what is written: full, read-only, of another kind, or gone."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustness import outcomes
from robustness.cases import Case
from robustness.writers import WRITERS, Writer

OUT = "wombat"  # the output folder: a word that stands in no sentence
MOST_FILE = 8192  # bytes; what a command prints is kept in a file and fits
CAPABILITIES_3 = 0x20080522  # the version of Linux's call that sets them, in its own header


@dataclass(frozen=True)
class Place:
    """An output folder that is not as a command would have it.

    Args:
        name: What it is.
        prepare: Makes it, as `OUT` of the command's own folder.
        before: Done in the command's fork first.
        clear: Undone after it.
        missing: Why it cannot be made here; "" where it can.
        keeps: Whether what is written there stays there.
    """

    name: str
    prepare: Callable[[Path], None]
    before: Callable[[], None] | None = None
    clear: Callable[[Path], None] | None = None
    missing: str = ""
    keeps: bool = True


def find_places() -> list[Place]:
    """The places that can be made with the rights of this process, and why others cannot."""
    mounts = "" if os.geteuid() == 0 and _can_mount() else "needs the right to mount"
    full = [
        Place(
            f"a disk with {room} KiB left",
            _mounting("-t", "tmpfs", "-o", f"size={room}k", "tmpfs"),
            clear=_unmount,
            missing=mounts,
        )
        for room in (0, 16, 64)
    ]
    return [
        *full,
        Place("files of at most 8 KiB", _make_out, before=_limit_files),
        Place("a read-only folder", _read_only, clear=_unmount, missing=mounts),
        Place("a folder without the right to write", _forbid, before=_give_up_rights),
        Place("a file where a folder is meant", _file_as_out),
        Place("a folder that vanishes", _make_out, before=_vanish, keeps=False),
    ]


def all_cases(base: Path) -> Iterator[Case]:
    """Every command that writes, at every place that can be made here."""
    for place in find_places():
        for writer in _writing():
            if not place.missing:
                yield _case(writer, base, place)


def untried() -> Iterator[dict[str, Any]]:
    """A record of each command at each place that cannot be made here, with the reason."""
    for place in find_places():
        for writer in _writing():
            if place.missing:
                yield {
                    "table": "places", "command": writer.command, "kind": place.name,
                    "about": writer.command, "words": [], "class": outcomes.UNTRIED,
                    "why": place.missing, "code": None, "seconds": 0.0, "peak_bytes": 0,
                    "said": "", "digest": "",
                }  # fmt: skip


def _writing() -> Iterator[Writer]:
    return (writer for writer in WRITERS if writer.outputs and writer.command != "demo")


def _case(writer: Writer, base: Path, place: Place) -> Case:
    outputs = tuple(f"{OUT}/{pattern}" for pattern in writer.outputs if place.keeps)
    return Case(
        "places",
        writer.command,
        place.name,
        writer.command,
        writer.line(base, OUT),
        (OUT, ".kept/tmp", "ledger.sqlite"),  # of a store that is read its ledger is written
        prepare=place.prepare,
        before=place.before,
        limit_s=180,
        clear=place.clear,
        outputs=outputs,
    )


def _make_out(room: Path) -> None:
    (room / OUT).mkdir()


def _file_as_out(room: Path) -> None:
    (room / OUT).write_text("a file\n")


def _mounting(*words: str) -> Callable[[Path], None]:
    def prepare(room: Path) -> None:
        _make_out(room)
        size = words[-2] if "size=0k" not in words else "size=4k"
        line = [*words[:-2], size, words[-1]]
        subprocess.run(["mount", *line, str(room / OUT)], check=True)
        if "size=0k" in words:
            (room / OUT / "filling").write_bytes(bytes(4096))

    return prepare


def _read_only(room: Path) -> None:
    _make_out(room)
    (room / OUT / "filling").write_bytes(b"")
    subprocess.run(["mount", "--bind", "-o", "ro", str(room / OUT), str(room / OUT)], check=True)


def _unmount(room: Path) -> None:
    subprocess.run(["umount", "-l", str(room / OUT)], check=True)


def _can_mount() -> bool:
    """Try it, where nobody else sees the mount: in a namespace that ends with the command."""
    if not all(map(shutil.which, ("unshare", "mount", "umount"))):
        return False
    with tempfile.TemporaryDirectory() as folder:
        line = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", folder]
        return subprocess.run(line, check=False, capture_output=True).returncode == 0


def _limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python has it: the write fails instead
    sys.dont_write_bytecode = True  # half of a module may be kept for the next process
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FILE, MOST_FILE))


def _give_up_rights() -> None:
    """As root: no longer pass over the rights of files, which root otherwise does."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    head = struct.pack("Ii", CAPABILITIES_3, 0)
    if libc.capset(head, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _forbid(room: Path) -> None:
    _make_out(room)
    (room / OUT).chmod(0o555)


def _vanish() -> None:
    """Remove the folder as soon as there is something in it."""
    out = Path(OUT).absolute()

    def watch() -> None:
        while not any(out.rglob("*")):
            time.sleep(0.001)
        shutil.rmtree(out, ignore_errors=True)

    threading.Thread(target=watch, daemon=True).start()
