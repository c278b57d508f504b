"""Judging probes: intervals over patients, differences on the same ones, and honest refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest

from plica.errors import InputError
from plica.evaluation.probing import (
    Predictions,
    influence,
    judge,
    resample,
    score,
    score_classes,
)


def made(codec="full-resolution", seed=0, *, n=60, each=1, classes=2, signal=1.0, draw=0):
    """n cases, `each` of one patient, whose scores are better the more signal there is."""
    rng = np.random.default_rng([draw, seed])
    owner = np.arange(n) // each
    labels = (owner % classes).astype(np.int64)
    common = np.random.default_rng(draw).normal(size=(owner.max() + 1, classes))[owner]
    scores = common + 0.1 * rng.normal(size=(n, classes))
    scores[np.arange(n), labels] += signal
    return Predictions(
        codec=codec, seed=seed, classes=tuple("abcdef"[:classes]),
        cases=tuple((f"p{owner[i]}", "", f"{i}") for i in range(n)), labels=labels, scores=scores,
    )  # fmt: skip


# -- one number --------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_macro_auroc_agrees_with_scikit_learn_and_torchmetrics(classes):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is a test package")
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchmetrics.functional.classification")
    given = made(classes=classes, n=90)
    p = np.exp(given.scores) / np.exp(given.scores).sum(1, keepdims=True)
    given = replace(given, scores=p)

    expected = (
        metrics.roc_auc_score(given.labels, p[:, 1])
        if classes == 2
        else metrics.roc_auc_score(given.labels, p, multi_class="ovr", average="macro")
    )
    there = theirs.multiclass_auroc(torch.tensor(p), torch.tensor(given.labels), classes)

    assert score(given) == pytest.approx(expected, abs=1e-12)
    assert score(given) == pytest.approx(float(there), abs=1e-4)
    assert len(score_classes(given)) == (1 if classes == 2 else classes)


def test_pairs_of_two_folds_are_never_compared():
    """Each probe orders its own fold perfectly; their scales have nothing to do with each other."""
    scores = np.array([[0, 0.1], [0, 0.2], [0, 10.0], [0, 11.0]])
    cases = tuple((f"p{n}", "", "") for n in range(4))
    labels = np.array([0, 1, 0, 1], dtype=np.int64)
    apart = Predictions("x", 0, ("a", "b"), cases, labels, scores, folds=(0, 0, 1, 1))
    mixed = Predictions("x", 0, ("a", "b"), cases, labels, scores)

    assert score(apart) == 1.0
    assert score(mixed) == 0.75


# -- chance ------------------------------------------------------------------------------------


def test_the_influence_of_single_images_gives_delongs_variance():
    given = made(n=40)
    positive, s = given.labels == 1, given.scores[:, 1]
    order = (s[positive][:, None] > s[~positive][None]) + 0.5 * (
        s[positive][:, None] == s[~positive][None]
    )
    m, n = order.shape
    area = order.mean()
    between = ((order.mean(1) - area) ** 2).sum() / m**2 + (
        (order.mean(0) - area) ** 2
    ).sum() / n**2

    pulls = np.array(list(influence(given).values()))

    assert (pulls**2).sum() == pytest.approx(between)
    assert pulls.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("classes", "folds"), [(2, 1), (3, 1), (2, 3)])
def test_influence_and_bootstrap_agree_on_the_spread(classes, folds):
    given = made(n=240, each=2, classes=classes, signal=0.7)
    given = replace(given, folds=tuple((i // 12) % folds for i in range(240)))
    pulls = np.array(list(influence(given).values()))

    drawn = resample([given], draws=1500)[0]

    assert np.sqrt((pulls**2).sum()) == pytest.approx(drawn.std(), rel=0.12)


def test_copies_of_an_image_make_no_interval_narrower():
    alone, copies = made(n=50), made(n=200, each=4)
    scores = np.repeat(alone.scores, 4, axis=0)
    copies = replace(copies, scores=scores, labels=np.repeat(alone.labels, 4))

    (one,) = judge([alone], baseline="full-resolution")
    (four,) = judge([copies], baseline="full-resolution")

    assert one.auroc.value == pytest.approx(four.auroc.value)
    assert one.auroc.low == pytest.approx(four.auroc.low)
    assert one.auroc.high == pytest.approx(four.auroc.high)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Two normals one apart have an AUROC of Φ(1/√2); patients have three images each."""
    truth = 0.5 * (1 + math.erf(1 / math.sqrt(2) / math.sqrt(2)))
    held = 0
    for trial in range(120):
        rng = np.random.default_rng(trial)
        labels = np.repeat(np.arange(50) % 2, 3).astype(np.int64)
        values = np.repeat(rng.normal(size=50), 3) + labels
        given = Predictions(
            "full-resolution", 0, ("a", "b"),
            tuple((f"p{i // 3}", "", str(i)) for i in range(150)), labels,
            np.stack([-values, values], 1),
        )  # fmt: skip
        (found,) = judge([given], baseline="full-resolution", draws=200)
        held += found.auroc.low <= truth <= found.auroc.high

    assert 0.87 <= held / 120 <= 1.0


