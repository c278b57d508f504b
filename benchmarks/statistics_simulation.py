"""How often statistics are wrong where nothing is there: slices, patients, intervals, margins.

python benchmarks/statistics_simulation.py [--runs 2000] [--write]

Simulated differences of 35 patients with 20 slices each, patients and slices differing equally much
(SD 1 and 1), unless a row says otherwise. `--write` puts the table into docs/statistics.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from pages import DOCS, put_section
from scipy.stats import norm, wilcoxon

from plica.errors import InputError
from plica.evaluation.equivalence import hold_to_margin
from plica.evaluation.estimates import summarise
from plica.evaluation.mixed import regress
from plica.evaluation.predictions import Predictions
from plica.evaluation.probing import judge
from plica.evaluation.wilcoxon import adjust_holm, signed_rank

PAGE = DOCS / "statistics.md"
MARK = "simulation"
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


APART, NOISE = 1.3, (0.7, 0.5)  # of scores: between classes, and of a patient and an image


def draw_probes(rng: np.random.Generator, patients: int, loss: float = 0.0) -> list[Predictions]:
    """Scores of a baseline and a codec, of two images each of so many patients of each class."""
    count = 2 * patients
    labels = np.repeat(np.arange(count) % 2, 2).astype(np.int64)
    cases = tuple((f"p{n // 2}", "", str(n)) for n in range(2 * count))
    seen = np.repeat(rng.normal(size=count), 2)
    found = []
    for codec, apart in (("baseline", APART), ("codec", APART - loss)):
        own = NOISE[0] * np.repeat(rng.normal(size=count), 2)
        scores = seen + own + NOISE[1] * rng.normal(size=2 * count) + apart * labels
        both = np.stack([-scores, scores], 1)
        found.append(Predictions(codec, 0, ("a", "b"), cases, labels, both))
    return found


def true_area(apart: float) -> float:
    """AUROC of two normals so far apart."""
    spread = math.sqrt(2 * (1 + NOISE[0] ** 2 + NOISE[1] ** 2))
    return float(norm.cdf(apart / spread))


def auroc_misses(patients: int) -> Callable[[np.random.Generator], bool]:
    """Whether the interval of an AUROC misses the truth."""

    def run(rng: np.random.Generator) -> bool:
        found = judge(draw_probes(rng, patients)[:1], baseline="baseline", draws=1000)[0].auroc
        return found.low > true_area(APART) or found.high < true_area(APART)

    return run


def difference_misses(patients: int) -> Callable[[np.random.Generator], bool]:
    """Whether the interval of a difference of AUROCs misses none."""

    def run(rng: np.random.Generator) -> bool:
        found = judge(draw_probes(rng, patients), baseline="baseline", draws=1000)[1].difference
        return found is not None and (found.low > 0 or found.high < 0)

    return run


def auroc_margin_at_its_edge(rng: np.random.Generator) -> bool:
    """Whether a loss of AUROC of exactly the margin is called none."""
    margin = true_area(APART) - true_area(APART - 0.6)
    found = judge(draw_probes(rng, 20, 0.6), baseline="baseline", draws=1000, margin=margin)[1]
    return found.margin is not None and found.margin.no_worse


def slope_of_nothing(patients: int) -> Callable[[np.random.Generator], bool]:
    """Whether a slope over a ceiling that each patient has but one of is found in nothing."""

    def run(rng: np.random.Generator) -> bool:
        people = np.repeat(np.arange(patients), 5)
        ceiling = rng.normal(30, 2, patients)[people] + rng.normal(0, 0.2, people.size)
        score = rng.normal(0, 1, patients)[people] + rng.normal(0, 0.5, people.size)
        try:
            return regress(ceiling, score, [f"p{n}" for n in people], method="mixed").p < 0.05
        except InputError:  # it did not converge, says so, and claims nothing
            return False

    return run


QUESTIONS: tuple[tuple[str, str, Callable[[np.random.Generator], bool]], ...] = (
    ("Wilcoxon, each slice a witness (do not)", "5 %", slices_as_patients),
    ("Wilcoxon, one mean for each patient (`signed_rank`)", "5 %", patients_as_patients),
    ("any of ten comparisons, Holm (`adjust_holm`)", "≤ 5 %", any_of_ten),
    ("95 % interval misses the mean, 35 patients (`summarise`)", "5 %", interval_misses(35)),
    ("95 % interval misses the mean, 10 patients", "5 %", interval_misses(10)),
    ("a loss of the margin is called no worse (`hold_to_margin`)", "5 %", margin_at_its_edge),
    ("95 % interval misses the AUROC, 5 patients of each class (`judge`)", "5 %", auroc_misses(5)),
    ("95 % interval misses the AUROC, 20 patients of each class", "5 %", auroc_misses(20)),
    ("the same of a difference of AUROCs, 5 of each class", "5 %", difference_misses(5)),
    ("the same of a difference of AUROCs, 20 of each class", "5 %", difference_misses(20)),
    (
        "a loss of AUROC of the margin is called none, 20 of each class (`judge_draws`)",
        "5 %",
        auroc_margin_at_its_edge,
    ),
    ("a slope is found where there is none, 6 patients (`regress`)", "5 %", slope_of_nothing(6)),
    ("a slope is found where there is none, 30 patients", "5 %", slope_of_nothing(30)),
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
        put_section(PAGE, MARK, table)
