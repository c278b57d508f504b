"""The ROC curve's area agrees with other libraries, ties and weights included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.errors import InputError
from plica.evaluation.roc import auroc, count_beaten, count_pairs


def brute(positive, scores, weights=None):
    weights = np.ones(len(scores)) if weights is None else weights
    right = pairs = 0.0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive):
            w = weights[i] * weights[j]
            pairs += w
            right += w * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
    return right, pairs


cases = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda drawn: 0 < sum(positive for positive, _ in drawn) < len(drawn)
)


@settings(deadline=None, max_examples=60)
@given(cases)
def test_it_is_the_share_of_pairs_in_order_with_ties_for_half(drawn):
    positive = np.array([one for one, _ in drawn])
    scores = np.array([float(score) for _, score in drawn])

    right, pairs = brute(positive, scores)

    assert auroc(positive, scores) == pytest.approx(right / pairs)
    beaten = count_beaten(positive, scores)
    assert beaten[positive].sum() == pytest.approx(right)
    assert beaten[~positive].sum() == pytest.approx(right)


def test_it_agrees_with_scikit_learn_and_torchmetrics():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is a test package")
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(0)
    for _ in range(5):
        positive = rng.random(200) < 0.3
        scores = np.round(rng.normal(positive * 0.8), 1)

        ours = auroc(positive, scores)

        assert ours == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-12)
        ranked = torch.tensor(np.argsort(np.argsort(np.unique(scores)))[
            np.searchsorted(np.unique(scores), scores)] / 100.0)  # fmt: skip
        there = theirs.binary_auroc(ranked, torch.tensor(positive).long())
        assert ours == pytest.approx(float(there), abs=1e-5)


def test_a_weight_counts_as_so_many_cases():
    rng = np.random.default_rng(1)
    positive, scores = rng.random(30) < 0.5, rng.integers(0, 8, 30).astype(float)
    weights = rng.integers(0, 4, (3, 30)).astype(float)

    right, pairs = count_pairs(positive, scores, weights)

    for row in range(3):
        assert (right[row], pairs[row]) == pytest.approx(brute(positive, scores, weights[row]))


def test_order_alone_counts():
    positive = np.array([False, False, True, True])

    assert auroc(positive, np.array([1.0, 2, 3, 4])) == 1.0
    assert auroc(positive, np.array([4.0, 3, 2, 1])) == 0.0
    assert auroc(positive, np.array([0.0, 0, 0, 0])) == 0.5
    assert auroc(positive, np.exp(np.array([1.0, 3, 2, 4]))) == 0.75


@pytest.mark.parametrize(
    ("positive", "scores", "words"),
    [
        ([True, True], [0.1, 0.2], "all 2 cases are of the class"),
        ([False, False], [0.1, 0.2], "all 2 cases are without the class"),
        ([False, True], [0.1, np.nan], "not a number"),
    ],
)
def test_what_has_no_area_is_refused(positive, scores, words):
    with pytest.raises(InputError, match=words):
        auroc(np.array(positive), np.array(scores))
