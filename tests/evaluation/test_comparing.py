"""Two reports: what changed is found, what is noise is not, and what differs in kind is refused."""

import json
import math
from dataclasses import replace

import pytest
from tests.evaluation.reports import CODECS, make_results

from plica.errors import InputError
from plica.evaluation.comparing import compare
from plica.evaluation.comparison_report import report_comparison, summarise_comparison
from plica.evaluation.publish import compose
from plica.evaluation.record import Recorded
from plica.evaluation.results import Result, Results
from plica.metrics.metric import Value

pytest.importorskip("scipy")
WHOLE = make_results(hostile=False)
PROTOCOL = {"kind": "reconstruction", "protocol": {"name": "recon", "version": 2}}


def record(name="before", results=None, **changed):
    whole = {"title": "t", "setting": {"Machine": "2 cores"}, "record": PROTOCOL}
    results = make_results(hostile=False) if results is None else results
    return Recorded(name=name, results=results, **{**whole, **changed})


def reworded(results, codec=None, **changes):
    """Results whose values are changed by functions of a value."""
    return Results(
        tuple(
            replace(
                result,
                values=tuple(
                    replace(v, **{name: change(v) for name, change in changes.items()})
                    for v in result.values
                ),
            )
            if codec in (None, result.codec)
            else result
            for result in results
        )
    )


def test_numbers_over_fewer_scales_are_left_out_of_a_change_and_counted():
    def judge(worst):
        rows = [(f"p{n}", 0.9, 5) for n in range(6)] + [("q", worst, 2)]
        return Results(tuple(
            Result((who, "", ""), "c", "g", (
                Value("ms-ssim", number, "1", "higher", 1.0, "d", detail={"scales": scales}),
            ))
            for who, number, scales in rows
        ))  # fmt: skip

    found = compare(record(results=judge(0.9)), record("after", judge(0.1)))

    (change,) = found.changes
    assert (change.difference.value, change.difference.n, change.left_out) == (0.0, 6, 1)
    assert found.notes == (
        "ms-ssim of c on g: 1 image of another number of scales than 5 was left out.",
    )


@pytest.fixture(scope="module")
def changed():
    after = make_results(shift=0.6, hostile=False)
    return compare(record(), record("after", after, setting={"Machine": "1 H200"}))


def find(comparison, codec, metric, group="chest radiograph"):
    (found,) = [
        change
        for change in comparison.changes
        if (change.codec, change.like.metric, change.group) == (codec, metric, group)
    ]
    return found


def test_a_change_is_found_and_said_in_a_sentence(changed):
    found = find(changed, CODECS[2], "psnr")

    assert found.verdict == "better"
    assert found.difference.low < 0.6 < found.difference.high
    assert (found.rank_biserial, found.to_json()["rank_biserial"]) == (1.0, 1.0)  # all rose
    assert found.d_z > 1
    assert str(found).startswith(f"psnr of {CODECS[2]} on chest radiograph: +0.")
    assert str(found).endswith("after Holm): better beyond noise")
    assert find(changed, CODECS[2], "mae").verdict == "better"  # lower is better, and it fell
    assert find(changed, CODECS[2], "mae").difference.value < 0


def test_noise_is_called_noise(changed):
    calm = [c for c in changed.changes if c.codec != CODECS[2]]

    assert len(calm) == 3 * 2 * 4
    assert {change.verdict for change in calm} == {"no change", "too few"}
    assert {c.verdict for c in calm if c.group == "chest radiograph"} == {"no change"}


def test_a_change_for_the_worse_is_called_so():
    worse = reworded(WHOLE, CODECS[0], value=lambda v: v.value - 0.1)
    comparison = compare(record(), record("after", worse))

    assert find(comparison, CODECS[0], "psnr").verdict == "worse"
    assert find(comparison, CODECS[0], "mae").verdict == "better"
    assert find(comparison, CODECS[1], "psnr").verdict == "the same"
    assert summarise_comparison(comparison).startswith("Of 32 means, ")


def test_magnitudes_count_where_nearer_zero_is_better():
    turned = reworded(WHOLE, value=lambda v: -v.value)
    comparison = compare(record(), record("after", turned))

    assert find(comparison, CODECS[0], "bias").verdict == "the same"
    assert str(find(comparison, CODECS[0], "bias")).startswith("|bias| of")


def test_one_report_twice_is_the_same():
    comparison = compare(record(), record())

    assert {change.verdict for change in comparison.changes} == {"the same"}
    assert summarise_comparison(comparison) == "All 32 means are the same to six digits."
    assert (comparison.first, comparison.second) == ("before (first)", "before (second)")


def test_rounding_of_another_processor_is_no_change():
    other = reworded(WHOLE, value=lambda v: v.value * (1 + 1e-8))

    assert {c.verdict for c in compare(record(), record("b", other)).changes} == {"the same"}


def test_two_codecs_are_compared_by_name():
    comparison = compare(record(), record("after"), codecs=(CODECS[0], CODECS[1]))
    found = find(comparison, f"{CODECS[0]} → {CODECS[1]}", "psnr")

    assert found.verdict == "better"
    assert found.difference.value == pytest.approx(2.1, abs=0.3)


def test_what_else_differs_is_said(changed):
    assert changed.surroundings == (("Machine", "2 cores", "1 H200"),)
    spread = compare(
        record(record={**PROTOCOL, "environment": {"packages": {"torch": "2.6"}}}),
        record("b", record={**PROTOCOL, "environment": {"packages": {"torch": "2.7"}}}),
    )
    assert spread.surroundings == (("environment.packages.torch", "2.6", "2.7"),)


