"""The data set: labels untouched, patients whole, finished after any death."""

import json
import shutil

import nibabel
import numpy as np
import pytest
from tests.augmentation.made import (
    AFFINE,
    draw,
    list_bytes,
    read_array,
    save,
    soften,
    write_nnunet,
)

from plica.augmentation.dataset import Making, make_dataset
from plica.augmentation.labelled import find_labelled
from plica.augmentation.surveying import survey
from plica.augmentation.views import parse_views
from plica.errors import InputError, OutputError
from plica.formats.doors import read
from plica.image import Unit

VIEWS = parse_views(["mixed", "residual"], [0.5])


def make(source, folder, *, making=None, pattern=r"(\w+)_.", **options):
    data = find_labelled(source).with_patients(pattern)
    making = making or Making(VIEWS, {"codec": "half"}, folds=3, unit=Unit.HU)
    found = survey(data, unit=Unit.HU)
    options.setdefault("reconstruct", soften)
    return make_dataset(data, folder, found=found, making=making, **options)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_nnunet(tmp_path_factory.mktemp("raw") / "Dataset009_Organs")


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    return make(source, tmp_path_factory.mktemp("out") / "Dataset501_Views")


def test_labels_are_the_same_voxel_by_voxel_on_the_images_own_grid(source, made):
    for case in made.cases:
        before = nibabel.load(source / "labelsTr" / f"{case['source']}.nii.gz")
        after = nibabel.load(made.folder / "labelsTr" / f"{case['case']}.nii.gz")
        image = nibabel.load(made.folder / "imagesTr" / f"{case['case']}_0000.nii.gz")
        np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj))
        np.testing.assert_array_equal(after.affine, image.affine)
        np.testing.assert_allclose(after.affine, before.affine, atol=1e-6)
    assert len(made.cases) == 12


def test_each_view_is_what_its_formula_says(source, made):
    x = read_array(source / "imagesTr" / "p2_a_0000.nii.gz").astype(float)
    shown = {
        case["view"]: read_array(made.folder / "imagesTr" / f"{case['case']}_0000.nii.gz")
        for case in made.cases
        if case["source"] == "p2_a"
    }
    np.testing.assert_array_equal(shown["raw"], x)
    np.testing.assert_array_equal(shown["reconstructed"], np.rint(x / 2))
    np.testing.assert_array_equal(shown["residual-0.5"], np.rint(x - 0.25 * x))
    assert {array.dtype for array in shown.values()} == {np.dtype(np.int16)}


def test_no_patient_stands_on_both_sides_of_a_fold_and_only_images_judge(made):
    patient = {case["case"]: case["patient"] for case in made.cases}
    view = {case["case"]: case["view"] for case in made.cases}
    splits = json.loads((made.folder / "splits_final.json").read_text())
    for fold in splits:
        assert {patient[c] for c in fold["train"]} & {patient[c] for c in fold["val"]} == set()
        assert {view[case] for case in fold["val"]} == {"raw"}
        assert {view[case] for case in fold["train"]} == {"raw", "residual-0.5", "reconstructed"}
    judged = [case for fold in splits for case in fold["val"]]
    assert sorted(judged) == ["p1_a", "p1_b", "p2_a", "p3_a"]


def test_images_that_only_judge_are_written_and_not_trained_on(source, tmp_path):
    making = Making(parse_views(["reconstructed"]), folds=2, unit=Unit.HU)
    made = make(source, tmp_path / "Dataset502_Only", making=making)

    splits = json.loads((made.folder / "splits_final.json").read_text())
    trained = {case for fold in splits for case in fold["train"]}
    assert trained == {f"{p}-reconstructed" for p in ("p1_a", "p1_b", "p2_a", "p3_a")}
    assert {case for fold in splits for case in fold["val"]} == {"p1_a", "p1_b", "p2_a", "p3_a"}
    record = json.loads((made.folder / "dataset.json").read_text())
    assert record["numTraining"] == 8
    assert record["channel_names"] == {"0": "CT"}
    assert record["labels"] == {"background": 0, "organ1": 1, "organ2": 2}


def test_a_data_set_made_twice_is_one(source, made, tmp_path):
    again = make(source, tmp_path / made.folder.name)
    assert list_bytes(again.folder) == list_bytes(made.folder)


class Killed(BaseException):
    """As if the machine had stopped."""


