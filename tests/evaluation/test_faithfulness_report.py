"""The report: patients are counted once, numbers carry their unit, refusals are said."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.evaluation.phantoms import body, make, mapped, smooth_noise

from plica.evaluation import estimates
from plica.evaluation.faithfulness import judge_faithfulness
from plica.evaluation.faithfulness_figures import draw_retention
from plica.evaluation.faithfulness_lesions import FACTS, say_lesions
from plica.evaluation.faithfulness_report import (
    Judged,
    report_faithfulness,
    spread_over_patients,
    try_results,
)
from plica.evaluation.faithfulness_values import (
    BLUR,
    DETAIL,
    ENERGY,
    LIMIT,
    PEAK,
    PLACES,
    PUT_BACK,
    RMS,
    SHIFT,
    list_values,
    name_contrast,
)
from plica.evaluation.results import Result, Results
from plica.image import Unit
from plica.metrics.metric import Value

GROUP = "slices in HU"


def value(metric, number):
    return Value(metric, number, "mm", "lower", None, "Made up.")


def result(patient, series, number, codec="a", metric=SHIFT):
    return Result((patient, "", series), codec, GROUP, (value(metric, number),))


@pytest.fixture(scope="module")
def judged():
    """Two patients under a codec that blurs and one that keeps."""
    results = []
    for codec, function in (("blur", mapped(lambda x: gaussian_filter(x, (1, 1, 0)))),
                            ("keep", lambda image: image)):  # fmt: skip
        for patient in ("ann", "bob"):
            image = body((112, 96, 1), seed=len(patient) + ord(patient[0]))
            found = judge_faithfulness(image, function, factor=(4, 4, 1))
            facts = {"name": patient, FACTS: found.to_json()}
            results.append(Result((patient, "", "s"), codec, GROUP, list_values(found), facts))
    return Judged(Results(tuple(results)), {"protocol": "test"}, {})


def test_a_patient_of_many_images_counts_once():
    results = Results((
        *(result("ann", str(n), 1.0) for n in range(9)), result("bob", "0", 3.0),
    ))  # fmt: skip

    spread = spread_over_patients(results, SHIFT)

    assert spread.mean == 2.0
    assert spread.deviation == pytest.approx(np.sqrt(2))
    assert (spread.patients, spread.cases) == (2, 10)


def test_one_patient_has_no_spread():
    spread = spread_over_patients(Results((result("ann", "0", 1.0),)), SHIFT)

    assert str(spread) == "1.00"
    assert spread.to_json()["deviation"] is None
    assert spread_over_patients(Results(()), SHIFT) is None


def test_a_mean_has_an_interval_over_patients_where_there_are_enough():
    """Each patient counts once: the interval is that of the patients' means."""
    numbers = {"ann": 0.2, "bob": 0.5, "cem": 0.3, "dee": 0.9, "eva": 0.4}
    many = Results((
        *(result(who, "0", number) for who, number in numbers.items()),
        *(result("ann", str(n), 0.2) for n in range(1, 9)),
    ))  # fmt: skip

    spread = spread_over_patients(many, SHIFT)
    alone = estimates.summarise(np.array(list(numbers.values())), tuple(numbers))

    assert (spread.patients, spread.cases) == (5, 13)
    assert (spread.low, spread.high) == pytest.approx((alone.low, alone.high))
    assert spread.mean == pytest.approx(alone.value)
    assert spread.low < spread.mean < spread.high
    assert str(spread) == f"0.460 ± 0.27 ({spread.low:.3f} to {spread.high:.3f})"
    assert spread.to_json()["low"] == spread.low


def test_fewer_than_five_patients_have_no_interval():
    four = Results(tuple(result(who, "0", n) for n, who in enumerate("abcd")))

    spread = spread_over_patients(four, SHIFT)

    assert str(spread) == "1.50 ± 1.3"
    assert spread.to_json()["low"] is spread.to_json()["high"] is None


def test_every_value_has_a_unit_a_direction_and_a_definition(judged):
    values = {v.metric: v for r in judged.results for v in r.values}

    assert values[SHIFT].unit == values[BLUR].unit == "mm"
    assert values["bias, soft tissue"].unit == "HU"
    assert values["bias, soft tissue"].better == "nearer zero"
    assert values["retention 6 mm 40 HU"].better == "higher"
    assert values[PLACES].better == "lower"
    assert all(v.definition.endswith(".") for v in values.values())
    assert "detectability index" in values["retention 6 mm 40 HU"].note


