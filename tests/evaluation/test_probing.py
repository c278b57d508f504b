"""Judging probes: intervals over patients, differences on the same ones, and honest refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest

from plica.errors import InputError
from plica.evaluation.predictions import Predictions, score, score_classes
from plica.evaluation.probing import influence, judge, leave_out, resample


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


def trial(patients, each, seed, codecs=("full-resolution",), loss=0.0):
    """Scores of two normals 1.3 apart; more codecs see noise of their own, the others less."""
    rng = np.random.default_rng([seed, patients])
    labels = np.repeat(np.arange(patients) % 2, each).astype(np.int64)
    seen = np.repeat(rng.normal(size=patients), each)
    cases = tuple((f"p{i // each}", "", str(i)) for i in range(patients * each))
    found = []
    for n, codec in enumerate(codecs):
        own = 0.7 * np.repeat(rng.normal(size=patients), each)
        values = seen + own + 0.5 * rng.normal(size=labels.size) + (1.3 - n * loss) * labels
        scores = np.stack([-values, values], 1)
        found.append(Predictions(codec, 0, ("a", "b"), cases, labels, scores))
    return found


def truth(apart):
    return 0.5 * (1 + math.erf(apart / math.sqrt(1 + 0.49 + 0.25) / 2))


@pytest.mark.parametrize(("patients", "trials"), [(10, 150), (20, 120), (50, 60)])
def test_intervals_hold_the_truth_as_often_as_they_say_however_few_there_are(patients, trials):
    """Percentiles of the draws held it in 88 of 100 with ten patients."""
    held = apart = known = 0
    for n in range(trials):
        one, other = judge(
            trial(patients, 2, n, ("full-resolution", "b")), baseline="full-resolution", draws=300
        )
        known += not math.isnan(one.auroc.low)
        held += one.auroc.low <= truth(1.3) <= one.auroc.high
        apart += other.difference.low <= 0 <= other.difference.high

    assert held / known > 0.91
    assert apart / trials > 0.91


def test_a_loss_of_the_margin_is_called_none_no_oftener_than_the_level_says():
    loss, called = 0.6, 0
    margin = truth(1.3) - truth(1.3 - loss)
    for n in range(150):
        pair = trial(24, 2, n, ("full-resolution", "b"), loss)
        called += judge(pair, baseline="full-resolution", draws=300, margin=margin)[
            1
        ].margin.no_worse
    assert called / 150 < 0.1


def test_what_leaves_a_patient_out_is_the_auroc_without_them():
    given = made(n=12, each=2)
    kept = np.array([case[0] != "p2" for case in given.cases])
    less = replace(
        given, cases=tuple(c for c in given.cases if c[0] != "p2"), labels=given.labels[kept],
        scores=given.scores[kept],
    )  # fmt: skip

    assert leave_out([given])[0][2] == pytest.approx(score(less))


@pytest.mark.parametrize("patients", [4, 8])
def test_below_five_patients_of_a_class_there_is_neither_interval_nor_p(patients):
    pair = trial(patients, 3, 0, ("full-resolution", "b"))
    whole, other = judge(pair, baseline="full-resolution", margin=0.1)

    assert math.isnan(whole.auroc.low)
    assert math.isnan(other.difference.low)
    assert math.isnan(other.p)
    assert other.margin is None


def test_perfect_probes_are_not_said_to_differ_by_exactly_nothing():
    whole, other = made(signal=50.0), made("other", signal=60.0)
    _, found = judge([whole, other], baseline="full-resolution", margin=0.01)

    assert (found.difference.value, found.margin) == (0.0, None)
    assert math.isnan(found.difference.low)


def test_no_difference_is_found_where_there_is_none_as_often_as_it_should():
    small = 0
    for trial in range(150):
        a = made(n=60, each=2, draw=trial)
        noise = np.random.default_rng([9, trial])
        pair = [
            replace(a, codec=name, scores=a.scores + np.repeat(noise.normal(size=(30, 2)), 2, 0))
            for name in ("full-resolution", "other")
        ]
        small += judge(pair, baseline="full-resolution", draws=100)[1].p < 0.05

    assert small / 150 < 0.12


def test_draws_are_those_of_the_seed():
    given = made()

    assert np.array_equal(resample([given], draws=100), resample([given], draws=100))
    assert not np.array_equal(resample([given], draws=100, seed=1), resample([given], draws=100))


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
