"""Codecs of one run against a baseline: by case, over patients, one family for each metric."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon
from statsmodels.stats.multitest import multipletests

from plica.errors import InputError
from plica.evaluation.against import compare_with, show_comparisons
from plica.evaluation.results import Result, Results
from plica.metrics.metric import Value


def results(rows):
    """Rows of patient, codec, number and metric."""
    found = {}
    for patient, series, codec, number, metric, better in rows:
        value = Value(metric, number, "dB", better, 1.0, "d")
        key = ((patient, "", series), codec)
        found.setdefault(key, []).append(value)
    return Results(tuple(Result(case, codec, "g", tuple(v)) for (case, codec), v in found.items()))


def paired(shift, n=12, better="higher", seed=0, metric="psnr"):
    rng = np.random.default_rng(seed)
    base = rng.normal(30, 3, n)
    gains = rng.normal(shift, 0.5, n)
    rows = []
    for k in range(n):
        rows.append((f"p{k}", "a", "base", base[k], metric, better))
        rows.append((f"p{k}", "a", "new", base[k] + gains[k], metric, better))
    return rows, gains


def test_the_numbers_are_those_of_scipy_and_of_the_formulas():
    rows, gains = paired(0.4)
    (one,) = compare_with(results(rows), "base", margins={})
    assert one.difference.value == pytest.approx(gains.mean())
    assert one.p == pytest.approx(wilcoxon(gains).pvalue)
    assert one.d_z == pytest.approx(gains.mean() / gains.std(ddof=1))
    assert one.share_better == pytest.approx((gains > 0).mean())


def test_a_gain_is_a_gain_whichever_way_is_better():
    for better, word in (("higher", "better"), ("lower", "worse")):
        rows, _ = paired(2.0, better=better)
        (one,) = compare_with(results(rows), "base", margins={})
        assert one.verdict == word
        (other,) = compare_with(results(rows), "new", margins={})
        assert other.verdict == {"better": "worse", "worse": "better"}[word]
        assert other.difference.value == pytest.approx(-one.difference.value)


@pytest.mark.parametrize(("patients", "verdict"), [(6, "too few patients"), (7, "better")])
def test_where_no_difference_could_be_found_among_so_many_codecs_it_is_said(patients, verdict):
    rows, _ = paired(5.0, n=patients)
    for codec in ("second", "third"):
        rows += [(p, a, codec, x + 1, *more) for p, a, c, x, *more in rows if c == "new"]
    found = compare_with(results(rows), "base", margins={})
    assert [one.verdict for one in found] == 3 * [verdict]
    assert {one.tests for one in found} == {3}
    (said,) = [line for line in show_comparisons(found, "base").prose if "doubles" in line]
    assert "it needs 6 patients that differ, and one more each time" in said


def test_bias_is_compared_by_its_size():
    rows = [(f"p{k}", "a", "base", -5.0 - k / 10, "bias", "nearer zero") for k in range(12)]
    rows += [(f"p{k}", "a", "new", 1.0 + k / 10, "bias", "nearer zero") for k in range(12)]
    (one,) = compare_with(results(rows), "base", margins={})
    assert one.verdict == "better"
    assert one.share_better == 1.0


def test_holm_is_over_the_codecs_of_one_metric():
    rows, _ = paired(0.25, seed=3)
    for k, (patient, series, codec, number, metric, better) in enumerate(list(rows)):
        if codec == "new":
            rows.append((patient, series, "third", number - 0.2 + 0.1 * (k % 3), metric, better))
    found = compare_with(results(rows), "base", margins={})
    expected = multipletests([one.p for one in found], method="holm")[1]
    assert [one.adjusted for one in found] == pytest.approx(list(expected))


def test_slices_of_few_patients_prove_nothing():
    rng = np.random.default_rng(0)
    rows = []
    for k in range(60):
        rows.append((f"p{k % 3}", f"s{k}", "base", 30.0, "psnr", "higher"))
        rows.append((f"p{k % 3}", f"s{k}", "new", 31.0 + rng.normal(0, 0.1), "psnr", "higher"))
    (one,) = compare_with(results(rows), "base", margins={"psnr": 0.5})
    assert one.verdict == "too few patients"
    assert math.isnan(one.p)


@pytest.mark.parametrize(("shift", "no_worse"), [(0.0, True), (-3.0, False)])
def test_a_margin_is_kept_only_where_the_whole_interval_keeps_it(shift, no_worse):
    rows, _ = paired(shift)
    (one,) = compare_with(results(rows), "base", margins={"psnr": 1.0})
    assert one.margin.no_worse is no_worse
    said = " ".join(show_comparisons((one,), "base").prose)
    assert ("not shown" in said) is not no_worse
    assert "1.000 dB" in said
    assert "12 patients" in said


def test_equal_images_have_no_difference_of_infinities():
    rows, _ = paired(0.3)
    rows += [("q", "a", "base", math.inf, "psnr", "higher"),
             ("q", "a", "new", math.inf, "psnr", "higher")]  # fmt: skip
    (one,) = compare_with(results(rows), "base", margins={})
    assert one.left_out == 1
    assert math.isfinite(one.difference.value)


@pytest.mark.parametrize("known", [0, 12])
def test_equal_numbers_of_many_patients_are_the_same_and_not_of_too_few(known):
    rows = [
        (f"p{k}", "a", codec, 30.0 + k if k < known else math.inf, "psnr", "higher")
        for k in range(12)
        for codec in ("base", "new")
    ]
    (one,) = compare_with(results(rows), "base", margins={})
    assert (one.verdict, one.to_json()["verdict"], one.left_out) == ("the same",) * 2 + (
        12 - known,
    )
    said = show_comparisons((one,), "base")
    assert [row[said.tables[0].columns.index("verdict")] for row in said.tables[0].rows] == [
        "the same"
    ]
    for figure in said.figures:
        assert "too few" not in figure.caption + figure.alt


def test_three_of_twelve_patients_that_differ_are_too_few_to_tell():
    rows, _ = paired(0.3)
    rows = [(p, s, c, 30.0 if int(p[1:]) > 2 else v, m, b) for p, s, c, v, m, b in rows]
    (one,) = compare_with(results(rows), "base", margins={})
    said = show_comparisons((one,), "base")
    assert one.verdict == "too few patients"
    assert "needs 6 patients that differ" in said.prose[0]
    assert "Crossed: too few patients to tell." in said.figures[0].caption


def test_codecs_of_volumes_are_not_compared_on_pictures():
    rows, _ = paired(0.3)
    whole = Results((*results(rows).all, Result(("v", "", "x"), "volumes", "h")))
    assert {one.codec for one in compare_with(whole, "base", margins={})} == {"new"}


def test_a_case_that_is_missing_without_a_reason_stops_the_comparison():
    rows, _ = paired(0.3, n=8)
    lacking = [row for row in rows if not (row[0] == "p3" and row[2] == "new")]
    with pytest.raises(InputError, match=r"not judged on the same cases: 1 have only.*p3"):
        compare_with(results(lacking), "base", margins={})


def test_a_failure_is_left_out_on_both_sides_of_its_own_comparison_and_counted():
    rows, gains = paired(0.3, n=8)
    third = [(p, s, "third", v, m, b) for p, s, c, v, m, b in rows if c == "base"]
    whole = Results(
        tuple(
            Result(r.case, r.codec, r.group, error="too large")
            if (r.codec, r.patient) == ("new", "p3")
            else r
            for r in results([*rows, *third])
        )
    )
    new, other = compare_with(whole, "base", margins={})
    assert (new.codec, new.difference.n, new.left_out) == ("new", 7, 1)
    assert new.difference.value == pytest.approx(np.delete(gains, 3).mean())
    assert (other.codec, other.difference.n, other.left_out) == ("third", 8, 0)
    table = show_comparisons((new, other), "base").tables[0]
    assert [row[table.columns.index("left out")] for row in table.rows] == ["1", "0"]


def test_a_codec_that_failed_everywhere_is_still_named():
    rows, _ = paired(0.3, n=6)
    whole = Results(
        tuple(
            Result(r.case, r.codec, r.group, error="no") if r.codec == "new" else r
            for r in results(rows)
        )
    )
    (one,) = compare_with(whole, "base", margins={"psnr": 0.5})
    assert (one.verdict, one.left_out, one.difference.n) == ("too few patients", 6, 0)
    said = show_comparisons((one,), "base")
    assert "cannot be tested with 0 patients" in " ".join(said.prose)
    assert said.figures == ()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_margin_that_was_asked_for_is_answered_however_few_there_are(n):
    rows, _ = paired(0.3, n=n)
    (one,) = compare_with(results(rows), "base", margins={"psnr": 0.5})
    said = " ".join(show_comparisons((one,), "base").prose)
    people = "1 patient" if n == 1 else f"{n} patients"
    assert said.count("cannot be tested") == 1
    assert (
        f"new keep within 0.5000 dB of psnr of base on g cannot be tested with {people}: it" in said
    )
    assert "unknown" not in str(show_comparisons((one,), "base").tables)


def test_margins_of_several_codecs_are_corrected_together():
    rows, _ = paired(-0.15, seed=3)
    for k, (patient, series, codec, number, metric, better) in enumerate(list(rows)):
        if codec == "new":
            rows.append((patient, series, "third", number + 0.1 * (k % 3), metric, better))
    found = compare_with(results(rows), "base", margins={"psnr": 0.5})
    expected = multipletests([one.margin.p_no_worse for one in found], method="holm")[1]
    assert [one.margin.holm_no_worse for one in found] == pytest.approx(list(expected))
    assert "after Holm" in " ".join(show_comparisons(found, "base").prose)


def test_the_rank_biserial_correlation_is_the_difference_of_scipys_rank_sums():
    rows, gains = paired(0.2, seed=5)
    (one,) = compare_with(results(rows), "base", margins={})
    ranks = rankdata(np.abs(gains))
    up, down = ranks[gains > 0].sum(), ranks[gains < 0].sum()
    assert one.rank_biserial == pytest.approx((up - down) / ranks.sum())
    assert one.to_json()["rank_biserial"] == one.rank_biserial


def test_each_group_is_compared_by_the_metrics_it_has():
    chest, breast = (paired(0.4, metric=metric)[0] for metric in ("psnr", "lpips"))
    others = (
        replace(result, case=(*result.case[:2], "b"), group="h") for result in results(breast)
    )

    found = compare_with(Results((*results(chest), *others)), "base", margins={})

    assert [(one.group, one.like.metric) for one in found] == [("g", "psnr"), ("h", "lpips")]