def test_patients_that_do_not_differ_have_no_interval():
    """None of six is no proof of none: (0 to 0) would claim it."""
    spread = spread_over_patients(Results(tuple(result(who, "0", 0.0) for who in "abcdef")), SHIFT)

    assert str(spread) == "0.000 ± 0.00"
    assert spread.to_json()["high"] is None


def test_how_faint_a_fake_would_have_been_found_heads_the_report(judged):
    keep = judged.results.of(codec="keep")
    limits = [r.facts[FACTS]["verdict"]["limit"] for r in keep]

    (glance,) = report_faithfulness(judged).sections[0].tables

    assert glance.columns[1] == "faintest fake found (HU) ↓"
    assert spread_over_patients(keep, LIMIT).mean == pytest.approx(np.mean(limits))


def test_a_codec_that_keeps_everything_is_told_from_one_that_blurs(judged):
    keep, blur = (judged.results.of(codec=codec) for codec in ("keep", "blur"))

    assert spread_over_patients(keep, DETAIL).mean == pytest.approx(1.0)
    assert spread_over_patients(blur, DETAIL).mean < 0.9
    assert spread_over_patients(keep, PUT_BACK).mean == pytest.approx(0.0, abs=1e-9)
    assert spread_over_patients(blur, BLUR).mean == pytest.approx(0.8, rel=0.3)


def test_the_report_says_it_all(judged):
    report = report_faithfulness(judged)
    titles = [section.title for section in report.sections]

    assert titles == [
        "At a glance", "Tissues", "Lesions planted", "How easily lesions are seen",
        "Structures removed", "Edges", "What is in the residual", "What was invented",
    ]  # fmt: skip
    assert report.summary[0].startswith("2 images of 2 patients under 2 codecs")
    assert "found in 4" in report.summary[1]
    assert report.record["self_test"]["passed"] is True
    for section in report.sections:
        for table in section.tables:
            assert all(len(row) == len(table.columns) for row in table.rows)


def test_lesions_head_the_report_by_size_and_it_says_where_they_stood(judged):
    report = report_faithfulness(judged)
    sections = {section.title: section for section in report.sections}
    (glance,) = sections["At a glance"].tables
    (planted,) = sections["Lesions planted"].tables
    note = next(iter(judged.results)).value("retention 6 mm 20 HU").note

    kept = [name for name in glance.columns if name.startswith("retention")]
    assert kept == [f"retention {size} mm 20 HU ↑" for size in (3, 6, 12)]
    assert "Lesions stood in soft tissue (means of " in planted.caption
    assert "None stood in lung" in planted.caption
    assert "stood in soft tissue (means of " in note


def test_where_none_was_planted_no_number_of_lesions_is_said():
    assert say_lesions(Results((result("ann", "s", 1.0),))) == "–"


def find_tables(judged, title):
    (tables,) = (s.tables for s in report_faithfulness(judged).sections if s.title == title)
    return tables


def test_how_easily_lesions_are_seen_is_said_beside_each_codecs_own_source(judged):
    (seen,) = find_tables(judged, "How easily lesions are seen")
    rows = {row[0]: row[1:] for row in seen.rows}
    blur, keep = (cell.split(" → ") for cell in rows["6 mm 20 HU ↑"])

    assert seen.columns == ("source → decoded", "blur", "keep")
    assert blur[0] == keep[0] == keep[1] != blur[1]  # one factor: the same places
    assert "other places" not in seen.caption


