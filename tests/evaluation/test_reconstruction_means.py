"""Means of a reconstruction report: what they are of, and what was left out of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from plica.evaluation import quality
from plica.evaluation.quality import _mean_curve, draw_rates
from plica.evaluation.reconstruction import (
    Judged,
    _say_notes,
    report_reconstruction,
    summarise_all,
    tabulate,
)
from plica.evaluation.report import Figure
from plica.evaluation.results import Result, Results
from plica.evaluation.text import PER_CODE
from plica.metrics.metric import Value


def result(case: int, value: float, *, draw: int = 0, unit: str = "dB", scales: int = 0) -> Result:
    detail = {"scales": scales} if scales else {}
    found = Value("m", value, unit, "higher", None, "A made number.", detail=detail)
    return Result(case=(f"p{case}", "", ""), codec="c", draw=draw, values=(found,), facts={})


def mean(*results: Result):
    (found,) = summarise_all(Results(results))
    return found


def test_an_image_that_was_drawn_twice_counts_once():
    found = mean(*(result(case, 30.0 + case, draw=draw) for case in range(6) for draw in range(4)))
    assert found.estimate.n == 6
    assert found.estimate.value == pytest.approx(32.5)
    assert found.over_draws == pytest.approx((32.5, 0.0))


def test_draws_have_a_mean_and_a_spread_of_their_own():
    found = mean(result(0, 30.0, draw=0), result(1, 32.0, draw=1), result(2, 37.0, draw=2))
    assert found.over_draws == pytest.approx((33.0, math.sqrt(13)))
    assert found.to_json()["draws"] == [30.0, 32.0, 37.0]


def test_images_without_a_finite_value_are_counted_and_left_out():
    found = mean(*(result(case, 30.0) for case in range(7)), result(7, math.inf))
    assert found.estimate.n == 7
    assert (
        "1 image equal to the source, without a finite value, was left out" in found.estimate.note
    )


def test_unlike_quantities_are_not_averaged():
    five = [result(case, 0.9, unit="1", scales=5) for case in range(6)]
    found = mean(*five, result(7, 0.1, unit="1", scales=3))
    assert found.estimate.value == pytest.approx(0.9)
    assert "1 image of another number of scales than 5 was left out" in found.estimate.note
    lengths = [result(case, 0.5, unit="cycles/mm") for case in range(3)]
    found = mean(*lengths, result(4, 0.2, unit="cycles/pixel"))
    assert "1 image not in cycles/mm was left out" in found.estimate.note


def test_what_was_left_out_under_every_codec_is_said_once():
    one = replace(
        mean(result(0, 30.0)).estimate, note="few; 2 images not in cycles/mm were left out"
    )
    fine = replace(one, note="")

    said = _say_notes({("a", "m"): one, ("b", "m"): one, ("a", "n"): one, ("b", "n"): fine})

    left = "2 images not in cycles/mm were left out."
    assert said == f" m: {left} a, n: {left}"


def scaled(patient: str, codec: str, value: float, scales: int) -> Result:
    found = Value("ms-ssim", value, "1", "higher", 1.0, "d", detail={"scales": scales})
    facts = {"shape": (8, 8, 1), "channels": 1, "latent_bytes": 64, "encode_seconds": 1.0,
             "decode_seconds": 1.0}  # fmt: skip
    return Result((patient, "", ""), codec, "g", (found,), facts)


def test_one_column_has_one_quantity_whoever_failed_on_what():
    """A codec that failed where most are is not averaged over what is left."""
    both = [scaled(f"p{n}", "base", 0.9, 5) for n in range(3)] + [scaled("p3", "base", 0.5, 2)]
    one = scaled("p3", "new", 0.6, 2)

    found = summarise_all(Results((*both, one)))

    assert [(s.codec, s.estimate.n) for s in found] == [("base", 3)]


def test_means_differences_and_medians_are_of_the_same_images():
    """Of two counts of scales the rarer is nowhere averaged: here it would turn the sign."""
    numbers = [("a", 0.90, 0.91, 5), ("b", 0.92, 0.93, 5), ("c", 0.95, 0.60, 2)]
    results = Results(tuple(
        scaled(who, codec, value, scales)
        for who, base, new, scales in numbers
        for codec, value in (("base", base), ("new", new))
    ))  # fmt: skip
    left = "1 image of another number of scales than 5 was left out."

    report = report_reconstruction(Judged(results, {}, {}, {}, baseline="base"))
    sections = {section.title: section for section in report.sections}
    kept, against = sections["What is kept"], sections["Against base"]
    (table,), (compared,) = kept.tables, against.tables
    row = dict(zip(compared.columns, compared.rows[0], strict=True))

    assert [cells[-1] for cells in table.rows] == ["0.9100", "0.9200"]
    assert table.caption.endswith(f" ms-ssim: {left}")
    assert (row["difference"], row["left out"]) == ("+0.01000", "1")
    assert "new: 0.0100" in against.figures[0].alt
    assert "base: median 0.9100; g, new: median 0.9200" in kept.figures[0].alt
    assert kept.figures[0].caption.endswith(f"g: {left}")


def test_draws_have_no_unlike_numbers_in_their_means():
    found = mean(
        *(result(case, 0.9, unit="1", scales=5, draw=draw) for case in range(3) for draw in (0, 1)),
        result(4, 0.1, unit="1", scales=2, draw=1),
    )
    assert found.draws == pytest.approx((0.9, 0.9))


# -- the first table -----------------------------------------------------------------------------


def tell(patients: int, sizes: dict[str, str], *, intervals: bool = True):
    values = [
        replace(result(case, 30.0 + case), codec=codec)
        for codec in sizes
        for case in range(patients)
    ]
    codecs = {codec: {PER_CODE: size} for codec, size in sizes.items()}
    judged = Judged(Results(tuple(values)), codecs, {}, {}, baseline="a")
    return tabulate(judged, summarise_all(judged.results), "", intervals=intervals)


@pytest.mark.parametrize("intervals", [True, False])
def test_voxels_per_code_stand_beside_each_codec(intervals):
    table = tell(6, {"a": "16", "b": "64"}, intervals=intervals)

    assert table.columns[:2] == ("codec", "voxels per code")
    assert [row[:2] for row in table.rows] == [("a", "16"), ("b", "64")]
    assert "compare those of equal voxels per code" in table.caption
    assert "unequally" not in tell(6, {"a": "16", "b": "16", "c": "–"}).caption


def test_intervals_that_there_are_none_of_are_not_spoken_of():
    assert "95 % interval" in tell(12, {"a": "16"}).caption
    table = tell(2, {"a": "16"})
    assert table.caption == "Mean over images; there are too few patients for intervals."
    assert "unknown" not in str(table.rows)


def test_a_metric_that_a_group_lacks_is_a_column_of_dashes():
    other = Value("n", 0.5, "1", "lower", None, "Another made number.")
    results = Results((result(0, 30.0), replace(result(1, 1.0), group="other", values=(other,))))

    table = tabulate(Judged(results, {}, {}, {}, baseline="c"), summarise_all(results), "")

    assert table.columns[-2:] == ("m (dB) ↑", "n")
    assert table.rows[0][-1] == "–"


# -- the whole report ----------------------------------------------------------------------------


def test_draws_stand_beside_the_paper_with_their_spread():
    facts = {"shape": (8, 8, 1), "channels": 1, "latent_bytes": 64, "encode_seconds": 1.0,
             "decode_seconds": 1.0}  # fmt: skip
    drawn = [replace(result(case, 30.0 + 2 * draw, draw=draw), facts=facts)
             for case in range(3) for draw in range(2)]  # fmt: skip
    judged = Judged(
        Results(tuple(drawn)), {}, {}, {}, baseline="c", published={"": {"c": {"m": 33.5}}}
    )

    sections = {section.title: section for section in report_reconstruction(judged).sections}
    (table,) = sections["Beside the paper"].tables

    assert table.rows == (("c", "m (dB) ↑", "31.00 ± 1.414", "33.50"),)
    assert table.caption == "Here: mean ± SD of 2 draws."


def test_of_a_group_without_the_first_metric_nobody_keeps_most():
    facts = {"shape": (8, 8, 1), "channels": 1, "latent_bytes": 64, "encode_seconds": 1.0,
             "decode_seconds": 1.0}  # fmt: skip
    other = Value("n", 0.5, "1", "lower", None, "Another made number.")
    results = Results((
        replace(result(0, 30.0), facts=facts),
        replace(result(1, 1.0), group="other", values=(other,), facts=facts),
    ))  # fmt: skip
    report = report_reconstruction(Judged(results, {}, {}, {}, baseline="c"))
    assert [said for said in report.summary if "m: c 30" in said]
    assert not [said for said in report.summary if said.startswith("other")]


def test_where_nothing_was_kept_nobody_keeps_most():
    failed = replace(result(0, 30.0), values=(), error="too small")
    report = report_reconstruction(Judged(Results((failed,)), {}, {}, {}, baseline="c"))

    assert len(report.summary) == 1
    assert "1 results are missing" in report.summary[0]


def test_the_chart_of_rates_draws_the_tables_own_intervals(monkeypatch):
    drawn = {}
    figure = Figure("rates", "", "", b"")
    monkeypatch.setattr(
        quality, "rate_distortion_chart", lambda points: drawn.update(points) or figure
    )
    facts = {"shape": [8, 8, 1], "channels": 1, "latent_bytes": 16}
    results = Results(tuple(
        Result((f"p{n}", "", ""), "c", "g", facts=facts,
               values=(Value("psnr", 30.0 + n, "dB", "higher", None, "A made number."),))
        for n in range(6)
    ))  # fmt: skip
    (summary,) = summarise_all(results)

    draw_rates(results, {("g", "c"): summary.estimate})

    ((point,),) = drawn.values()
    assert (point.bits_per_pixel, point.quality) == (2.0, 32.5)
    assert (point.low, point.high) == (summary.estimate.low, summary.estimate.high)
    assert point.low < 32.5 < point.high


def test_a_case_without_any_frequency_counts_as_one_that_reaches_none():
    frequency = np.array([0.0, 1.0, 2.0])
    known = {"frequency": [0.0, 1.0, 2.0], "correlation": [1.0, 0.5, 0.25]}
    none = {"frequency": [0.0], "correlation": [None]}

    assert _mean_curve([known, none], "correlation", frequency).tolist() == [1.0, 0.5, 0.25]
    assert np.isnan(_mean_curve([known, none, none], "correlation", frequency)).all()
