"""Charts: distributions case by case and paired differences, from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.evaluation.drawing import (
    HAIR,
    INK,
    PALETTE,
    QUIET,
    Looks,
    draw,
    import_matplotlib,
    lay_out,
    refuse_nothing,
    shorten,
)
from plica.evaluation.kinds import is_unlike, say_unlike
from plica.evaluation.report import Figure
from plica.evaluation.results import Results
from plica.evaluation.text import head_value, say_number, tame
from plica.metrics.metric import Better

Numbers = NDArray[np.float64]
Spread = Mapping[str, Mapping[str, Numbers]]

PER_ROW, HEAD, FOOT = 0.3, 0.5, 0.55  # inches
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Difference:
    """One paired difference with its interval.

    Args:
        label: What was compared.
        estimate: Mean difference.
        low: Lower end of its interval.
        high: Upper end.
        group: Differences of one group stand together.
        found: Whether it is beyond noise.
        enough: Whether there are patients enough, of whom enough differ, to tell.
    """

    label: str
    estimate: float
    low: float
    high: float
    group: str = ""
    found: bool = False
    enough: bool = True


FILLED = "Filled: beyond noise; hollow: not."
CROSSED = "Crossed: too few patients to tell."


def explain_marks(differences: Sequence[Difference]) -> str:
    """What the marks of a chart of differences mean: those it has.

    Examples:
        >>> explain_marks([Difference("a", 1.0, 0.0, 2.0, enough=False)])
        'Crossed: too few patients to tell.'
    """
    enough = [one.enough for one in differences]
    return " ".join((FILLED,) * any(enough) + (CROSSED,) * (not all(enough)))


def gather(results: Results, metric: str) -> dict[str, dict[str, Numbers]]:
    """A metric's numbers by group and codec, each in the order of its cases.

    Those of another kind than most of the group's are NaN, as where there is none.
    """
    return {
        group: {
            codec: column
            for codec in results.codecs
            if (column := results.of(codec=codec, group=group).column(metric, like=like)).size
        }
        for group in results.groups
        for like in (results.of(group=group).find_commonest(metric),)
    }


# -- distributions ---------------------------------------------------------------------------------


def distribution_of(results: Results, metric: str, **options: Any) -> Figure:
    """The `distribution_chart` of a metric's results.

    Raises:
        InputError: No result has the metric, or none is finite.
    """
    axis = head_value(results.describe(metric))
    options.setdefault("name", f"distribution-{metric}")
    options.setdefault("caption", " ".join((_explain_dots(axis), *_say_unlike(results, metric))))
    return distribution_chart(gather(results, metric), axis, **options)


def _explain_dots(axis: str) -> str:
    return (
        f"{axis}, case by case. A dot is a case; the bar spans the middle half, the stroke is the "
        "median."
    )


def _say_unlike(results: Results, metric: str) -> Iterator[str]:
    """Which images of each group are not drawn, their numbers being another quantity."""
    for group in results.groups:
        here = results.of(group=group)
        like = here.find_commonest(metric)
        if like is None:
            continue
        if unlike := {r.case for r in here if is_unlike(r.value(metric), like)}:
            yield f"{f'{group}: ' if group else ''}{say_unlike(len(unlike), like)}."


def distribution_chart(
    values: Spread,
    axis: str,
    *,
    name: str = "distribution",
    paired: bool = False,
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Every case's number under each codec, group by group, with quartiles and median.

    Args:
        values: By group, then by codec; of one case order where `paired`.
        axis: The metric, its unit and its direction: `text.head_value` says them.
        paired: Join each case's numbers from codec to codec.
        caption: What else to say.
        alt: For those who cannot see it; made of the medians where it is "".

    Raises:
        InputError: There is nothing to draw.
        MissingExtra: matplotlib is not installed.

    Examples:
        >>> values = {"chest": {"before": rows[:, 0], "after": rows[:, 1]}}
        >>> chart = distribution_chart(values, "PSNR (dB) ↑")
        >>> _ = Path("psnr.png").write_bytes(chart.png)
    """
    groups = {group: found for group, found in values.items() if _any(found)}
    refuse_nothing(groups, "a distribution")
    codecs = list(dict.fromkeys(codec for found in groups.values() for codec in found))
    looks = Looks(codecs)

    def paint(page: Any) -> None:
        rows = [len(found) for found in groups.values()]
        panels = lay_out(page, len(groups), 1, height_ratios=[n + 1 for n in rows])
        for panel, (group, found) in zip(panels, groups.items(), strict=True):
            _strips(panel, found, looks, paired=paired)
            panel.set_title(_titled(group, found))
        panels[-1].set_xlabel(tame(axis))

    height = sum(HEAD + PER_ROW * len(found) for found in groups.values()) + FOOT
    return draw(
        name, paint, height=height,
        caption=caption or _explain_dots(axis),
        alt=alt or f"Distribution of {axis}. " + _say_medians(groups),
    )  # fmt: skip


