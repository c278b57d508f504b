"""A cohort keeps its keys apart, its patients in one split, and joins nothing in silence."""

from pathlib import Path

import pytest

from plica.cohort import Case, Cohort
from plica.errors import InputError


def case(patient="a", series="1", split="train", **labels):
    return Case(patient, "s", series, Path(f"{patient}{series}.png"), split, labels)


def test_a_key_twice_is_refused_and_both_files_are_named():
    with pytest.raises(InputError, match=r"two cases have the key.*a1\.png and a1\.png"):
        Cohort((case(), case()))


def test_a_patient_in_two_splits_is_refused():
    with pytest.raises(InputError, match=r"patient a stands in split 'train'.*'test'"):
        Cohort((case(series="1"), case(series="2", split="test")))


def test_a_case_without_a_patient_is_refused():
    with pytest.raises(InputError, match="names no patient"):
        Cohort((case(patient=""),))


def test_splits_labels_and_keys_select_cases_in_their_order():
    cohort = Cohort((case("b", kind="x"), case("a", kind="y"), case("c", split="test", kind="x")))
    assert cohort.splits == ("train", "test")
    assert cohort.patients == ("b", "a", "c")
    assert [c.patient for c in cohort.of_split("train")] == ["b", "a"]
    assert [c.patient for c in cohort.where(kind="x")] == ["b", "c"]
    assert [c.patient for c in cohort.where(kind=["x", "y"])] == ["b", "a", "c"]
    assert cohort["a", "s", "1"].labels == {"kind": "y"}


def test_what_is_not_there_is_an_error_and_not_an_empty_cohort():
    cohort = Cohort((case(kind="x"),))
    with pytest.raises(InputError, match="no split 'tain'; there are: 'train'"):
        cohort.of_split("tain")
    with pytest.raises(InputError, match="no case has the label kin; there are: kind"):
        cohort.where(kin="x")
    with pytest.raises(InputError, match="no case has the key"):
        cohort["z", "s", "1"]


def test_a_join_must_fit_on_both_sides():
    cohort = Cohort((case("a", kind="x"), case("b", kind="x")))
    rows = {("a", "s", "1"): {"age": "50"}, ("b", "s", "1"): {"age": "60"}}
    assert [c.labels["age"] for c in cohort.joined(rows)] == ["50", "60"]
    with pytest.raises(InputError, match="1 cases have no row and 0 rows"):
        cohort.joined({("a", "s", "1"): {}})
    with pytest.raises(InputError, match="0 cases have no row and 1 rows"):
        cohort.joined({**rows, ("c", "s", "1"): {}})
    with pytest.raises(InputError, match="already has the label kind"):
        cohort.joined({key: {"kind": "z"} for key in rows})


def test_a_manifest_becomes_a_cohort(tmp_path):
    table = tmp_path / "MANIFEST.csv"
    table.write_text("path,source,split,group_id\nx/a.png,here,train,p1\nx/LICENCE,here,,\n")
    (only,) = Cohort.from_manifest(table)
    assert only.path == tmp_path / "x" / "a.png"
    assert only.key == ("p1", "here", "x/a.png")
    assert only.labels["source"] == "here"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,split\na,train\n", "lacks the column group_id"),
        ("path,split,group_id\na,train\n", "line 2: the row has another number"),
        ("path,split,group_id\na,train,p,q\n", "line 2: the row has another number"),
        ("path,split,group_id\na,train,\n", "names no patient"),
        ("", "lacks the column"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, text, message):
    table = tmp_path / "m.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        Cohort.from_manifest(table)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(InputError, match=r"m\.csv cannot be read"):
        Cohort.from_manifest(tmp_path / "m.csv")


def test_the_real_manifest_keeps_its_people_apart(shared):
    cohort = Cohort.from_manifest(shared / "data" / "MANIFEST.csv")
    assert set(cohort.splits) == {"train", "dev-test"}
    train, test = cohort.of_split("train"), cohort.of_split("dev-test")
    assert not set(train.patients) & set(test.patients)
    assert all(case.path.exists() for case in cohort)
