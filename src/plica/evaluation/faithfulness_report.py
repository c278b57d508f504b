"""A report of faithfulness: from results case by case to tables, curves and what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from plica.evaluation import faithfulness_values as v
from plica.evaluation.bootstrap import FEWEST_PATIENTS
from plica.evaluation.estimates import Estimate, to_json_number
from plica.evaluation.estimates import summarise as estimate_mean
from plica.evaluation.faithfulness_figures import draw_retention
from plica.evaluation.faithfulness_lesions import (
    FACTS,
    list_records,
    say_lesions,
    say_places,
    say_planted,
    say_range,
)
from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.results import Result, Results
from plica.evaluation.text import NOTHING, head_value, say_number, say_origin
from plica.evaluation.tissues import FEWEST_VOXELS, HU_CLASSES
from plica.evaluation.unsuited import Unsuited, say_unsuited, show_unsuited

_RETENTION = re.compile(r"^retention (?P<size>[\d.e+-]+ \w+) (?P<contrast>[\d.e+-]+) ")
EDGES = (v.SHIFT, v.GROWTH, v.MOVED, v.DEFORMED, v.BLUR, v.LOST)
RESIDUALS = (v.RMS, v.INDEX, v.ANATOMY, v.FLATNESS)
INVENTIONS = (v.LIMIT, v.PEAK, v.PLACES, v.AREA, v.ENERGY, v.SHARE, v.DETAIL)
STRUCTURES = (v.REMOVED, v.PUT_BACK)
HEADLINES = (
    v.LIMIT, v.RMS, v.SHIFT, v.BLUR, v.ANATOMY, v.PEAK, v.PLACES, v.DETAIL, v.PUT_BACK,
)  # fmt: skip
"""What heads the report. How faint a fake would have been seen stands first: it is how much the
numbers of invention can say."""
SPREAD = (
    "Mean over patients of each patient's mean, ± standard deviation between patients (none for "
    f"one patient); from {FEWEST_PATIENTS} patients that differ, in brackets, the 95 % interval of "
    "the mean (BCa bootstrap of patients, widened for few)."
)


@dataclass(frozen=True)
class Judged:
    """What a report is made of.

    Args:
        results: Case by case; each result's facts hold its record under `FACTS`.
        setting: What it all stands on, in words by name.
        record: The same for machines.
        pictures: Of the worst cases.
        unsuited: Pictures that codecs of volumes were not tried on.
    """

    results: Results
    setting: Mapping[str, str]
    record: Mapping[str, Any]
    pictures: tuple[Figure, ...] = ()
    unsuited: tuple[Unsuited, ...] = ()


@dataclass(frozen=True)
class Spread:
    """One metric of one codec over patients.

    Args:
        mean: Of the patients' means.
        deviation: Standard deviation between patients; NaN for one.
        patients: How many.
        cases: How many images.
        low: Lower end of the mean's 95 % interval; NaN below `FEWEST_PATIENTS` patients, and where
            all have one value.
        high: Upper end.
    """

    mean: float
    deviation: float
    patients: int
    cases: int
    low: float = float("nan")
    high: float = float("nan")

    def __str__(self) -> str:
        spread = "" if np.isnan(self.deviation) else f" ± {say_number(self.deviation, 2)}"
        ends = f" ({say_number(self.low, 3)} to {say_number(self.high, 3)})"
        return f"{say_number(self.mean, 3)}{spread}{'' if np.isnan(self.low) else ends}"

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; what is unknown is null."""
        return {name: to_json_number(value) for name, value in vars(self).items()}