def _strips(panel: Any, found: Mapping[str, Numbers], looks: Looks, *, paired: bool) -> None:
    places = dict(zip(found, range(len(found)), strict=True))
    if paired and len({column.size for column in found.values()}) == 1:
        lines = np.stack(list(found.values()), axis=1)
        for line in lines:
            panel.plot(line, list(places.values()), color=HAIR, linewidth=0.7, zorder=1)
    for codec, column in found.items():
        _strip(panel, column[np.isfinite(column)], places[codec], looks.colour(codec))
    panel.set_yticks(list(places.values()), [shorten(tame(codec)) for codec in found])
    panel.set_ylim(len(found) - 0.4, -0.6)
    panel.xaxis.set_major_locator(import_matplotlib().ticker.MaxNLocator(6))
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.spines["left"].set_visible(False)


def _strip(panel: Any, column: Numbers, place: float, colour: str) -> None:
    if not column.size:
        return
    size = min(24.0, max(4.0, 300.0 / column.size))
    panel.scatter(column, place + _spread_out(column), s=size, color=colour, alpha=0.62,
                  linewidths=0, zorder=2)  # fmt: skip
    low, middle, high = np.percentile(column, (25, 50, 75))
    panel.plot((low, high), (place, place), color=INK, linewidth=3.2, alpha=0.85,
               solid_capstyle="butt", zorder=3)  # fmt: skip
    panel.plot((middle, middle), (place - 0.27, place + 0.27), color=INK, linewidth=1.8, zorder=4)


def _spread_out(column: Numbers) -> Numbers:
    """How far each dot stands off its row: neighbours in value apart, the same every time."""
    rank = np.argsort(np.argsort(column, kind="stable"), kind="stable")
    return np.asarray(0.5 * ((rank * GOLDEN) % 1.0 - 0.5))


def _titled(group: str, found: Mapping[str, Numbers]) -> str:
    counts = sorted({int(np.isfinite(column).sum()) for column in found.values()})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    return f"{shorten(tame(group))}   {n}" if group else n


def _say_medians(groups: Spread) -> str:
    said = [
        f"{group + ', ' if group else ''}{codec}: median {say_number(_median(column))}"
        for group, found in groups.items()
        for codec, column in found.items()
    ]
    return "; ".join(said) + "."


def _median(column: Numbers) -> float:
    finite = column[np.isfinite(column)]
    return float(np.median(finite)) if finite.size else math.nan


# -- differences -----------------------------------------------------------------------------------


def difference_chart(
    differences: Sequence[Difference],
    axis: str,
    *,
    better: Better = "higher",
    margin: float | None = None,
    name: str = "differences",
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Paired differences with their intervals, one below the other, about zero.

    Args:
        differences: In order; those of one group stand together under its name.
        axis: What the difference is of, with its unit.
        better: Which way is better.
        margin: Differences smaller than this count as none, and are shaded.

    Raises:
        InputError: There is nothing to draw.
        MissingExtra: matplotlib is not installed.

    Examples:
        >>> chart = difference_chart([Difference("compact-4x3-2d", 1.0, 0.4, 1.6)], "PSNR (dB)")
        >>> _ = Path("differences.png").write_bytes(chart.png)
    """
    known = [d for d in differences if math.isfinite(d.estimate)]
    refuse_nothing(known, "differences")
    groups: dict[str, list[Difference]] = {}
    for difference in known:
        groups.setdefault(difference.group, []).append(difference)
    rows: list[Difference | str] = []
    for group, found in groups.items():
        rows += [*([group] if group else []), *found]

    def paint(page: Any) -> None:
        (panel,) = lay_out(page, 1, 1)
        panel.axvline(0.0, color=INK, linewidth=0.9)
        if margin is not None:
            panel.axvspan(-margin, margin, color=HAIR, alpha=0.7, linewidth=0)
        _forest(panel, rows)
        panel.set_xlabel(tame(axis) + _say_way(better))

    return draw(
        name, paint, height=0.26 * len(rows) + 0.75,
        caption=caption
        or f"{axis}: mean paired difference with its interval. {explain_marks(known)}",
        alt=alt or f"{axis}. " + _say_differences(known),
    )  # fmt: skip


def _forest(panel: Any, rows: Sequence[Difference | str]) -> None:
    for place, row in enumerate(rows):
        if isinstance(row, str):
            continue
        colour = PALETTE[0] if row.found else QUIET
        if math.isfinite(row.low + row.high):
            panel.plot((row.low, row.high), (place, place), color=colour, linewidth=1.5)
        panel.plot(row.estimate, place, "o" if row.enough else "x", markersize=5, color=colour,
                   markerfacecolor=colour if row.found else "white")  # fmt: skip
    labels = [shorten(tame(row if isinstance(row, str) else row.label), 44) for row in rows]
    panel.set_yticks(range(len(rows)), labels)
    for tick, row in zip(panel.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if isinstance(row, str) else "normal")
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.xaxis.set_major_locator(import_matplotlib().ticker.MaxNLocator(6))
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.spines["left"].set_visible(False)


def _say_way(better: Better) -> str:
    if better == "nearer zero":
        return ""
    return "     better →" if better == "higher" else "     ← better"


def _say_differences(differences: Sequence[Difference]) -> str:
    said = [
        f"{d.group + ', ' if d.group else ''}{d.label}: {say_number(d.estimate, 3)} "
        f"({say_number(d.low, 3)} to {say_number(d.high, 3)})"
        f"{'' if d.enough else ', too few patients to tell'}"
        for d in differences
    ]
    return "; ".join(said) + "."


def _any(found: Mapping[str, Numbers]) -> bool:
    return any(np.isfinite(column).any() for column in found.values())
