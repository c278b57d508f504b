"""What a command can come to, and how that is told from what was seen of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

DONE = "done"
NOTED = "done with a note"
UNTELLABLE = "done, other values"  # what was damaged carries no checksum: nobody could have told
REFUSED = "refused"
UNTRIED = "not tried"  # what was to be tried could not be brought about here
SILENT = "SILENT"
VAGUE = "VAGUE"
CRASHED = "CRASHED"
HUNG = "HUNG"
LEFTOVER = "LEFTOVER"
GREEDY = "GREEDY"

GOOD = (DONE, NOTED, UNTELLABLE, REFUSED, UNTRIED)
FAULTS = (SILENT, VAGUE, CRASHED, HUNG, LEFTOVER, GREEDY)
CLASSES = GOOD + FAULTS

EXIT_INTERRUPTED = 130
SENTENCE = 25  # letters below which words on stderr explain nothing
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\)|^Fatal Python error", re.MULTILINE)
_BARE = re.compile(r"^error: [\w.: ]*\b\w+(Error|Exception|Warning)\b[^ ]*$", re.MULTILINE)
_NUMBERED = re.compile(r"^error: \[Errno", re.MULTILINE)
_NOTE = re.compile(r"^note: |^notes +\S|\"notes\": \[\s*\"", re.MULTILINE)


@dataclass(frozen=True)
class Seen:
    """What was seen of one command.

    Args:
        code: Its exit code; negative: the signal that ended it; None where it had to be stopped.
        stdout: What it printed.
        stderr: What it said.
        wrong: What is wrong with what it wrote, read back; "" where all is whole.
        changed: Whether what came out differs from what the undamaged source gives.
        left: Temporary or half-written files it left behind.
        seconds: How long it took.
        peak: The most memory it held beyond what the warm process holds, in bytes.
    """

    code: int | None
    stdout: str = ""
    stderr: str = ""
    wrong: str = ""
    changed: bool = False
    left: tuple[str, ...] = ()
    seconds: float = 0.0
    peak: int = 0


def classify(
    seen: Seen, *, names: Sequence[str] = (), checksum: bool = True, most: int = 0
) -> tuple[str, str]:
    """The class of what was seen, and why it is a fault ("" where it is none).

    Args:
        seen: What was seen.
        names: One of these a refusal has to name, as a word of its own; any sentence will do where
            there are none.
        checksum: Whether the source's format could have told that it was damaged.
        most: Bytes of memory that are too many; 0 for no limit.
    """
    said = f"{seen.stdout}\n{seen.stderr}"
    if seen.code is None:
        return HUNG, "had to be stopped"
    if seen.code not in (0, 1, 2, EXIT_INTERRUPTED):
        return CRASHED, f"ended with {seen.code}"
    if found := _TRACEBACK.search(said) or _BARE.search(seen.stderr):
        return CRASHED, said[found.start() :].strip()[-400:]
    if most and seen.peak > most:
        return GREEDY, f"held {seen.peak >> 20} MiB"
    if seen.left:
        return LEFTOVER, ", ".join(seen.left)
    if seen.code == 0:
        return _of_success(seen, checksum)
    return _of_failure(said, names)


def _of_success(seen: Seen, checksum: bool) -> tuple[str, str]:
    if seen.wrong:
        return SILENT, seen.wrong
    noted = _NOTE.search(f"{seen.stdout}\n{seen.stderr}")
    if not seen.changed:
        return (NOTED if noted else DONE), ""
    if checksum:
        return SILENT, "other values, and nothing was said"
    return UNTELLABLE, ""


def _of_failure(said: str, names: Sequence[str]) -> tuple[str, str]:
    if len(said.strip()) < SENTENCE:
        return VAGUE, f"said only {said.strip()!r}"
    if found := _NUMBERED.search(said):
        return VAGUE, said[found.start() :][:300]
    if names and not any(is_named(name, said) for name in names):
        return VAGUE, f"names none of {', '.join(names)}: {said.strip()[:300]}"
    return REFUSED, ""


def is_named(name: str, said: str) -> bool:
    """Whether a name stands in what was said: whole, and not as a part of another word.

    Where a terminal folds a line, a name may be parted.
    """
    folded = r"(?:\n\s*)?".join(map(re.escape, name))
    before = r"(?<!\w)" if name[:1].isalnum() else ""
    after = r"(?!\w)" if name[-1:].isalnum() else ""
    return re.search(f"{before}{folded}{after}", said) is not None