def test_a_data_set_finished_after_a_death_is_the_same(source, made, tmp_path):
    folder, calls = tmp_path / made.folder.name, []

    def die(image):
        calls.append(image)
        if len(calls) == 3:
            raise Killed
        return soften(image)

    with pytest.raises(Killed):
        make(source, folder, reconstruct=die)
    assert not (folder / "dataset.json").exists()
    # A file cut off halfway, and one under its hidden name, as a death leaves them.
    written = sorted((folder / "imagesTr").glob("*.nii.gz"))[0]
    written.write_bytes(written.read_bytes()[:50])
    (folder / "imagesTr" / ".x.nii.gz.abcd.part").write_bytes(b"half")

    finished = make(source, folder, existing="resume")
    assert finished.left == 5
    assert list_bytes(folder) == list_bytes(made.folder)


def test_what_is_whole_is_left_and_what_changed_is_made_anew(source, made, tmp_path):
    folder = tmp_path / made.folder.name
    shutil.copytree(made.folder, folder)
    (folder / "labelsTr" / "p3_a.nii.gz").unlink()

    again = make(source, folder, existing="resume")
    assert again.left == 11
    assert list_bytes(folder) == list_bytes(made.folder)


@pytest.mark.parametrize("change", [{"files": 3}, {"source_label": "sha256:0"}])
def test_a_case_whose_record_says_otherwise_is_made_anew(source, made, tmp_path, change):
    folder = tmp_path / made.folder.name
    shutil.copytree(made.folder, folder)
    path = folder / "plica-augmentation.json"
    record = json.loads(path.read_text())
    record["cases"][0] |= change
    path.write_text(json.dumps(record))

    assert make(source, folder, existing="resume").left == len(made.cases) - 1
    assert list_bytes(folder) == list_bytes(made.folder)


def test_a_case_and_a_view_of_another_are_not_called_alike(tmp_path):
    source = write_nnunet(tmp_path / "Dataset009_Alike", names=("p1_a", "p1_A-reconstructed"))
    with pytest.raises(InputError, match="would both be called p1_a-reconstructed: rename"):
        make(source, tmp_path / "Dataset501_Views", pattern=r"(p1)_.*")
    assert not (tmp_path / "Dataset501_Views").exists()


def test_nnunet_is_told_to_read_a_tilted_grid_by_nibabel(tmp_path):
    image, labels = draw()
    sheared = AFFINE + np.eye(4)[[1]].T @ np.eye(4)[[2]]
    for number in range(3):
        save(tmp_path / "images" / f"p{number}_a_0000.nii.gz", image, sheared)
        save(tmp_path / "labels" / f"p{number}_a.nii.gz", labels, sheared)
    data = find_labelled(tmp_path / "images", tmp_path / "labels")
    made = make_dataset(data, tmp_path / "Dataset501_Tilted", found=survey(data, unit=Unit.HU),
                        reconstruct=soften,
                        making=Making(parse_views(["raw"]), folds=0))  # fmt: skip

    written = json.loads((made.folder / "dataset.json").read_text())
    assert written["overwrite_image_reader_writer"] == "NibabelIO"


def test_a_folder_that_is_there_is_refused_and_one_of_others_never_replaced(source, made, tmp_path):
    with pytest.raises(OutputError, match="exists"):
        make(source, made.folder)
    foreign = tmp_path / "Dataset503_Theirs"
    foreign.mkdir()
    (foreign / "dataset.json").write_text("{}")
    for existing in ("resume", "overwrite"):
        with pytest.raises(OutputError, match="was not made by plica augment"):
            make(source, foreign, existing=existing)
    with pytest.raises(OutputError, match=r"begun with maker .*half.* now it would be .*third"):
        make(source, made.folder, existing="resume",
             making=Making(VIEWS, {"codec": "third"}, folds=3, unit=Unit.HU))  # fmt: skip
    with pytest.raises(OutputError, match="Dataset501_Liver"):
        make(source, tmp_path / "views")


def test_a_stranger_among_the_images_is_named(source, made, tmp_path):
    folder = tmp_path / made.folder.name
    shutil.copytree(made.folder, folder)
    shutil.copy(folder / "imagesTr" / "p1_a_0000.nii.gz", folder / "imagesTr" / "q_0000.nii.gz")
    with pytest.raises(OutputError, match="is no case of this data set"):
        make(source, folder, existing="resume")
    assert make(source, folder, existing="overwrite").left == 0
    assert list_bytes(folder) == list_bytes(made.folder)


