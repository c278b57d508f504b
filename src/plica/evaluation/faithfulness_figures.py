"""Curves of retention: how much of a lesion is kept, by its size and contrast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from plica.evaluation.drawing import RULE, Looks, add_legend, draw, lay_out
from plica.evaluation.faithfulness_lesions import say_places
from plica.evaluation.report import Figure
from plica.evaluation.results import Results
from plica.evaluation.text import tame

_NAME = re.compile(r"^retention ([\d.e+-]+) (mm|pixels) (.+)$")
PANEL = 2.3  # inches

Curves = dict[str, dict[str, dict[float, list[float]]]]


def draw_retention(results: Results) -> tuple[Figure, ...]:
    """A figure for each group: a panel for each contrast, a curve for each codec."""
    found = ((group, _gather(results.of(group=group))) for group in results.groups)
    return tuple(
        _draw(group, curves, length, results) for group, (curves, length) in found if curves
    )


def _gather(results: Results) -> tuple[Curves, str]:
    """Patients' means by contrast, codec and diameter, and the unit of the diameters."""
    curves: Curves = {}
    length = ""
    for metric in results.metrics:
        match = _NAME.match(metric)
        if match is None:
            continue
        length = match[2]
        for codec in results.codecs:
            means = _patients(results.of(codec=codec), metric)
            if means:
                curve = curves.setdefault(match[3], {}).setdefault(codec, {})
                curve[float(match[1])] = means
    return curves, length


def _patients(results: Results, metric: str) -> list[float]:
    found: dict[str, list[float]] = {}
    for result in results:
        value = result.value(metric)
        if value is not None and np.isfinite(value.value):
            found.setdefault(result.patient, []).append(value.value)
    return [float(np.mean(numbers)) for numbers in found.values()]


def _draw(group: str, curves: Curves, length: str, results: Results) -> Figure:
    codecs = results.codecs
    looks = Looks(codecs)

    def paint(page: Any) -> None:
        panels = lay_out(page, len(curves), min(3, len(curves)), sharey=True)
        for panel, (contrast, found) in zip(panels, curves.items(), strict=True):
            _paint(panel, found, looks)
            panel.set_title(tame(contrast))
            panel.set_xlabel(f"diameter ({length})")
        panels[0].set_ylabel("share of contrast kept")
        add_legend(page, panels)

    rows = -(-len(curves) // 3)
    return draw(
        f"retention-{group}",
        paint,
        height=PANEL * rows + 0.25 * len(codecs) / 2 + 0.4,
        caption=(
            f"{group}: retention of planted lesions by diameter, a panel for each contrast. "
            "Mean over patients; bars are the standard deviation between them. 1 keeps all. "
            f"{say_places(results.of(group=group))}"
        ).rstrip(),
        alt=_say(group, curves),
    )


def _paint(panel: Any, found: Mapping[str, Mapping[float, list[float]]], looks: Looks) -> None:
    panel.axhline(1.0, color=RULE, linewidth=0.9, zorder=1)
    diameters = sorted({diameter for curve in found.values() for diameter in curve})
    for codec, curve in found.items():
        sizes = sorted(curve)
        means = [float(np.mean(curve[size])) for size in sizes]
        spread = [float(np.std(curve[s], ddof=1)) if len(curve[s]) > 1 else 0.0 for s in sizes]
        panel.errorbar(
            sizes, means, yerr=spread, label=tame(codec), color=looks.colour(codec),
            marker=looks.marker(codec), linestyle=looks.dash(codec), markersize=4, capsize=2,
            elinewidth=0.8,
        )  # fmt: skip
    panel.set_xscale("log", base=2)
    panel.set_xticks(diameters, [f"{diameter:g}" for diameter in diameters])
    panel.minorticks_off()


def _say(group: str, curves: Curves) -> str:
    said = []
    for contrast, found in curves.items():
        for codec, curve in found.items():
            ends = [f"{np.mean(curve[s]):.2f} at {s:g}" for s in (min(curve), max(curve))]
            said.append(f"{codec}, {contrast}: {' and '.join(dict.fromkeys(ends))}")
    return f"Retention in {group}. " + "; ".join(said) + "."
