"""Ranges: which values a recipe's settings may have, each refused by its dotted name."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

from plica.errors import SettingsError

_FINITE = sys.float_info.max
# Least, greatest: both allowed.
_AT_LEAST_ZERO, _AT_LEAST_ONE, _SHARE = (0.0, _FINITE), (1.0, _FINITE), (0.0, 1.0)
_TINY = math.ulp(0.0)  # stands for "more than zero"
_BELOW_ONE = math.nextafter(1.0, 0.0)

_OF_RECIPE = {
    "steps": _AT_LEAST_ONE, "batch": _AT_LEAST_ONE, "accumulate": _AT_LEAST_ONE,
    "average": (0.0, _BELOW_ONE), "seed": (0, 2**63 - 1), "evaluate_every": _AT_LEAST_ONE,
    "checkpoint_every": _AT_LEAST_ONE, "log_every": _AT_LEAST_ONE, "tolerance": (0.0, math.inf),
}  # fmt: skip
_OF_OPTIMISER = {
    "rate": (_TINY, _FINITE), "betas": (0.0, _BELOW_ONE), "weight_decay": _AT_LEAST_ZERO,
    "warmup": _AT_LEAST_ZERO, "final": _SHARE, "clip": _AT_LEAST_ZERO,
}  # fmt: skip
_OF_DATA = {
    "planes": (0, 2), "crop": _AT_LEAST_ONE, "foreground": _SHARE, "unreadable": _SHARE,
    "validation_crop": _AT_LEAST_ZERO, "validation_cases": _AT_LEAST_ZERO,
}  # fmt: skip
_OF_AUGMENTATION = {
    "scale": (_TINY, _FINITE), "resized": _SHARE, "flips": (0, 2), "gain": (0.0, _BELOW_ONE),
    "offset": (0.0, 2.0), "gamma": (0.0, 8.0),
}  # fmt: skip
_OF_OBJECTIVE = {
    "pixel_weight": _AT_LEAST_ZERO, "perceptual": _AT_LEAST_ZERO, "kl": _AT_LEAST_ZERO,
    "embedding": _AT_LEAST_ZERO, "codebook": _AT_LEAST_ZERO, "commitment": _AT_LEAST_ZERO,
    "slices": (0, 2), "slice_share": (_TINY, 1.0), "divisor": (_TINY, _FINITE),
}  # fmt: skip
_OF_ADVERSARY = {
    "weight": _AT_LEAST_ZERO, "start": _AT_LEAST_ZERO, "width": (1, 1024), "layers": (1, 8),
}  # fmt: skip


def check_ranges(recipe: Any) -> None:
    """Refuse a recipe with a value out of its range, or values that do not fit each other.

    Raises:
        SettingsError: There is one; the message names it.
    """
    adversary = getattr(recipe.objective, "adversary", None)
    _check(recipe, _OF_RECIPE)
    _check(recipe.optimiser, _OF_OPTIMISER, "optimiser.")
    _check(recipe.data, _OF_DATA, "data.")
    _check(recipe.data.augmentation, _OF_AUGMENTATION, "data.augmentation.")
    _check(recipe.objective, _OF_OBJECTIVE, "objective.")
    _check(recipe.start, {"adapters": _AT_LEAST_ZERO}, "start.")
    for number, source in enumerate(recipe.data.sources):
        _check(source, {"weight": (_TINY, _FINITE)}, f"data.sources.{number}.")
    if adversary is not None:
        _check(adversary, _OF_ADVERSARY, "objective.adversary.")
        if adversary.optimiser is not None:
            _check(adversary.optimiser, _OF_OPTIMISER, "objective.adversary.optimiser.")
    for broken, sentence in _RULES:
        if broken(recipe):
            raise SettingsError(sentence.format(recipe=recipe, data=recipe.data))


def _check(settings: Any, ranges: dict[str, tuple[float, float]], before: str = "") -> None:
    for name, (least, greatest) in ranges.items():
        value = getattr(settings, name, None)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not least <= number <= greatest:
                allowed = _describe(least, greatest)
                raise SettingsError(f"{before}{name}: {allowed} was expected, but got {number}")


def _describe(least: float, greatest: float) -> str:
    low = "more than 0" if least == _TINY else f"at least {least:g}"
    if greatest >= _FINITE:
        return low
    return f"{low} and {'less than 1' if greatest == _BELOW_ONE else f'at most {greatest:g}'}"


def _repeats(values: Iterable[Any]) -> bool:
    values = list(values)
    return len(set(values)) < len(values)


_RULES: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (
        lambda recipe: not recipe.name.strip(),
        "name: a recipe has a name, which its run's folder is called by",
    ),
    (
        lambda recipe: recipe.batch % recipe.accumulate != 0,
        "accumulate: the batch of {recipe.batch} cannot be computed in {recipe.accumulate} parts "
        "of equal size",
    ),
    (
        lambda recipe: recipe.data.train == recipe.data.validation,
        "data.validation: '{data.validation}' is trained on; judge on another split, by "
        "--set data.validation=NAME",
    ),
    (
        lambda recipe: not recipe.data.planes or _repeats(recipe.data.planes),
        "data.planes: some of 0, 1, 2 were expected, each once, but got {data.planes}",
    ),
    (
        lambda recipe: _repeats(recipe.data.augmentation.flips),
        "data.augmentation.flips: {data.augmentation.flips} names an axis twice",
    ),
    (
        lambda recipe: recipe.data.augmentation.scale[0] > recipe.data.augmentation.scale[1],
        "data.augmentation.scale: the least side comes first, but got {data.augmentation.scale}",
    ),
    (
        lambda recipe: _repeats(source.name for source in recipe.data.sources),
        "data.sources: two sources have one name; a card's reader could not tell them apart",
    ),
    (
        lambda recipe: _repeats(getattr(recipe.objective, "slices", ())),
        "objective.slices: {recipe.objective.slices} names an axis twice",
    ),
)