def test_codecs_of_other_factors_are_not_held_against_one_source():
    """Their lesions stand elsewhere, and in what they stand is said of each."""
    results = []
    for codec, factor in (("fine", (2, 2, 1)), ("coarse", (8, 8, 1))):
        found = judge_faithfulness(
            body((160, 144, 1)), lambda x: x, factor=factor, parts=["planted", "removed"]
        )
        facts = {FACTS: found.to_json()}
        results.append(Result(("ann", "", "s"), codec, GROUP, list_values(found), facts))
    judged = Judged(Results(tuple(results)), {}, {})

    (seen,) = find_tables(judged, "How easily lesions are seen")
    (planted,) = find_tables(judged, "Lesions planted")
    (removed,) = find_tables(judged, "Structures removed")
    sources = []
    for codec, result in zip(seen.columns[1:], results, strict=True):
        row = next(row for row in seen.rows if row[0] == "6 mm 20 HU ↑")
        own = result.value("detectability 6 mm 20 HU, source").value
        assert row[seen.columns.index(codec)] == f"{own:.3g} → {own:.3g}"  # both keep all
        sources.append(own)

    assert sources[0] != pytest.approx(sources[1], rel=1e-3)
    lesions = [next(x for x in r.facts[FACTS]["lesions"] if x["kind"] == "planted")
               for r in results]  # fmt: skip
    assert planted.rows[0][0] == "lesions of a kind in an image, and in what"
    for cell, lesion in zip(planted.rows[0][1:], lesions, strict=True):
        ends = f"{lesion['background_low']:.0f} … {lesion['background_high']:.0f} HU"
        assert cell.startswith(str(lesion["n"]))
        assert cell.endswith(f"(means of {ends.replace('-', '−')})")
    said = "of other factors (here 2 × 2 × 1 and 8 × 8 × 1 voxels a cell) stand at other places"
    (figure,) = draw_retention(judged.results)
    for caption in (seen.caption, planted.caption, figure.caption):
        assert f"Lesions of codecs {said}" in caption
    assert f"Structures of codecs {said}" in removed.caption


def test_an_index_that_only_the_source_has_is_in_no_mean():
    """What was decoded is told from the source over the same images."""
    seen = [("ann", 1.0, 2.0), ("bob", 9.0, None)]
    results = Results(tuple(
        Result((who, "", "s"), "a", GROUP, tuple(
            value(f"detectability 6 mm 20 HU, {where}", number)
            for where, number in (("source", before), ("decoded", after)) if number is not None
        ))
        for who, before, after in seen
    ))  # fmt: skip

    (table,) = find_tables(Judged(results, {}, {}), "How easily lesions are seen")

    assert table.rows == (("6 mm 20 HU ↑", "1.00 → 2.00"),)


def test_a_tissue_of_few_voxels_has_a_count_and_a_dash():
    values = 40 + 8 * np.random.default_rng(0).normal(size=(64, 64, 1))
    values[20:28, 20:28] = -1000.0  # air, of 36 voxels within its border
    parts = ["tissues", "residual"]
    found = judge_faithfulness(make(values), mapped(lambda x: x + 5), factor=(4, 4, 1), parts=parts)
    one = Result(("ann", "", ""), "a", GROUP, list_values(found), {FACTS: found.to_json()})

    (table,) = report_faithfulness(Judged(Results((one,)), {}, {})).sections[1].tables
    rows = {row[0]: row[1:] for row in table.rows}

    assert 0 < int(rows["bias, air (HU) →0"][0]) < 100
    assert rows["bias, air (HU) →0"][1] == "–"
    assert int(rows["bias, soft tissue (HU) →0"][0]) > 1000
    assert rows["bias, soft tissue (HU) →0"][1] == "5.00"
    assert table.caption.endswith("bone.")


def test_structures_of_the_images_own_stand_with_their_size_and_number(judged):
    (table,) = next(
        s for s in report_faithfulness(judged).sections if s.title == "Structures removed"
    ).tables

    assert table.columns[1] == "structures of an image"
    assert all(row[1].endswith(" of about 6 mm") for row in table.rows)


def test_what_was_cut_from_volumes_is_said_first(judged):
    cut = {"volumes": "the middle (96, 96, 40) voxels"}
    volumes = Results(tuple(replace(r, group="volumes in HU") for r in judged.results))

    said = report_faithfulness(Judged(volumes, cut, {})).summary[0]

    assert said.endswith("judged by itself; of volumes, the middle (96, 96, 40) voxels.")
    assert "middle" not in report_faithfulness(replace(judged, setting=cut)).summary[0]


