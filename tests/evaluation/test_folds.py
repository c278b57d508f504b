"""Folds: whole patients, classes spread evenly, the same ones every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plica.errors import SettingsError
from plica.evaluation.folds import divide


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=20, max_size=80))
def test_no_patient_stands_in_two_folds_and_every_class_in_all(drawn):
    label_of = {}
    patients = [str(patient) for patient, _ in drawn]
    labels = [label_of.setdefault(patient, label) for patient, label in drawn]
    counts = [len({p for p, one in label_of.items() if one == label}) for label in set(labels)]
    if len(counts) < 2 or min(counts) < 3:
        return

    folds = divide(patients, labels, 3)

    assert len({(p, f) for p, f in zip(patients, folds, strict=True)}) == len(set(patients))
    for label in set(labels):
        assert {f for f, one in zip(folds, labels, strict=True) if one == label} == {0, 1, 2}


def test_classes_are_spread_evenly():
    patients = [f"p{n}" for n in range(60)]
    labels = [0] * 48 + [1] * 12

    folds = np.array(divide(patients, labels, 4))

    assert np.bincount(folds[:48]).tolist() == [12, 12, 12, 12]
    assert np.bincount(folds[48:]).tolist() == [3, 3, 3, 3]


def test_the_order_of_the_cases_does_not_matter():
    patients, labels = [f"p{n}" for n in range(20)], [n % 2 for n in range(20)]

    folds = divide(patients, labels, 5)
    back = divide(patients[::-1], labels[::-1], 5)

    assert folds == back[::-1]


def test_more_folds_than_patients_of_a_class_are_refused():
    with pytest.raises(SettingsError, match="one has 2: take fewer"):
        divide(["a", "b", "c", "d", "e"], [0, 0, 1, 1, 1], 3)
    with pytest.raises(SettingsError, match="two folds at least"):
        divide(["a", "b"], [0, 1], 1)