def test_few_patients_are_too_few():
    some = Results(
        tuple(r for r in make_results(hostile=False) if r.patient in {"CHE-001", "CHE-003"})
    )
    moved = reworded(some, value=lambda v: v.value + 1)

    assert {c.verdict for c in compare(record(results=some), record("b", moved)).changes} == {
        "too few"
    }


def test_what_no_test_could_find_after_correction_is_not_called_noise():
    patients = {f"CHE-{n:03d}" for n in range(1, 9)}
    some = Results(tuple(r for r in WHOLE if r.patient in patients and r.codec == CODECS[0]))
    moved = reworded(some, value=lambda v: v.value + 1 + v.value / 100)
    every = compare(record(results=some), record("b", moved))
    one = compare(record(results=some), record("b", moved), metrics=["psnr"])

    assert [change.p for change in every.changes] == [2 / 2**8] * 4
    assert {change.verdict for change in every.changes} == {"better", "worse"}  # 4 · 0.8 % < 5 %
    assert [change.verdict for change in one.changes] == ["better"]
    few = Results(tuple(r for r in some if r.patient < "CHE-007"))
    found = compare(record(results=few), record("b", reworded(few, value=lambda v: v.value + 1)))
    assert {change.verdict for change in found.changes} == {"too few"}  # 4 · 3 % > 5 %
    assert "too few patients" in summarise_comparison(found)


def test_metrics_nobody_measured_are_said():
    with pytest.raises(InputError, match="no metric in common among lpips"):
        compare(record(), record("b"), metrics=["lpips"])


def test_infinite_values_are_left_out_and_counted():
    first = make_results(hostile=False)
    case = first.all[0].case
    odd = Results(
        tuple(
            replace(r, values=(replace(r.values[0], value=math.inf), *r.values[1:]))
            if r.case == case
            else r
            for r in first
        )
    )

    assert find(compare(record(results=odd), record("b")), CODECS[0], "psnr").left_out == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"record": {**PROTOCOL, "protocol": {"name": "recon", "version": 3}}}, "protocol"),
        ({"record": {**PROTOCOL, "kind": "probe"}}, "kind"),
        ({"record": {**PROTOCOL, "crop": [160, 160, 160]}}, "crop"),
        ({"results": reworded(WHOLE, unit=lambda v: "HU")}, "another unit"),
        ({"results": reworded(WHOLE, definition=lambda v: "new")}, "definition"),
        ({"results": reworded(WHOLE, better=lambda v: "lower")}, "better"),
        ({"results": make_results(hostile=False, protocol_range=1023.0)}, "data range"),
        ({"results": Results(WHOLE.all[:80])}, "in one report only"),
        ({"results": Results(())}, "nothing to compare"),
        ({"results": Results((Result(("p", "", ""), "another", ""),))}, "no codec in common"),
    ],
)  # fmt: skip
def test_other_questions_are_not_compared(changed, said):
    with pytest.raises(InputError, match=said):
        compare(record(), record("after", **changed))


def test_another_group_is_another_question():
    moved = Results(tuple(replace(r, group="x") for r in make_results(hostile=False)))

    with pytest.raises(InputError, match="of the group"):
        compare(record(), record("after", moved))


def test_a_codec_that_is_not_there_is_named():
    with pytest.raises(InputError, match="after has no codec 'jpeg'"):
        compare(record(), record("after"), codecs=(CODECS[0], "jpeg"))


def test_shared_cases_are_compared_where_that_is_asked_for():
    some = Results(WHOLE.all[:80])
    comparison = compare(record(), record("after", some), shared_only=True)

    assert f"{CODECS[0]}: 20 cases are in one report only, left out." in comparison.notes
    assert {change.group for change in comparison.changes} == {"chest radiograph"}


def test_what_is_in_one_report_alone_is_said():
    whole = make_results(hostile=False)
    fewer = Results(
        tuple(replace(r, values=r.values[:2]) for r in whole if r.codec in {CODECS[0], CODECS[3]})
    )
    notes = compare(record(), record("after", fewer)).notes

    assert f"{CODECS[1]} is in before alone." in notes
    assert f"{CODECS[0]}: mae was asked for in one report only." in notes
    assert f"{CODECS[3]}: 2 cases failed in one of the reports, left out." in notes


def test_a_comparison_becomes_a_report(changed):
    pytest.importorskip("matplotlib")
    report = report_comparison(changed)
    files = compose(report)
    said = json.loads(files["report.json"])["record"]["changes"]

    assert f"psnr of {CODECS[2]} on chest radiograph" in files["index.html"].decode()
    assert {"figures/difference-psnr.png", "figures/difference-psnr.pdf"} <= files.keys()
    assert len(said) == 32
    assert said[0]["sentence"] == str(changed.changes[0])
    assert report.sections[2].tables[0].rows == (("Machine", "2 cores", "1 H200"),)


def test_a_metric_that_is_finite_nowhere_is_noted_and_one_that_is_the_same_not_drawn():
    before = reworded(WHOLE, value=lambda v: math.nan if v.metric == "mae" else v.value)
    after = reworded(before, value=lambda v: v.value + 0.5 * (v.metric == "psnr"))
    found = compare(record(results=before), record("b", after))
    assert f"{CODECS[0]}: no case has a finite mae in both reports." in found.notes
    assert "mae" not in {change.like.metric for change in found.changes}
    pytest.importorskip("matplotlib")
    report = report_comparison(found)
    figures = [figure.name for section in report.sections for figure in section.figures]
    assert figures == ["difference-psnr"]


def test_where_nothing_was_left_out_no_section_says_so():
    pytest.importorskip("matplotlib")
    whole = make_results(hostile=False, failures=False)
    found = compare(record(results=whole), record("b", whole))

    titles = [section.title for section in report_comparison(found).sections]

    assert found.notes == ()
    assert titles == ["Beyond noise", "Every change", "What else differs"]