@dataclass
class SelfTests:
    """How often the hallucination score passed its own test.

    Args:
        images: On how many images it was tried.
        found: On how many the planted fake was found.
        acquitted: On how many bicubic interpolation was not accused.
        highest: The highest score bicubic interpolation got.
        lowest: The lowest score a fake got.
    """

    images: int = 0
    found: int = 0
    acquitted: int = 0
    highest: float = 0.0
    lowest: float = float("inf")
    _seen: set[tuple[Any, ...]] = field(default_factory=set)

    def add(self, result: Result) -> None:
        """Count one result's verdict; the images count once, whatever was pasted into."""
        verdict = (result.facts.get(FACTS) or {}).get("verdict")
        if verdict is None:
            return
        self.images += 1
        self.found += bool(verdict["found"])
        self.acquitted += bool(verdict["acquitted"])
        self.highest = max(self.highest, verdict["bicubic_peak"])
        self.lowest = min(self.lowest, verdict["score"])

    def say(self) -> str:
        """In one sentence."""
        if not self.images:
            return "The hallucination score was not put to its own test: no image could be judged."
        return (
            f"Self-test of the hallucination score, on {self.images} decoded images: the planted "
            f"lesion was found in {self.found} (lowest score {self.lowest:.3g}), and bicubic "
            f"interpolation was accused in {self.images - self.acquitted} (highest score "
            f"{self.highest:.3g}; above 1 accuses)."
        )

    @property
    def passed(self) -> bool:
        """Whether both held everywhere."""
        return 0 < self.images == self.found == self.acquitted

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record."""
        return {
            "images": self.images,
            "found": self.found,
            "acquitted": self.acquitted,
            "bicubic_highest": self.highest,
            "fake_lowest": self.lowest if self.images else None,
            "passed": self.passed,
        }


def try_results(results: Iterable[Result]) -> SelfTests:
    """The self-tests of all results."""
    tests = SelfTests()
    for result in results:
        tests.add(result)
    return tests


def spread_over_patients(results: Results, metric: str) -> Spread | None:
    """A metric over patients; None where no case has a number."""
    found: dict[str, list[float]] = {}
    for result in results:
        value = result.value(metric)
        if value is not None and np.isfinite(value.value):
            found.setdefault(result.patient, []).append(value.value)
    if not found:
        return None
    means = [float(np.mean(numbers)) for numbers in found.values()]
    alike = len(set(means)) == 1  # equal patients tell nothing of how unlike others may be
    estimate = None if alike else _estimate(tuple(means), tuple(found))
    return Spread(
        mean=float(np.mean(means)),
        deviation=float(np.std(means, ddof=1)) if len(means) > 1 else float("nan"),
        patients=len(means),
        cases=sum(len(some) for some in found.values()),
        low=estimate.low if estimate else float("nan"),
        high=estimate.high if estimate else float("nan"),
    )


@lru_cache(maxsize=4096)  # tables, summary and console ask for the same ones
def _estimate(means: tuple[float, ...], patients: tuple[str, ...]) -> Estimate:
    """The mean of patients' means, each patient once, with its interval where there is one."""
    return estimate_mean(np.array(means), patients)


def report_faithfulness(judged: Judged) -> Report:
    """The report of all results."""
    results, tests = judged.results, try_results(judged.results)
    volumes = judged.setting.get("volumes", "")
    if not any("volumes" in group for group in results.groups):
        volumes = ""
    return Report(
        title="What codecs do to tissues, lesions and edges",
        summary=(
            f"{say_n(results.of())} under {len(results.codecs)} codecs and controls, each image "
            f"judged by itself{f'; of volumes, {volumes}' if volumes else ''}.",
            *say_unsuited(judged.unsuited),
            tests.say(),
        ),
        sections=(*_sections(results, judged.pictures), *show_unsuited(judged.unsuited)),
        record={
            **judged.record,
            "self_test": tests.to_json(),
            "summary": summarise(results),
            "not_judged": [one.to_json() for one in judged.unsuited],
        },
        setting=judged.setting,
        results=results,
    )


def summarise(results: Results) -> list[dict[str, Any]]:
    """Every metric of every codec in every group."""
    return [
        {"group": group, "codec": codec, "metric": metric, **spread.to_json()}
        for group in results.groups
        for codec in results.codecs
        for metric in results.metrics
        if (spread := spread_over_patients(results.of(codec=codec, group=group), metric))
    ]


def _sections(results: Results, pictures: tuple[Figure, ...]) -> tuple[Section, ...]:
    parts: tuple[tuple[str, str, Callable[[], tuple[Table, ...]]], ...] = (
        ("At a glance", "", lambda: _by_codec(results, list_headlines)),
        ("Tissues", TISSUES, lambda: _tissues(results)),
        ("Lesions planted", PLANTED, lambda: _planted(results)),
        ("How easily lesions are seen", SEEN, lambda: _detectability(results)),
        ("Structures removed", TAKEN, lambda: _removed(results)),
        ("Edges", MOVED, lambda: _by_codec(results, EDGES)),
        ("What is in the residual", LEFT, lambda: _by_codec(results, RESIDUALS)),
        ("What was invented", INVENTED, lambda: _by_codec(results, INVENTIONS)),
    )
    sections = []
    for title, prose, tabulate in parts:
        figures = draw_retention(results) if title == "Lesions planted" else ()
        figures = pictures if title == "What was invented" else figures
        if tables := tabulate():
            sections.append(Section(title, (prose,) if prose else (), tables, figures))
    if refused := _refusals(results):
        sections.append(Section("What could not be told", (), (refused,)))
    return tuple(sections)


