"""Rates are counted by hand, and as far apart as statsmodels says."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_effectsize

from plica.evaluation.predictions import Predictions
from plica.evaluation.rates import list_rates, tabulate_rates


def made(codec, wrong, seed=0, n=40):
    """Predictions of n cases, one of a patient; those numbers in `wrong` are wrong."""
    labels = (np.arange(n) % 2).astype(np.int64)
    scores = np.full((n, 2), 0.2)
    taken = np.where(np.isin(np.arange(n), wrong), 1 - labels, labels)
    scores[np.arange(n), taken] = 0.8
    cases = tuple((f"p{i}", "", str(i)) for i in range(n))
    return Predictions(codec, seed, ("healthy", "ill"), cases, labels, scores)


def test_sensitivity_and_specificity_are_counted_and_held_against_the_baseline():
    whole, less = made("whole", [0]), made("less", [0, 1, 3, 5, 7])
    rates = list_rates([less, whole], baseline="whole")
    assert [(r.codec, r.name, r.value) for r in rates] == [
        ("whole", "healthy", 0.95), ("whole", "ill", 1.0),
        ("less", "healthy", 0.95), ("less", "ill", 0.8),
    ]  # fmt: skip
    assert rates[2].h == 0
    assert not rates[2].difference.known
    assert rates[3].h == pytest.approx(proportion_effectsize(0.8, 1.0))
    assert rates[3].difference.value == pytest.approx(-0.2)
    assert rates[3].difference.low < -0.2 < rates[3].difference.high
    assert math.isnan(rates[0].h)


def test_seeds_are_averaged_image_by_image():
    pair = [made("b", [1, 3], seed=0), made("b", [1], seed=1)]
    rates = list_rates([made("whole", []), *pair], baseline="whole")
    assert rates[-1].value == pytest.approx(1 - 1.5 / 20)


def test_few_patients_have_rates_without_intervals():
    rates = list_rates([made("whole", [], n=6), made("b", [1], n=6)], baseline="whole")
    assert not rates[-1].difference.known
    table = tabulate_rates(rates, ("healthy", "ill"))
    assert table.rows[-1][:4] == ("b", "ill (sensitivity)", "0.667", "−0.333")
    assert rates[0].to_json()["h"] is None
