"""Labels: classes are values of a column, and nobody is left out in silence."""

from pathlib import Path

import pytest

from plica.cohort import Case, Cohort
from plica.errors import InputError, SettingsError
from plica.evaluation.labels import label_cases, parse_classes


def cohort(*values):
    return Cohort(
        tuple(
            Case(f"p{n}", "", "", Path(f"{n}.png"), "train", {"grade": value})
            for n, value in enumerate(values)
        )
    )


def test_every_value_is_a_class_and_numbers_stand_in_their_order():
    found = label_cases(cohort("10", "9", "10", "2"), "grade")

    assert found.classes == ("2", "9", "10")
    assert found.targets.tolist() == [2, 1, 2, 0]
    assert label_cases(cohort("b", "a"), "grade").classes == ("a", "b")


def test_values_can_share_a_class_and_others_are_counted():
    found = label_cases(cohort("1", "5", "4", "3", ""), "grade", ["low=1|2", "high=4|5"])

    assert found.classes == ("low", "high")
    assert found.targets.tolist() == [0, 1, 1]
    assert [case.path.name for case in found.cases] == ["0.png", "1.png", "2.png"]
    assert found.left_out == {"": 1, "3": 1}


def test_what_cannot_be_classes_is_refused():
    with pytest.raises(InputError, match="no case has the label grad"):
        label_cases(cohort("a", "b"), "grad")
    with pytest.raises(InputError, match=r"1 of 3 cases have no grade, such as 2\.png"):
        label_cases(cohort("a", "b", ""), "grade")
    with pytest.raises(SettingsError, match="2 to 100 classes apart, but grade gives 1"):
        label_cases(cohort("a", "a"), "grade")
    with pytest.raises(InputError, match="no case is of the class 'c'"):
        label_cases(cohort("a", "b"), "grade", ["a", "c"])
    with pytest.raises(SettingsError, match="NAME=value"):
        parse_classes(["=x"])
    with pytest.raises(SettingsError, match="each once"):
        parse_classes(["a", "a=b"])
    with pytest.raises(SettingsError, match="'x' is in two classes"):
        parse_classes(["a=x", "b=y|x"])
