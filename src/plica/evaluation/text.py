"""Text: other people's names made harmless before they are written, and how numbers are said."""

from __future__ import annotations

import math
import re
import unicodedata

from plica.cohort import Key, says_whose
from plica.metrics.metric import Better, Value

ARROWS: dict[str, str] = {"higher": "↑", "lower": "↓", "nearer zero": "→0"}
MEANINGS: dict[str, str] = {
    "↑": "higher is better", "↓": "lower is better", "→0": "nearer zero is better",
    "→ 0": "nearer zero is better",
}  # fmt: skip
EVERYTHING = "All images"
NOTHING = "–"
PER_CODE = "voxels per code"
"""What codecs are compared at: voxels of the image for each number of the latent."""

_KEPT = {"\n", "\t"}
# What turns the direction of the letters after it: within a name, only ever a trick.
_TURNING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMERIC = re.compile(r"^[+\-−±≤≥<>≈~]?\s*(\d|∞|\.\d)")


def tame(text: str) -> str:
    r"""Text without letters that control a page or cannot be written: those are spelt out.

    Examples:
        >>> tame("a\u202eb")
        'a\\u202eb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spell(letter) for letter in text)


def tame_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: what looks like one gets an apostrophe.

    Examples:
        >>> tame_cell("=1+1")
        "'=1+1"
    """
    text = tame(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def name_case(case: Key) -> str:
    """A case's key in one line: the parts that there are, each once.

    Examples:
        >>> name_case(("p1", "", "t1")), name_case(("p1", "st", "p1/st/series-2"))
        ('p1 / t1', 'p1/st/series-2')
    """
    if says_whose(case):
        return case[2]
    return " / ".join(part for part in case if part) or "(unnamed)"


def say_count(n: int, noun: str) -> str:
    """So many of a thing, in words.

    Examples:
        >>> say_count(1, "patient"), say_count(3, "patient")
        ('1 patient', '3 patients')
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def say_origin(n: int, patients: int, noun: str = "image") -> str:
    """How many images of how many people.

    Examples:
        >>> say_origin(4, 1)
        '4 images of 1 patient'
    """
    return f"{say_count(n, noun)} of {say_count(patients, 'patient')}"


def head(metric: str, unit: str, better: Better) -> str:
    """A column's heading: metric, unit and an arrow towards the better."""
    return f"{metric}{'' if unit in {'1', ''} else f' ({unit})'} {ARROWS[better]}"


def head_value(value: Value) -> str:
    """The heading of a column of values like this one."""
    return head(value.metric, value.unit, value.better)


def say_number(value: float | None, digits: int = 4) -> str:
    """A number for people: so many significant digits, a true minus, a dash where there is none."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and not 1e-4 <= abs(value) < 10.0**9:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa}e{int(power)}".replace("-", "−")
    decimals = digits if not value else digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(decimals, 0), 9)}f}".replace("-", "−")


def is_numeric(cell: str) -> bool:
    """Whether a cell begins as a number does, or is empty: such columns stand to the right."""
    return not cell or cell == NOTHING or bool(_NUMERIC.match(cell))


def slug(text: str) -> str:
    """A name as part of a file name or an address: small letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:80] or "unnamed"


def distinguish(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number that makes it unlike those taken; it is added."""
    found, n = name, 2
    while found in taken:
        found, n = f"{name}-{n}", n + 1
    taken.add(found)
    return found


def _spell(letter: str) -> str:
    if letter in _KEPT:
        return letter
    if letter in _TURNING or unicodedata.category(letter) in {"Cc", "Cs", "Co", "Cn"}:
        return f"\\u{ord(letter):04x}"
    return letter