# -- tables --------------------------------------------------------------------------------------


def list_faintest(results: Results) -> tuple[str, ...]:
    """Retention of the faintest lesions of each size: what small findings are lost by."""
    found: dict[str, tuple[float, str]] = {}
    for metric in results.metrics:
        if match := _RETENTION.match(metric):
            kind = (abs(float(match["contrast"])), metric)
            found[match["size"]] = min(found.get(match["size"], kind), kind)
    return tuple(metric for _, metric in found.values())


def list_headlines(results: Results) -> tuple[str, ...]:
    """What heads the report of one group."""
    return (*HEADLINES[:1], *list_faintest(results), *HEADLINES[1:])


def _tissues(results: Results) -> tuple[Table, ...]:
    """Bias and error by class, with the voxels they are of, and which classes are absent."""
    metrics = tuple(m for m in results.metrics if m.startswith(("bias, ", "MAE, ")))
    tables = []
    for group in results.groups:
        here = results.of(group=group)
        counts: dict[str, set[int]] = {}
        for row in list_records(here, "tissues"):
            counts.setdefault(row["name"], set()).add(int(row["voxels"]))
        rows = tuple(
            (
                head_value(here.describe(m)),
                say_range(counts.get(m.partition(", ")[2], set())),
                *(_cell(here.of(codec=c), m) for c in here.codecs),
            )
            for m in metrics
            if m in here.metrics
        )
        if rows:
            absent = [name for name, *_ in HU_CLASSES if name not in counts]
            missing = f" Not present: {', '.join(absent)}." if absent and "HU" in group else ""
            caption = f"{_caption(here)} {VOXELS}{missing}"
            tables.append(Table(group, ("", "voxels", *here.codecs), rows, caption))
    return tuple(tables)


def _detectability(results: Results) -> tuple[Table, ...]:
    """For each group, lesions down and codecs across: in the source → decoded."""
    end = ", decoded"
    tables = []
    for group in results.groups:
        here = results.of(group=group)
        lesions = [
            m.removesuffix(end)
            for m in here.metrics
            if m.startswith("detectability ") and m.endswith(end)
        ]
        rows = tuple(
            (
                f"{name.removeprefix('detectability ')} ↑",
                *(_before_and_after(here.of(codec=c), name) for c in here.codecs),
            )
            for name in lesions
        )
        if rows:
            caption = f"{_caption(here)} {say_places(here)}".rstrip()
            tables.append(Table(group, ("source → decoded", *here.codecs), rows, caption))
    return tuple(tables)


def _before_and_after(results: Results, lesion: str) -> str:
    """A codec's own source beside what it decoded, over the images that have both."""
    both = results
    for metric in (before := f"{lesion}, source", after := f"{lesion}, decoded"):
        both = Results(tuple(r for r in both if r.value(metric) is not None))
    return f"{_cell(both, before)} → {_cell(both, after)}" if len(both) else NOTHING


def _removed(results: Results) -> tuple[Table, ...]:
    """What became of structures of the image's own, with how large and how many they were."""
    tables = []
    for table in _by_codec(results, STRUCTURES):
        rows = []
        for codec, *cells in table.rows:
            here = results.of(codec=codec, group=table.title)
            own = [row for row in list_records(here, "lesions") if row["kind"] == "removed"]
            sizes = dict.fromkeys(f"{row['diameter']:g} {row['length']}" for row in own)
            counts = say_range({int(row["n"]) for row in own})
            rows.append(
                (codec, f"{counts} of about {', '.join(sizes)}" if own else NOTHING, *cells)
            )
        columns = (table.columns[0], "structures of an image", *table.columns[1:])
        places = say_places(results.of(group=table.title), "Structures")
        caption = f"{table.caption} {places}".rstrip()
        tables.append(replace(table, columns=columns, rows=tuple(rows), caption=caption))
    return tuple(tables)


def _by_codec(
    results: Results, metrics: Sequence[str] | Callable[[Results], Sequence[str]]
) -> tuple[Table, ...]:
    """For each group, codecs down and metrics across."""
    tables = []
    for group in results.groups:
        here = results.of(group=group)
        there = [m for m in (metrics(here) if callable(metrics) else metrics) if _known(here, m)]
        rows = tuple(
            (codec, *(_cell(results.of(codec=codec, group=group), m) for m in there))
            for codec in results.codecs
            if len(results.of(codec=codec, group=group))
        )
        if there and rows:
            heads = [head_value(results.of(group=group).describe(m)) for m in there]
            tables.append(Table(group, ("codec", *heads), rows, _caption(results.of(group=group))))
    return tuple(tables)