def test_a_manifest_cannot_point_out_of_the_folder(source, made, tmp_path):
    folder = tmp_path / made.folder.name
    shutil.copytree(made.folder, folder)
    record = json.loads((folder / "plica-augmentation.json").read_text())
    for case in record["cases"]:
        case["files"] = {"../../outside": "sha256:0"}
    (folder / "plica-augmentation.json").write_text(json.dumps(record))

    assert make(source, folder, existing="resume").left == 0
    assert list_bytes(folder) == list_bytes(made.folder)


def test_the_manifest_says_what_each_file_was_made_of_and_names_no_place(source, made):
    text = (made.folder / "plica-augmentation.json").read_text()
    record = json.loads(text)
    assert record["asked"]["maker"] == {"codec": "half"}
    assert record["environment"]["packages"]["numpy"]
    assert str(source.parent) not in text
    for case in record["cases"]:
        assert all(summed.startswith("sha256:") for summed in case["files"].values())
        assert len(case["source_images"]) == 1


def test_folds_need_as_many_patients(source, tmp_path):
    with pytest.raises(InputError, match="3 patients cannot be held out in 5 folds"):
        make(source, tmp_path / "Dataset504_Folds", making=Making(VIEWS, folds=5))
    assert not (tmp_path / "Dataset504_Folds").exists()


def test_a_reconstruction_on_another_grid_is_refused(source, tmp_path):
    def cut(image):
        return type(image)(
            image.pixels[:, 1:], image.grid.window((1, 0, 0), (11, 10, 6)), image.unit
        )

    with pytest.raises(InputError, match="not on one grid"):
        make(source, tmp_path / "Dataset505_Cut", reconstruct=cut)


def test_labels_with_gaps_are_refused_or_numbered_anew(tmp_path):
    source = write_nnunet(tmp_path / "Dataset010_Gaps", values=(0, 1, 7))
    data = find_labelled(source)
    with pytest.raises(InputError, match="2 is missing among 0, 1, 7"):
        survey(data)

    found = survey(data, relabel=True)
    made = make_dataset(data, tmp_path / "Dataset506_Gaps", found=found, reconstruct=soften,
                        making=Making(parse_views(["raw"]), folds=0))  # fmt: skip
    before = read_array(source / "labelsTr" / "p1_a.nii.gz")
    after = read_array(made.folder / "labelsTr" / "p1_a.nii.gz")
    np.testing.assert_array_equal(after, np.where(before == 7, 2, before))
    assert made.labels == {"background": 0, "organ1": 1, "organ7": 2}
    assert not (made.folder / "splits_final.json").exists()


def test_regions_go_on_into_the_data_set_that_is_made(tmp_path):
    folder = write_nnunet(tmp_path / "Dataset009_Regions")
    record = json.loads((folder / "dataset.json").read_text())
    record |= {"labels": {"background": 0, "whole": [1, 2], "inner": 2},
               "regions_class_order": [1, 2]}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(record))
    found = make(folder, tmp_path / "Dataset501_Views").folder
    written = json.loads((found / "dataset.json").read_text())
    assert written["regions_class_order"] == [1, 2]
    assert written["labels"]["whole"] == [1, 2]


def test_a_file_in_the_folders_place_is_refused_and_an_empty_folder_filled(source, tmp_path):
    (tmp_path / "Dataset501_File").write_text("")
    with pytest.raises(OutputError, match="is a file, but a data set is a folder"):
        make(source, tmp_path / "Dataset501_File", existing="overwrite")
    (tmp_path / "Dataset502_Empty").mkdir()
    assert make(source, tmp_path / "Dataset502_Empty", existing="overwrite").left == 0


@pytest.mark.parametrize("cases", [3, [4], [{"files": {}}]])
def test_a_manifest_of_another_form_is_refused(source, made, tmp_path, cases):
    folder = tmp_path / made.folder.name
    shutil.copytree(made.folder, folder)
    path = folder / "plica-augmentation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cases": cases}))
    with pytest.raises(InputError, match="is damaged: begin anew"):
        make(source, folder, existing="resume")


def test_labels_that_read_back_otherwise_are_not_kept(source, tmp_path, monkeypatch):
    def garble(path):
        image = read(path)
        return image.with_pixels(image.pixels * 0)

    monkeypatch.setattr("plica.augmentation.dataset.read", garble)
    with pytest.raises(OutputError, match="reads back otherwise than it was written"):
        make(source, tmp_path / "Dataset501_Views")
