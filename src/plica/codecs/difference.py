"""Difference: how far two results of one network are apart, and what made them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Half:
    """One direction of a trial.

    Args:
        values: What the network made: codes, or the prepared image.
        seconds: That took.
        pieces: In how many.
        plan: How, in a line.
    """

    values: Values
    seconds: float
    pieces: int
    plan: str


@dataclass(frozen=True)
class Difference:
    """Of two results, in standard deviations of the first.

    Args:
        largest: Of any value.
        rms: Root of the mean square.
        psnr: 20 log₁₀ of the first's range over the root mean square, in dB.
    """

    largest: float
    rms: float
    psnr: float

    @classmethod
    def between(cls, true: Values, found: Values) -> Difference:
        """How far a result is from another that counts as true."""
        wide = true.astype(np.float64)
        apart = found.astype(np.float64) - wide
        deviation = float(wide.std()) or 1.0
        rms = float(np.sqrt(np.square(apart).mean()))
        span = float(wide.max() - wide.min())
        psnr = 20 * math.log10(span / rms) if span > 0 < rms else math.inf if rms == 0 else math.nan
        return cls(float(np.abs(apart).max()) / deviation, rms / deviation, psnr)