def test_a_self_test_that_failed_is_said():
    verdict = {"found": False, "acquitted": True, "bicubic_peak": 0.2, "score": 0.1}
    failed = Result(("ann", "", ""), "a", GROUP, facts={FACTS: {"verdict": verdict}})

    tests = try_results([failed])

    assert not tests.passed
    assert "was found in 0" in tests.say()
    assert try_results([]).say().startswith("The hallucination score was not put")


def test_parts_that_were_refused_are_listed():
    lung = make(-800 + 30 * np.random.default_rng(0).normal(size=(96, 96, 1)))
    found = judge_faithfulness(lung, lambda image: image, factor=(4, 4, 1))
    one = Result(("ann", "", ""), "a", GROUP, list_values(found), {FACTS: found.to_json()})

    report = report_faithfulness(Judged(Results((one,)), {}, {}))

    assert report.sections[-1].title == "What could not be told"
    assert any("no homogeneous place" in row[-1] for row in report.sections[-1].tables[0].rows)


def test_contrasts_without_a_unit_are_shares_of_the_range():
    image = make(smooth_noise((64, 64, 1), 2), unit=Unit.RELATIVE)
    found = judge_faithfulness(image, lambda one: one, factor=(4, 4, 1), parts=["tissues"])

    assert name_contrast(found, 0.05 * found.span) == "5 %"


def test_errors_without_a_unit_are_shares_of_the_range_too():
    values = 5000 + 1000 * smooth_noise((96, 96, 1), 2)
    image = make(values, unit=Unit.RELATIVE)
    span = float(np.subtract(*np.quantile(values, [0.99, 0.01])))
    parts = ["tissues", "residual", "hallucination"]

    found = judge_faithfulness(image, mapped(lambda x: x + 100), factor=(4, 4, 1), parts=parts)
    numbers = {value.metric: value for value in list_values(found)}

    assert numbers["bias, middle fifth"].value == pytest.approx(100 * 100 / span, rel=1e-3)
    assert numbers["bias, middle fifth"].unit == numbers[RMS].unit == "% of range"
    assert numbers[RMS].value == pytest.approx(100 * 100 / span, rel=1e-3)
    assert numbers[ENERGY].unit == "(% of range)²"
    assert "100 relative" in numbers[RMS].note


def test_retention_is_drawn_by_contrast(judged):
    (figure,) = draw_retention(judged.results)

    assert figure.png.startswith(b"\x89PNG")
    assert figure.pdf.startswith(b"%PDF")
    assert "blur, 40 HU" in figure.alt
    assert draw_retention(Results((result("ann", "0", 1.0, metric=PEAK),))) == ()


def test_a_codec_without_a_number_has_no_curve():
    name = "retention 6 mm 40 HU"
    results = Results((
        result("ann", "0", 0.8, metric=name),
        result("ann", "0", math.nan, codec="b", metric=name),
        Result(("ann", "", "0"), "c", GROUP, error="the codec takes volumes"),
    ))  # fmt: skip

    (figure,) = draw_retention(results)

    assert figure.alt == f"Retention in {GROUP}. a, 40 HU: 0.80 at 6."


def test_a_group_without_tissues_has_no_table_of_them():
    parts = ["tissues"]
    found = judge_faithfulness(body((64, 64, 1)), lambda x: x, factor=(4, 4, 1), parts=parts)
    one = Result(("ann", "", "0"), "a", GROUP, list_values(found), {FACTS: found.to_json()})
    other = replace(result("bob", "0", 1.0), group="slices without a unit", facts=one.facts)

    (table,) = report_faithfulness(Judged(Results((one, other)), {}, {})).sections[1].tables

    assert table.title == GROUP


def test_parts_that_were_not_asked_for_have_no_values():
    found = judge_faithfulness(body((64, 64, 1)), lambda x: x, factor=(4, 4, 1), parts=["tissues"])

    assert {v.metric.partition(",")[0] for v in list_values(found)} == {"bias", "MAE"}


def test_where_no_fake_could_be_found_there_is_no_faintest_one():
    parts = ["hallucination"]
    found = judge_faithfulness(body((64, 64, 1)), lambda x: x, factor=(4, 4, 1), parts=parts)
    blind = replace(found, verdict=replace(found.verdict, limit=math.inf))

    assert [v.metric for v in list_values(found)] == [v.metric for v in list_values(blind)] + [
        LIMIT
    ]