def test_no_difference_is_found_where_there_is_none_as_often_as_it_should():
    small = 0
    for trial in range(150):
        a = made(n=60, each=2, draw=trial)
        noise = np.random.default_rng([9, trial])
        pair = [
            replace(a, codec=name, scores=a.scores + np.repeat(noise.normal(size=(30, 2)), 2, 0))
            for name in ("full-resolution", "other")
        ]
        small += judge(pair, baseline="full-resolution", draws=2)[1].p < 0.05

    assert small / 150 < 0.12


def test_draws_are_those_of_the_seed():
    given = made()

    assert np.array_equal(resample([given], draws=50), resample([given], draws=50))
    assert not np.array_equal(resample([given], draws=50, seed=1), resample([given], draws=50))


# -- codecs against the baseline -----------------------------------------------------------------


def test_a_worse_codec_is_told_from_the_baseline_and_the_same_one_is_not():
    whole = [made(seed=seed, n=200) for seed in range(3)]
    worse = [made("worse", seed, n=200, signal=0.1) for seed in range(3)]
    same = [replace(one, codec="same") for one in whole]

    first, second, third = judge([*worse, *whole, *same], baseline="full-resolution")

    assert (first.codec, first.difference, first.retained) == ("full-resolution", None, 1.0)
    assert len(first.seeds) == 3
    assert first.deviation == pytest.approx(np.std(first.seeds, ddof=1))
    assert second.codec == "worse"
    assert second.difference.high < 0
    assert second.p < 0.001
    assert second.retained == pytest.approx(second.auroc.value / first.auroc.value)
    skill = (second.auroc.value - 0.5) / (first.auroc.value - 0.5)
    assert second.retained_skill == pytest.approx(skill)
    assert (third.p, third.retained) == (1.0, 1.0)
    assert (third.difference.low, third.difference.high) == (0, 0)


def test_one_patient_of_a_class_leaves_no_interval():
    given = made(n=6, each=3)

    (found,) = judge([given], baseline="full-resolution")

    assert math.isnan(found.auroc.low)
    assert math.isnan(found.deviation)
    assert found.to_json()["auroc"]["low"] is None


# -- refusing ----------------------------------------------------------------------------------


def spoil(**changes):
    return lambda: replace(made(n=6), **changes)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (spoil(labels=np.zeros(6, np.int64)), "no case of the class 'b' among the 6"),
        (spoil(labels=np.array([0, 1, 0, 1, 0, -1])), "a label is missing"),
        (spoil(labels=np.array([0, 1])), "need as many labels"),
        (spoil(scores=np.full((6, 2), np.nan)), "the score of p0/0 under full-resolution"),
        (spoil(classes=("a",)), "two classes at least"),
        (spoil(cases=(("p0", "", "0"),) * 6), "scored twice"),
        (spoil(folds=(0, 1)), "as many folds"),
        (spoil(folds=(0, 1, 0, 1, 0, 1)), "each fold holds one class"),
    ],
)
def test_predictions_that_say_nothing_are_refused(spoilt, words):
    with pytest.raises(InputError, match=words):
        spoilt()


def test_a_patient_in_two_folds_is_refused():
    with pytest.raises(InputError, match="patient p0 stands in folds 0 and 1"):
        replace(made(n=6, each=2), folds=(0, 1, 1, 1, 0, 0))


def test_only_the_same_cases_are_compared():
    whole, less = made(), made("other", n=40)
    with pytest.raises(InputError, match="not judged on the same cases"):
        judge([whole, less], baseline="full-resolution")
    with pytest.raises(InputError, match="the baseline bicubic was not judged"):
        judge([whole], baseline="bicubic")
    with pytest.raises(InputError, match="judged twice"):
        judge([whole, whole], baseline="full-resolution")
    with pytest.raises(InputError, match="no predictions"):
        judge([], baseline="full-resolution")
