"""Posing: who learns and who is asked, without a patient in both; published tasks as published."""

from dataclasses import replace
from pathlib import Path

import pytest

from plica.cli.posing import Asked, follow, pose, select
from plica.cohort import Case, Cohort
from plica.errors import InputError, SettingsError
from plica.evaluation.tasks import TASKS


def cohort(splits=("train", "dev-test"), patients=20, each=2):
    return Cohort(
        tuple(
            Case(
                f"p{n}", "", f"{n}-{k}", Path(f"{n}-{k}.png"),
                splits[n % 10 < 3 and len(splits) > 1] if splits else "",
                {"grade": "abc"[n % 3], "site": "x"},
            )
            for n in range(patients)
            for k in range(each)
        )
    )  # fmt: skip


def asked(**changes):
    return replace(Asked(label="grade", classes=("a", "b"), probe="pooled-2d"), **changes)


def owners(task, numbers):
    return {task.subjects[number].case.patient for number in numbers}


def test_splits_are_taken_as_they_are_and_the_rest_is_counted():
    task = pose(cohort(), asked())
    (part,) = task.parts

    assert not owners(task, part.train) & owners(task, part.test)
    assert len(part.train) + len(part.test) == len(task.subjects) == 28
    assert task.notes == ("Left out, being of no class: 12 of 'c'.",)
    assert task.counts()["training"]["a"] == (10, 5)


def test_a_cohort_without_splits_is_divided_and_the_report_says_so():
    task = pose(cohort(splits=()), asked())
    (part,) = task.parts

    assert not owners(task, part.train) & owners(task, part.test)
    assert "eight patients of ten" in task.notes[0]
    assert task.images == pose(cohort(splits=()), asked()).images


@pytest.mark.parametrize("splits", [(), ("train", "dev-test")])
def test_folds_test_each_patient_of_the_split_once(splits):
    task = pose(cohort(splits=splits), asked(folds=3, test_split=""))

    tested = [number for part in task.parts for number in part.test]
    assert sorted(tested) == list(range(len(task.subjects)))
    for part in task.parts:
        assert not owners(task, part.train) & owners(task, part.test)
        assert set(part.train) | set(part.test) == set(tested)
    if splits:
        assert {one.case.split for one in task.subjects} == {"train"}


def test_slices_of_a_patient_stay_together():
    task = pose(cohort(each=1), asked(slices=4))

    assert len(task.subjects) == 4 * 14
    assert len({one.key for one in task.subjects}) == len(task.subjects)
    assert not owners(task, task.parts[0].train) & owners(task, task.parts[0].test)


def test_other_classes_are_another_task():
    assert pose(cohort(), asked()).images != pose(cohort(), asked(classes=("a", "c"))).images


@pytest.mark.parametrize(
    ("name", "size", "weighted"),
    [
        ("cmmd-malignancy", (1024, 512), False),
        ("rsna-bone-age", (1024, 1024), False),
        ("cq500-fracture", (224, 224, 44), True),
    ],
)
def test_a_published_task_brings_its_classes_size_and_sampling(name, size, weighted):
    task = TASKS.get_thing(name)

    found = follow(Asked(label=""), task)

    assert (found.size, found.balanced) == (size, weighted)
    assert found.classes == task.classes
    assert (found.label, found.train_split, found.test_split) == ("class", "train", "test")
    assert follow(Asked(label="", size=(64, 64)), task).size == (64, 64)


def test_what_cannot_be_posed_is_refused():
    with pytest.raises(SettingsError, match="classifies nothing"):
        follow(Asked(label=""), TASKS.get_thing("grazpedwri-boxes"))
    with pytest.raises(SettingsError, match="LABEL=VALUE"):
        select(cohort(), ["site"])
    with pytest.raises(InputError, match="no case has site=y"):
        select(cohort(), ["site=y"])
    with pytest.raises(SettingsError, match="--channels is mean or all"):
        asked(channels="some")
    with pytest.raises(SettingsError, match="--folds takes 2 or more"):
        asked(folds=1)
    with pytest.raises(SettingsError, match="take fewer folds"):
        pose(cohort(), asked(folds=9, test_split=""))
