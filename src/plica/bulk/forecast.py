"""Forecast: how long a run will take and how much it will write, told once and early."""

from __future__ import annotations

import time
from dataclasses import dataclass

_LEAST_SERIES = 8  # of which a mean is worth something
_LEAST_S = 10.0
_MOST_S = 60.0  # after which three will do
_WORTH_S = 60.0  # a run that ends sooner needs no forecast


@dataclass(frozen=True)
class Estimate:
    """What is still to come.

    Args:
        series: That wait.
        seconds: They will take.
        bytes: That they will take on the disk.
        each: Bytes of one.
    """

    series: int
    seconds: float
    bytes: float
    each: float


class Forecast:
    """Watches the first series of a run; what was encoded while it started does not count.

    Args:
        waiting: Series the run is to encode.
        now: What clock to go by.
    """

    def __init__(self, waiting: int, now: float | None = None) -> None:
        self._waiting = waiting
        self._begun = time.monotonic() if now is None else now
        self._first: tuple[int, float] | None = None
        self._told = False

    def look(self, done: int, size: int, now: float | None = None) -> Estimate | None:
        """The estimate, once, as soon as there is something to go by.

        Args:
            done: Series the run is through with.
            size: About the bytes of their latents.
            now: What clock to go by.
        """
        at = time.monotonic() if now is None else now
        if self._told or done == 0:
            return None
        if self._first is None:
            self._first = (done, at)
        since, passed = done - self._first[0], at - self._first[1]
        enough = since >= _LEAST_SERIES and passed >= _LEAST_S
        if not enough and not (since >= 3 and at - self._begun >= _MOST_S):
            return None
        self._told = True
        rest = max(0, self._waiting - done)
        seconds, each = rest * passed / since, size / done
        return Estimate(rest, seconds, rest * each, each) if seconds >= _WORTH_S else None


def format_rate(rate: float) -> str:
    """Series a second as people say it; few a second the other way round.

    Examples:
        >>> format_rate(9.04), format_rate(1234.5), format_rate(0.05)
        ('9.0 series a second', '1234 series a second', '20.0 s for each series')
    """
    if rate >= 100:
        return f"{rate:.0f} series a second"
    if rate >= 1:
        return f"{rate:.1f} series a second"
    return f"{1 / rate:.1f} s for each series" if rate > 0 else ""
