"""Learning rates: how large a step is, as a function of its number."""

from __future__ import annotations

import math

from plica.training.recipe import Optimiser


def rate_at(step: int, steps: int, settings: Optimiser) -> float:
    """The learning rate of `step` (from 0) of `steps`.

    It rises in a straight line over `warmup` steps, and is `final` × `rate` at the last step
    unless the schedule is constant.

    Examples:
        >>> rate_at(0, 100, Optimiser(rate=0.1, warmup=10))
        0.01
    """
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return settings.rate
    after = max(steps - 1 - settings.warmup, 1)
    way = min((step - settings.warmup) / after, 1.0)
    left = 1.0 - way if settings.schedule == "linear" else (1.0 + math.cos(math.pi * way)) / 2.0
    return settings.rate * (settings.final + (1.0 - settings.final) * left)
