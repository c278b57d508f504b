"""How often statistics are wrong where nothing is there: slices, patients, intervals, margins.

python benchmarks/statistics_simulation.py [--runs 2000] [--write]

Simulated differences of 35 patients with 20 slices each, patients and slices differing equally much
(SD 1 and 1), unless a row says otherwise. `--write` puts the table into docs/statistics.md.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from plica.evaluation.equivalence import hold_to_margin
from plica.evaluation.estimates import summarise
from plica.evaluation.wilcoxon import adjust_holm, signed_rank

PAGE = Path(__file__).resolve().parent.parent / "docs" / "statistics.md"
MARKS = ("<!-- simulation -->", "<!-- end of simulation -->")
PATIENTS, SLICES = 35, 20

Draw = tuple[np.ndarray, tuple[str, ...]]


def draw(rng: np.random.Generator, patients: int, slices: int, mean: float = 0.0) -> Draw:
    """Differences of slices, and whose they are."""
    own = rng.normal(mean, 1.0, patients)
    values = np.repeat(own, slices) + rng.normal(0, 1.0, patients * slices)
    return values, tuple(f"p{n // slices}" for n in range(patients * slices))


def slices_as_patients(rng: np.random.Generator) -> bool:
    """Whether slices, taken for patients, find what is not there."""
    values, _ = draw(rng, PATIENTS, SLICES)
    return bool(wilcoxon(values).pvalue < 0.05)


def patients_as_patients(rng: np.random.Generator) -> bool:
    """Whether patients' means find what is not there."""
    return signed_rank(*draw(rng, PATIENTS, SLICES)) < 0.05


def any_of_ten(rng: np.random.Generator) -> bool:
    """Whether any of ten corrected comparisons finds what is not there."""
    p = [signed_rank(*draw(rng, PATIENTS, 1)) for _ in range(10)]
    return min(adjust_holm(p)) < 0.05


def interval_misses(patients: int) -> Callable[[np.random.Generator], bool]:
    """Whether the interval of so many patients misses the truth."""

    def run(rng: np.random.Generator) -> bool:
        found = summarise(*draw(rng, patients, SLICES))
        return not found.low < 0 < found.high

    return run


def margin_at_its_edge(rng: np.random.Generator) -> bool:
    """Whether a loss of exactly the margin is called none."""
    return hold_to_margin(*draw(rng, PATIENTS, SLICES, -0.5), 0.5).no_worse


QUESTIONS: tuple[tuple[str, str, Callable[[np.random.Generator], bool]], ...] = (
    ("Wilcoxon, each slice a witness (do not)", "5 %", slices_as_patients),
    ("Wilcoxon, one mean for each patient (`signed_rank`)", "5 %", patients_as_patients),
    ("any of ten comparisons, Holm (`adjust_holm`)", "≤ 5 %", any_of_ten),
    ("95 % interval misses the mean, 35 patients (`summarise`)", "5 %", interval_misses(35)),
    ("95 % interval misses the mean, 10 patients", "5 %", interval_misses(10)),
    ("a loss of the margin is called no worse (`hold_to_margin`)", "5 %", margin_at_its_edge),
)


def make_table(runs: int) -> str:
    """Each question's rate with its 95 % binomial interval (Wilson)."""
    lines = ["| what is simulated | should be | is |", "|---|---:|---:|"]
    for name, should, ask in QUESTIONS:
        rng = np.random.default_rng(0)
        hits = sum(ask(rng) for _ in range(runs))
        low, high = wilson(hits, runs)
        share = f"{100 * hits / runs:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        lines.append(f"| {name} | {should} | {share} |")
        print(lines[-1], flush=True)
    return "\n".join([*lines, "", f"{runs} simulations of each; in brackets the 95 % interval."])


def wilson(hits: int, runs: int) -> tuple[float, float]:
    """Wilson's interval of a rate."""
    z, share = 1.959964, hits / runs
    centre = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * np.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    return centre - half, centre + half


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    given = parser.parse_args()
    table = make_table(given.runs)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        pattern = re.compile(f"(?<={MARKS[0]}\n).*?(?={MARKS[1]})", re.DOTALL)
        PAGE.write_text(pattern.sub(lambda _: table + "\n", text), encoding="utf-8")
