"""Commands as forks of one warm process that has imported everything: thousands in minutes.

A command as a process of its own takes a second to start, most of it for imports. Here the parent
imports all rooms once and runs nothing; each command is then a fork, with a folder, a time limit
and streams of its own, and no command sees what another did to memory.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustness.outcomes import Seen

ADDRESS_SPACE = 24 << 30  # what numpy and torch only reserve counts too
SLEEP = 0.004
# Optimisers ask for torch._dynamo, which makes itself a folder beside a command's temporary files.
HEAVY = ("torch", "pydicom", "nibabel", "PIL.Image", "tifffile", "pyarrow.parquet", "h5py",
         "imagecodecs", "matplotlib.figure", "rich.console", "scipy.io", "nrrd", "safetensors",
         "gdcm", "highdicom", "torch._dynamo")  # fmt: skip


def warm() -> None:
    """Import plica's rooms and what they import when asked, so that forks need not."""
    import torch

    import plica
    import plica.cli

    torch.set_num_threads(1)  # threads do not survive a fork
    for module in pkgutil.walk_packages(plica.__path__, "plica."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ImportError:
            continue  # of an extra that is not installed
    for name in HEAVY:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    from plica.cli.main import COMMANDS

    for name in COMMANDS:
        COMMANDS.get_thing(name)


def run_forked(
    words: tuple[str, ...],
    room: Path,
    *,
    limit_s: float,
    check: Callable[[Path], dict[str, Any]] | None = None,
    before: Callable[[], None] | None = None,
) -> Seen:
    """Run one command in a fork.

    Args:
        words: What follows `plica` on the command line.
        room: Its working folder, which is there; streams and scratch files go beside what it does.
        limit_s: Seconds after which it is stopped.
        check: Looks at what was written, in the fork; gives {"wrong": …, "changed": …}.
        before: Done in the fork first, such as giving up a right.
    """
    kept = room.with_name(f"{room.name}.kept")
    (kept / "tmp").mkdir(parents=True, exist_ok=True)
    kept.chmod(0o777)
    (kept / "tmp").chmod(0o777)
    sys.stdout.flush()
    sys.stderr.flush()
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        _be(words, room, kept, check, before)
    status, used = _wait(child, limit_s)
    seconds = time.perf_counter() - begun
    return _see(kept, status, seconds, used.ru_maxrss << 10)


def _wait(child: int, limit_s: float) -> tuple[int | None, Any]:
    end = time.monotonic() + limit_s
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            _end_group(child)
            return status, used
        if time.monotonic() > end:
            _end_group(child)
            _, _, used = os.wait4(child, 0)
            return None, used
        time.sleep(SLEEP)


def _end_group(child: int) -> None:
    """End what the fork started and did not end."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError:
        os.kill(child, signal.SIGKILL)


def _see(kept: Path, status: int | None, seconds: float, peak: int) -> Seen:
    code = None if status is None else os.waitstatus_to_exitcode(status)
    said = kept / "code"
    found: dict[str, Any] = {}
    if code == 0:
        code = int(said.read_text())
        found = json.loads((kept / "judged").read_text())
    return Seen(
        code=code,
        stdout=_text(kept / "stdout"),
        stderr=_text(kept / "stderr"),
        wrong=found.get("wrong", ""),
        changed=bool(found.get("changed", False)),
        left=tuple(sorted(path.name for path in (kept / "tmp").iterdir())),
        seconds=seconds,
        peak=peak - int(_text(kept / "held") or peak),
    )


def _text(path: Path) -> str:
    return path.read_text(errors="backslashreplace") if path.exists() else ""


def _be(
    words: tuple[str, ...],
    room: Path,
    kept: Path,
    check: Callable[[Path], dict[str, Any]] | None,
    before: Callable[[], None] | None,
) -> None:
    """Be the command, in the fork; never comes back."""
    code = 1
    try:
        os.setsid()
        (kept / "held").write_text(_read_held())
        _settle(room, kept)
        said = (kept / "code").open("w")  # before a right is given up or a limit is set
        judged = (kept / "judged").open("w")
        if before is not None:
            before()
        code = _run(words)
        sys.stdout.flush()
        sys.stderr.flush()
        said.write(str(code))
        said.close()
        found = check(room) if check is not None and code == 0 else {}
        judged.write(json.dumps(found))
        judged.close()
        code = 0
    except BaseException:
        traceback.print_exc()
        code = 70
    finally:
        try:
            sys.stderr.flush()
        finally:
            os._exit(code)


def _read_held() -> str:
    """Bytes of memory a fork begins with: its parent's, and none of its own; "" beside Linux."""
    pages = _text(Path("/proc/self/statm")).split()[1:2]
    return "".join(str(int(page) * resource.getpagesize()) for page in pages)


def _settle(room: Path, kept: Path) -> None:
    os.chdir(room)
    os.environ["TMPDIR"] = str(kept / "tmp")
    tempfile.tempdir = None
    for number, name in ((1, "stdout"), (2, "stderr")):
        target = os.open(kept / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(target, number)
        setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(words: tuple[str, ...]) -> int:
    """The command as its process would run it; its exit code."""
    from plica.cli.main import main

    sys.argv = ["plica", *words]
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    else:
        return 0
    return 1
