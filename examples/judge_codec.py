"""Judge codecs on images of yours, patient by patient, against one of them.

    python examples/judge_codec.py images.csv --codec linear-8x4-2d --against bicubic-4x-2d

`images.csv` has one row per image: path and patient. Compare codecs at the same number of voxels
per code (`plica codecs`), or say that you do not. `plica evaluate reconstruction` does the same and
more: a page with charts, protocols of the papers, resuming. Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import plica
from plica.codecs.codec import Codec
from plica.cohort import Case, Cohort
from plica.errors import PlicaError, SettingsError
from plica.evaluation.against import Paired, compare_with
from plica.evaluation.results import Result, Results
from plica.metrics.metric import measure

METRICS = ("psnr", "mae")


def judge(case: Case, name: str, codec: Codec) -> Result:
    """One codec on one image; a refusal is a result too, so that no side is favoured."""
    try:
        image = plica.read(case.path)
        measured = measure(image, codec.decode(codec.encode(image)), metrics=METRICS)
    except PlicaError as error:
        return Result(case.key, name, error=str(error))
    return Result(case.key, name, values=measured.values)


def describe(one: Paired) -> str:
    """A difference with its interval, its n and what may be said of it."""
    interval = one.difference
    return (
        f"{one.codec:>16} − {one.baseline}: {one.like.metric} {interval.value:+.3g} "
        f"{one.like.unit} (95 % CI {interval.low:+.3g} to {interval.high:+.3g}, "
        f"{interval.patients} patients): {one.verdict}"
    )


def main(words: list[str] | None = None) -> tuple[Paired, ...]:
    """Measure, print means, and compare in pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="CSV with path and patient")
    parser.add_argument("--codec", nargs="+", required=True, help="names, or folders of codecs")
    parser.add_argument("--against", required=True, help="the codec they are compared with")
    asked = parser.parse_args(words)
    cohort = Cohort.from_table(asked.images, split="")
    codecs = {name: plica.load(name) for name in (*asked.codec, asked.against)}
    if len(codecs) == 1:
        raise SettingsError(f"{asked.against} cannot be compared with itself: name another --codec")
    results = Results(tuple(judge(case, *named) for case in cohort for named in codecs.items()))
    for failure in results.failures:
        print(f"failed: {failure.codec} on {failure.case}: {failure.error}")
    for name, codec in codecs.items():
        means = [np.nanmean(results.of(codec=name).column(metric)) for metric in METRICS]
        size = f"{codec.card.total_factor / codec.card.channels:g} voxels per code"
        print(f"{name:>16}  psnr {means[0]:.2f} dB  mae {means[1]:.3g}  {size}")
    compared = compare_with(results, asked.against, margins={})
    print(*map(describe, compared), sep="\n")
    return compared


if __name__ == "__main__":
    try:
        main()
    except PlicaError as error:  # one sentence: what came, what was expected, what to do
        sys.exit(f"error: {error}")