def _planted(results: Results) -> tuple[Table, ...]:
    """For each group, retention of lesions down and codecs across, below how many there were."""
    metrics = [m for m in results.metrics if m.startswith("retention ")]
    tables = []
    for group in results.groups:
        here = results.of(group=group)
        rows = tuple(
            (head_value(here.describe(m)), *(_cell(here.of(codec=c), m) for c in here.codecs))
            for m in metrics
            if _known(here, m)
        )
        if rows:
            counts = (COUNTED, *(say_lesions(here.of(codec=c)) for c in here.codecs))
            caption = f"{_caption(here)} {say_planted(here)}".rstrip()
            tables.append(Table(group, ("", *here.codecs), (counts, *rows), caption))
    return tuple(tables)


def _cell(results: Results, metric: str) -> str:
    spread = spread_over_patients(results, metric)
    return "–" if spread is None else str(spread)


def _known(results: Results, metric: str) -> bool:
    return spread_over_patients(results, metric) is not None


def say_n(results: Results) -> str:
    """How many images of how many patients."""
    cases, patients = len({r.case for r in results}), len({r.patient for r in results})
    return say_origin(cases, patients)


def _caption(results: Results) -> str:
    return f"{say_n(results)}. {SPREAD}"


def _refusals(results: Results) -> Table | None:
    counts: dict[tuple[str, str, str], int] = {}
    for result in results.of():
        for part, reason in (result.facts.get(FACTS) or {}).get("refused", {}).items():
            key = (part, result.group, reason)
            counts[key] = counts.get(key, 0) + 1
    rows = tuple((part, group, str(n), why) for (part, group, why), n in counts.items())
    return Table("Parts left out, with the reason", ("part", "group", "n", "reason"), rows) \
        if rows else None  # fmt: skip


TISSUES = (
    "Bias and error in the image's own unit, over the core of each class: voxels whose neighbours "
    "are of it too. A class is taken from the source blurred by a voxel, so that noise does not "
    "choose the voxels. Images without a scale have fifths of their own values."
)
VOXELS = (
    f"Voxels are those of the class's core in an image; of fewer than {FEWEST_VOXELS} no number is "
    "given, and none enters a mean."
)
PLANTED = (
    "Discs (spheres in volumes) of known size and contrast, anti-aliased, in homogeneous tissue. "
    "Retention is the share of the contrast that the codec keeps: by matched filter, on the "
    "difference of what it makes of the image with and without the lesion. 1 keeps all, 0 erases. "
    "How the loss divides into erased and invented stands with each case. In CT homogeneous tissue "
    "is −150 … 150 HU: nothing is planted in lung unless --lesions-in lung asks for it, and even "
    "then the lesions are spheres without texture or margins."
)
SEEN = (
    "Detectability index: a planted lesion's contrast over the standard deviation of the same "
    "matched filter at lesion-free places in homogeneous tissue, in the source and in what was "
    "decoded. A codec that takes noise away may keep less contrast and yet a higher index. Each "
    "codec stands beside its own source, over the same images: a lesion's box has room for what a "
    "codec of its factor smears, so that under another factor lesions, and the places without, "
    "are others, and so is the index of the very same source."
)
COUNTED = "lesions of a kind in an image, and in what"
TAKEN = (
    "Small structures of the image's own were filled in. A codec that puts one back where it had "
    "been filled in knows more than it was shown: the share put back is 0 for a faithful codec. "
    "The structures are the image's strongest of the middle size that is planted: how much of them "
    "is kept does not say what becomes of smaller or fainter lesions; the planted ones do."
)
MOVED = (
    "Where strong, lone edges went, along their normals. A shift is no blur and a blur no shift; "
    "growth is towards the dark side."
)
LEFT = (
    "A faithful codec's residual is noise: neighbours know nothing of each other "
    "(autocorrelation 0), it is no stronger where the anatomy has edges (anatomy 0), and all "
    "frequencies have their part (flatness 1). The z of each case stand with the cases."
)
INVENTED = (
    "What no local mixture of the source, its blurs and its slopes explains, over what plain "
    "bicubic interpolation by the same factor loses at that place; above 1 a place is accused. "
    "Detail is what lies between the means of the codec's cells: kept, where it follows the "
    "source's; invented, where nothing in the source explains it. What this cannot see: fakes "
    "fainter than what interpolation loses at their place, wider than a few cells, or made of the "
    "very blurs and slopes of what stands beside them."
)
