"""Budget: how many bytes a process may hold, as people say it and as machines have it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from plica.errors import SettingsError

# The interpreter, NumPy, PyTorch with its kernels, and the readers: measured after a first network.
PROCESS_BYTES = 384 << 20
LEAST_BYTES = 64 << 20
# Where the system does not say how much memory there is.
_ASSUMED_BYTES = 8 << 30
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def parse_memory(asked: Any, option: str = "memory") -> int | None:
    """Bytes of "8G", "512M", "1.5 GiB", "8000000000" or 8000000000; None stays None.

    K, M, G and T are powers of 1024.

    Args:
        asked: What was said.
        option: How it is called where it was said.

    Raises:
        SettingsError: It is none of those, or less than any network needs.

    Examples:
        >>> parse_memory("1.5 GiB"), parse_memory(None)
        (1610612736, None)
    """
    if asked is None:
        return None
    count = float(asked) if _is_number(asked) else _parse_text(asked)
    if count is None or not LEAST_BYTES <= count < 2**62:
        raise SettingsError(
            f"{option} takes an amount such as 8G or 512M, of at least {LEAST_BYTES >> 20}M, "
            f"but got {asked!r}"
        )
    return int(count)


def _is_number(asked: Any) -> bool:
    return isinstance(asked, int | float) and not isinstance(asked, bool) and asked == asked


def _parse_text(asked: Any) -> float | None:
    if not isinstance(asked, str) or len(asked) > 64:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", asked.strip(), re.IGNORECASE)
    return float(found[1]) * _UNITS[found[2].upper()] if found else None


def find_machine_bytes() -> int:
    """Memory of the machine, or of the container this process runs in where that has less."""
    known = [_ASSUMED_BYTES]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in (*_LIMITS, *_find_group_limits()):
        try:
            known.append(int(limit.read_text(encoding="ascii")))
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
    return min(known)


def _find_group_limits() -> list[Path]:
    """Where the limits of this process' control group stand, and of those it lies in (Linux)."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    paths = [line.removeprefix("0::") for line in lines if line.startswith("0::/")]
    return [
        Path("/sys/fs/cgroup") / folder.relative_to("/") / "memory.max"
        for path in paths for folder in (Path(path), *Path(path).parents)
    ]  # fmt: skip


def choose_memory(asked: int | None) -> int:
    """What was asked for, or half of what there is: other programs live there too."""
    return find_machine_bytes() // 2 if asked is None else asked
