"""A path becomes a cohort by what it is; patients keep apart, series too."""

from dataclasses import replace

import numpy as np
import pytest
from tests.formats.dicom_scenes import make_slice, save
from tests.training.pictures_made import prepare, write_picture, write_volume

from plica.cohort import Case, Cohort
from plica.errors import InputError
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image, Unit
from plica.training.cohorts import read_case, read_cohort, read_folder
from plica.training.data import name_of


def pictures(root, *names):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(root / name, seed=number)
    return root


# -- folders -------------------------------------------------------------------------------------


def test_the_first_folders_are_patients_and_those_between_the_study(tmp_path):
    pictures(tmp_path, "p1/a.png", "p1/late/scans/b.png", "p2/a.png", "alone.png")
    (tmp_path / "notes.txt").write_text("no image")

    cohort = read_cohort(tmp_path)

    assert {case.key for case in cohort} == {
        ("p1", "", "p1/a.png"),
        ("p1", "late/scans", "p1/late/scans/b.png"),
        ("p2", "", "p2/a.png"),
        ("alone", "", "alone.png"),
    }
    assert cohort.splits == ("",)
    assert all(case.path.is_file() for case in cohort)


def test_folders_called_like_splits_are_splits(tmp_path):
    pictures(tmp_path, "train/p1/a.png", "train/p2.png", "dev-test/p3/a.png")
    assert {(case.split, case.patient) for case in read_folder(tmp_path)} == {
        ("train", "p1"),
        ("train", "p2"),
        ("dev-test", "p3"),
    }


def test_a_patient_in_the_folders_of_two_splits_is_refused(tmp_path):
    pictures(tmp_path, "train/p1/a.png", "test/p1/b.png")
    with pytest.raises(InputError, match="patient p1 stands in split"):
        read_folder(tmp_path)


def test_a_patient_may_be_called_test_beside_others(tmp_path):
    pictures(tmp_path, "test/a.png", "p1/a.png")
    assert set(read_folder(tmp_path).patients) == {"test", "p1"}


def test_files_of_one_stem_are_two_images(tmp_path):
    pictures(tmp_path, "p/a.png")
    write_volume(tmp_path / "p" / "a.nii")
    assert len(read_folder(tmp_path)) == 2


def test_each_dicom_series_of_a_folder_is_a_case_of_its_own_and_is_read(tmp_path):
    for patient in ("p1", "p2"):
        for number in (1, 2):
            uid = f"1.2.3.{number}"
            for z in range(6):
                name = f"{number}-{z}.dcm"
                (tmp_path / patient).mkdir(exist_ok=True)
                save(make_slice(z, SeriesInstanceUID=uid), tmp_path / patient / name)
    cohort = read_folder(tmp_path)
    assert len(cohort) == 4
    assert cohort.patients == ("p1", "p2")
    assert len({case.labels["dicom_series"] for case in cohort}) == 2
    assert {name_of(case) for case in cohort} == {
        f"{patient}/series-{number}" for patient in ("p1", "p2") for number in (1, 2)
    }

    prepared = prepare(tmp_path, cohort, crop=4, factor=1)
    assert len(prepared.pools[0].images) == 2
    assert prepared.unreadable == ()


def test_a_folder_without_images_and_no_path_at_all_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="holds no images"):
        read_cohort(tmp_path)
    with pytest.raises(InputError, match="there is no folder or table at"):
        read_cohort(tmp_path / "none")
    with pytest.raises(InputError, match=r"a\.txt is no cohort"):
        read_cohort(tmp_path / "a.txt")
    export = tmp_path / "an export.zip"
    export.write_bytes(b"PK")
    with pytest.raises(InputError, match="no cohort") as refused:
        read_cohort(export)
    assert f"`plica reconstruct '{export}' -c identity -o 'images/*.nii.gz'`" in str(refused.value)
    assert "all of them count as one patient" in str(refused.value)


# -- tables and trees ----------------------------------------------------------------------------


def test_a_manifest_is_read_as_one_by_itself_or_by_its_folder(tmp_path):
    manifest = tmp_path / "MANIFEST.csv"
    manifest.write_text("path,group_id,split,source\na.png,g,train,s\nLICENCE,,,\n")
    assert read_cohort(tmp_path) == read_cohort(manifest) == Cohort.from_manifest(manifest)


def test_a_table_is_read_by_the_columns_it_has(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("path,patient,study,series\na.png,p,v1,s1\nb.png,p,v1,s2\n")
    assert [case.key for case in read_cohort(table)] == [("p", "v1", "s1"), ("p", "v1", "s2")]
    table.write_text("path,group_id\na.png,g\n")
    assert read_cohort(table).patients == ("g",)
    table.write_text("path,age\na.png,50\n")
    with pytest.raises(InputError, match="lacks the column patient"):
        read_cohort(table)
    table.write_text("path,patient\n")
    with pytest.raises(InputError, match="has no rows"):
        read_cohort(table)


def test_a_bids_tree_is_known_by_its_description(tmp_path):
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    write_volume(folder / "sub-01_T1w.nii")
    assert read_cohort(tmp_path).cases[0].labels.keys() == {"name", "folder"}
    (tmp_path / "dataset_description.json").write_text("{}")
    assert read_cohort(tmp_path).cases[0].labels == {
        "datatype": "anat",
        "suffix": "T1w",
        "sub": "01",
    }


def test_the_real_manifest_is_found_in_its_folder(shared):
    cohort = read_cohort(shared / "data")
    assert {"train", "dev-test"} == set(cohort.splits)
    assert np.all([case.patient for case in cohort])


def test_an_array_is_as_large_as_its_label_says_and_a_file_that_knows_better_is_believed(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6), np.float32))
    write(made_volume(), tmp_path / "b.nii.gz")
    array = Case("a", "", "a", tmp_path / "a.npy", labels={"spacing_mm": "1 2 3"})
    nifti = Case("b", "", "b", tmp_path / "b.nii.gz", labels={"spacing_mm": "1 2 3"})

    assert read_case(array).grid.spacing_mm == (1.0, 2.0, 3.0)
    assert read_case(nifti).grid == made_volume().grid
    with pytest.raises(InputError, match="three numbers"):
        read_case(replace(array, labels={"spacing_mm": "1 mm"}))
    with pytest.raises(InputError, match="does not say how large"):
        read_case(replace(array, labels={}))


def made_volume():
    return Image(np.zeros((1, 4, 4, 4), np.int16), Grid.from_spacing((4, 4, 4), (2, 2, 2)), Unit.HU)
