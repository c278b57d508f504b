"""Guards: a training that leads nowhere is stopped, with a sentence that says why."""

from __future__ import annotations

import math
from collections.abc import Mapping

from plica.errors import TrainingStopped
from plica.training.objective import Measure


def check_finite(numbers: Mapping[tuple[str, str, str], float], step: int) -> None:
    """Stop where a term or a gradient is not finite.

    Args:
        numbers: By player, kind and name.
        step: The number of the step they are of, from 0.

    Raises:
        TrainingStopped: One is not; the message names it.

    Examples:
        >>> check_finite({("network", "term", "l1"): float("nan")}, step=7)
        Traceback (most recent call last):
            ...
        plica.errors.TrainingStopped: the term 'l1' of 'network' is nan at step 7; ...
    """
    for (player, kind, name), value in numbers.items():
        if kind in ("term", "norm") and not math.isfinite(value):
            what = f"the term '{name}' of" if kind == "term" else "the gradient of"
            raise TrainingStopped(
                f"{what} '{player}' is {value} at step {step}; the last checkpoint holds the "
                f"weights before it: try a lower rate, or clip the gradient (optimiser.clip)"
            )


def check_progress(measure: Measure, first: float, now: float, step: int, slack: float) -> None:
    """Stop where the metric has fallen behind that of the first weights.

    Args:
        measure: The recipe's metric.
        first: Its mean under the first weights.
        now: Its mean after `step`.
        step: Steps that are done.
        slack: How far it may fall behind, in its unit.

    Raises:
        TrainingStopped: It fell further, or is not a number.

    Examples:
        >>> from plica.training.objective import Measure
        >>> psnr = Measure("psnr", "dB", "higher")
        >>> check_progress(psnr, first=30.0, now=29.8, step=100, slack=0.5)
    """
    behind = first - now if measure.better == "higher" else now - first
    if behind <= slack or now == first:  # the latter where both are infinite
        return
    raise TrainingStopped(
        f"after {step} steps {measure.name} is {now:.4g} {measure.unit}, where the first weights "
        f"had {first:.4g}: more than the {slack:g} a run may fall behind (tolerance); try a lower "
        f"rate, or look at the terms' shares in losses.csv"
    )


def is_better(measure: Measure, value: float, than: float | None) -> bool:
    """Whether `value` is the better one; anything but NaN is better than nothing."""
    if than is None or math.isnan(value):
        return than is None and not math.isnan(value)
    return value > than if measure.better == "higher" else value < than
