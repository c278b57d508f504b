"""The report of a probing says what its patients allow, and nothing beyond."""

import numpy as np
import pytest

from plica.evaluation.predictions import Predictions
from plica.evaluation.probe_report import Probed, build_report, say_margins
from plica.evaluation.probing import judge

pytest.importorskip("matplotlib", reason="charts need matplotlib")
WHOLE = "full-resolution"


def made(codec=WHOLE, *, patients=40, classes=2, signal=1.0, noise=0.0):
    """One image of each patient; scores are better the more signal there is."""
    labels = (np.arange(patients) % classes).astype(np.int64)
    scores = np.random.default_rng(0).normal(size=(patients, classes))
    scores += noise * np.random.default_rng(1).normal(size=scores.shape)
    scores[np.arange(patients), labels] += signal
    cases = tuple((f"p{n}", "", "0") for n in range(patients))
    return Predictions(codec, 0, tuple("abc"[:classes]), cases, labels, scores)


def probed(*predictions, margin=None):
    shown = {each.codec: (1, 8, 8) for each in predictions}
    return Probed("t", predictions, WHOLE, shown, {}, {}, {}, margin=margin)


def report(one):
    return build_report(probed(one))


def claim(*predictions):
    found = judge(predictions, baseline=WHOLE, margin=0.1, draws=300)
    return list(say_margins(found, probed(*predictions, margin=0.1)))


def titles(made_report):
    return [section.title for section in made_report.sections]


def test_full_resolution_alone_is_compared_with_nothing():
    alone = report(made())

    assert len(alone.summary) == 1
    assert alone.summary[0].endswith(" (40 test images of 40 patients).")
    assert alone.sections[0].figures == ()


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        (
            (made(patients=6), made("x", patients=6, noise=0.5)),
            "x against full-resolution: the margin of 0.1 of AUROC cannot be tested with 3 "
            "patients of the rarest class: it needs 5 at the least.",
        ),
        (
            (made(signal=50.0), made("x", signal=60.0)),
            "x against full-resolution: the margin of 0.1 of AUROC cannot be tested, since no "
            "draw of the patients differs.",
        ),
    ],
    ids=["few patients", "no difference"],
)
def test_a_margin_that_cannot_be_tested_is_answered_with_why(predictions, said):
    assert claim(*predictions) == [said]


@pytest.mark.parametrize(
    ("noise", "signal", "said"),
    [
        (0.05, 1.0, "non-inferior at margin 0.1 of AUROC, and equivalent within it, that is, "),
        (0.05, 3.0, "non-inferior at margin 0.1 of AUROC, that is, diagnostically lossless at "),
        (0.05, 0.1, "not shown to be non-inferior at margin 0.1 of AUROC: "),
    ],
)
def test_a_margin_that_is_tested_says_what_may_be_claimed(noise, signal, said):
    (told,) = claim(made(), made("x", noise=noise, signal=signal))

    assert told.startswith(f"x against full-resolution: {said}")


def test_of_several_margins_it_is_said_that_they_are_corrected():
    *_, last = claim(made(), *(made(name, noise=0.05) for name in "xy"))

    assert last.startswith("The p of these 2 statements are corrected by Holm")


def test_more_than_two_classes_are_told_one_by_one():
    three = report(made(classes=3, patients=60))
    (table,) = three.sections[titles(three).index("Class by class")].tables

    assert table.columns == ("shown", "a", "b", "c")
    assert [cell[:2] for cell in table.rows[0][1:]] == ["0."] * 3
    assert "Class by class" not in titles(report(made()))


@pytest.mark.parametrize(
    ("patients", "warned"),
    [(6, "A class has 3 test patients: below 5"), (20, "20 test patients are few"), (30, "")],
)
def test_few_patients_are_warned_of(patients, warned):
    *_, last = report(made(patients=patients, signal=0.0)).summary

    assert last.startswith(warned or "A probe that sees full-resolution")


def test_an_auroc_of_one_is_said_to_have_no_interval():
    assert "An AUROC of 1 has no interval" in report(made(signal=50.0)).summary[-1]
