"""Finding pairs, and refusing what is none."""

import json

import numpy as np
import pytest
from tests.augmentation.made import AFFINE, SHAPE, draw, save, write_nnunet

from plica.augmentation.labelled import find_labelled
from plica.augmentation.opening import open_pair
from plica.augmentation.surveying import survey
from plica.errors import InputError, SettingsError, UnreadableFile, UnusablePixels
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image, Unit


def test_a_folder_of_nnunet_keeps_its_names_channels_and_labels(tmp_path):
    data = find_labelled(write_nnunet(tmp_path / "Dataset009_Two", channels=2))
    assert [pair.case for pair in data.pairs] == ["p1_a", "p1_b", "p2_a", "p3_a"]
    assert [path.name[-11:] for path in data.pairs[0].images] == ["0000.nii.gz", "0001.nii.gz"]
    assert data.channels == ("CT", "CT")
    assert data.labels == {"background": 0, "organ1": 1, "organ2": 2}


def test_regions_are_carried_over(tmp_path):
    folder = write_nnunet(tmp_path / "Dataset009_Regions")
    record = json.loads((folder / "dataset.json").read_text())
    record["labels"] = {"background": 0, "whole": [1, 2], "inner": 2}
    record["regions_class_order"] = [1, 2]
    (folder / "dataset.json").write_text(json.dumps(record))

    found = survey(find_labelled(folder))
    assert found.labels == {"background": 0, "whole": (1, 2), "inner": 2}
    assert found.regions == (1, 2)


def test_two_folders_are_joined_by_name_and_both_must_be_whole(tmp_path):
    image, labels = draw()
    for name in ("a", "b"):
        save(tmp_path / "images" / f"{name}_0000.nii.gz", image)
        save(tmp_path / "labels" / f"{name}.nii.gz", labels)
    data = find_labelled(tmp_path / "images", tmp_path / "labels")
    assert [(pair.case, pair.patient) for pair in data.pairs] == [("a", "a"), ("b", "b")]

    (tmp_path / "labels" / "b.nii.gz").unlink()
    with pytest.raises(InputError, match="b is in one of images and labels only"):
        find_labelled(tmp_path / "images", tmp_path / "labels")


def write_table(folder, rows):
    (folder / "pairs.csv").write_text("\n".join(["patient,image,label,case", *rows]) + "\n")
    return folder / "pairs.csv"


def test_a_tables_patients_and_cases_become_hashes(tmp_path):
    image, labels = draw()
    save(tmp_path / "ct.nii.gz", image)
    save(tmp_path / "seg.nii.gz", labels)
    pair = find_labelled(write_table(tmp_path, ["Jane Doe 1970,ct.nii.gz,seg.nii.gz,"])).pairs[0]
    assert pair.case.startswith("case-")
    assert "Doe" not in f"{pair.case} {pair.patient}"
    assert pair.patient == find_labelled(tmp_path / "pairs.csv").pairs[0].patient


@pytest.mark.parametrize("case", ["../../evil", "a/b", "..", ".hidden", "a\\b", "a..b"])
def test_a_tables_case_cannot_lead_out_of_the_folder(tmp_path, case):
    image, labels = draw()
    save(tmp_path / "ct.nii.gz", image)
    save(tmp_path / "seg.nii.gz", labels)
    with pytest.raises(InputError, match="cannot be the name of a file"):
        find_labelled(write_table(tmp_path, [f"p,ct.nii.gz,seg.nii.gz,{case}"]))


def test_two_cases_of_one_name_are_refused_whatever_their_capitals(tmp_path):
    image, labels = draw()
    save(tmp_path / "ct.nii.gz", image)
    save(tmp_path / "seg.nii.gz", labels)
    rows = ["p,ct.nii.gz,seg.nii.gz,one", "q,ct.nii.gz,seg.nii.gz,One"]
    with pytest.raises(InputError, match="two cases are called One"):
        find_labelled(write_table(tmp_path, rows))


@pytest.mark.parametrize(
    ("rows", "said"),
    [([",ct,seg,"], "column patient is empty"), (["p,no.nii.gz,seg,"], "lacks"), ([], "no case")],
)
def test_a_table_with_holes_is_refused(tmp_path, rows, said):
    with pytest.raises(InputError, match=said):
        find_labelled(write_table(tmp_path, rows))


def test_damaged_descriptions_are_refused(tmp_path):
    folder = write_nnunet(tmp_path / "Dataset009_Bad")
    for text, kind in (("[]", UnreadableFile), ("{", UnreadableFile), ("{}", InputError)):
        (folder / "dataset.json").write_text(text)
        with pytest.raises(kind):
            find_labelled(folder)
    with pytest.raises(InputError, match="no labelled data set"):
        find_labelled(tmp_path / "nowhere")


def test_a_missing_label_or_channel_is_named(tmp_path):
    folder = write_nnunet(tmp_path / "Dataset009_Less", channels=2)
    (folder / "imagesTr" / "p1_b_0001.nii.gz").unlink()
    with pytest.raises(InputError, match=r"p1_b has \[0\]"):
        find_labelled(folder)
    (folder / "imagesTr" / "p1_b_0000.nii.gz").unlink()
    (folder / "labelsTr" / "p1_a.nii.gz").unlink()
    with pytest.raises(InputError, match="p1_a lacks"):
        find_labelled(folder)


def shift(mm):
    moved = AFFINE.copy()
    moved[0, 3] += mm
    return moved


@pytest.mark.parametrize(
    ("labels", "affine", "kind", "said"),
    [
        (np.zeros((12, 10, 5), np.uint8), AFFINE, InputError, r"do not lie on one grid"),
        (np.zeros(SHAPE, np.uint8), shift(0.01), InputError, r"seg.nii.gz and ct.nii.gz"),
        (np.full(SHAPE, 0.5, np.float32), AFFINE, UnusablePixels, "values such as 0.5"),
        (np.full(SHAPE, np.nan, np.float32), AFFINE, UnusablePixels, "whole numbers"),
        (np.full(SHAPE, -1, np.int16), AFFINE, UnusablePixels, "from -1"),
        (np.full(SHAPE, 70000, np.int32), AFFINE, UnusablePixels, "to 70000"),
    ],
)
def test_labels_of_another_grid_or_with_fractions_are_refused(tmp_path, labels, affine, kind, said):
    save(tmp_path / "ct.nii.gz", draw()[0])
    save(tmp_path / "seg.nii.gz", labels, affine)
    pair = find_labelled(write_table(tmp_path, ["p,ct.nii.gz,seg.nii.gz,one"])).pairs[0]
    with pytest.raises(kind, match=said):
        open_pair(pair)


def write_colour(path):
    grid = Grid(SHAPE, AFFINE)
    write(Image(np.zeros((3, *SHAPE), np.uint8), grid, Unit.RELATIVE), path)


def test_labels_in_colour_are_refused(tmp_path):
    save(tmp_path / "ct.nii.gz", draw()[0])
    write_colour(tmp_path / "seg.nii.gz")
    pair = find_labelled(write_table(tmp_path, ["p,ct.nii.gz,seg.nii.gz,one"])).pairs[0]
    with pytest.raises(UnusablePixels, match=r"seg\.nii\.gz has 3 channels; labels have one"):
        open_pair(pair)


def test_a_colour_image_among_grey_ones_is_refused(tmp_path):
    save(tmp_path / "grey.nii.gz", draw()[0])
    write_colour(tmp_path / "colour.nii.gz")
    save(tmp_path / "seg.nii.gz", draw()[1])
    rows = ["p,grey.nii.gz,seg.nii.gz,one", "q,colour.nii.gz,seg.nii.gz,two"]
    with pytest.raises(InputError, match="case two has 3 channels and those before it 1: give all"):
        survey(find_labelled(write_table(tmp_path, rows)))


def test_labels_stored_as_reals_are_taken_and_grids_within_a_micrometre_agree(tmp_path):
    image, labels = draw()
    save(tmp_path / "ct.nii.gz", image)
    save(tmp_path / "seg.nii.gz", labels.astype(np.float32), shift(5e-4))
    pair = find_labelled(write_table(tmp_path, ["p,ct.nii.gz,seg.nii.gz,one"])).pairs[0]
    np.testing.assert_array_equal(open_pair(pair).labels, labels)


def test_values_that_are_not_finite_are_refused(tmp_path):
    save(tmp_path / "ct.nii.gz", np.full(SHAPE, np.inf, np.float32))
    save(tmp_path / "seg.nii.gz", draw()[1])
    pair = find_labelled(write_table(tmp_path, ["p,ct.nii.gz,seg.nii.gz,one"])).pairs[0]
    with pytest.raises(UnusablePixels, match="not finite"):
        open_pair(pair)


def test_patients_are_found_in_names_by_a_pattern(tmp_path):
    data = find_labelled(write_nnunet(tmp_path / "Dataset009_Names"))
    assert [p.patient for p in data.with_patients(r"(\w+)_.").pairs] == ["p1", "p1", "p2", "p3"]
    with pytest.raises(InputError, match="does not match"):
        data.with_patients(r"(q)_.*")
    for bad in ("p", "(", "(a)(b)"):
        with pytest.raises(SettingsError):
            data.with_patients(bad)


def test_hashed_names_tell_nothing_and_keep_patients_together(tmp_path):
    data = find_labelled(write_nnunet(tmp_path / "Dataset009_Names")).with_patients(r"(\w+)_.")
    hashed = data.hashed()
    assert not any("p1" in pair.case for pair in hashed.pairs)
    assert hashed.pairs[0].patient == hashed.pairs[1].patient != hashed.pairs[2].patient


def test_a_label_without_a_name_and_no_label_at_all_are_refused(tmp_path):
    folder = write_nnunet(tmp_path / "Dataset009_Named")
    with pytest.raises(InputError, match="hold 2, which has no name"):
        survey(find_labelled(folder), names={"one": 1})
    for path in (folder / "labelsTr").iterdir():
        save(path, np.zeros(SHAPE, np.uint8))
    record = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(record | {"labels": {"background": 0}}))
    with pytest.raises(InputError, match="nothing but background"):
        survey(find_labelled(folder))


def describe(folder, **changes):
    record = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(record | changes))


def name_without_channel(folder):
    (folder / "imagesTr" / "p1_a_0000.nii.gz").rename(folder / "imagesTr" / "p1_a.nii.gz")


def enlarge_description(folder):
    with (folder / "dataset.json").open("ab") as file:
        file.truncate((1 << 30) + 1)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (name_without_channel, InputError, "does not end in a channel such as _0000.nii.gz"),
        (enlarge_description, UnreadableFile, "larger than any such file"),
        (lambda folder: describe(folder, labels={"a": 1.5}), InputError, "a label is 1.5"),
        (lambda folder: describe(folder, labels={"a": True}), InputError, "a label is True"),
    ],
)
def test_a_folder_that_is_not_of_nnunet_v2_is_refused(tmp_path, change, kind, said):
    folder = write_nnunet(tmp_path / "Dataset009_Odd")
    change(folder)
    with pytest.raises(kind, match=said):
        find_labelled(folder)


def test_two_folders_that_do_not_fit_are_refused(tmp_path):
    image, labels = draw()
    images, drawn = tmp_path / "images", tmp_path / "labels"
    save(images / "a.nii.gz", image)
    with pytest.raises(InputError, match="there is no folder at"):
        find_labelled(images, drawn)
    save(drawn / "a.nii.gz", labels)
    (images / ".hidden").write_text("")
    assert [pair.case for pair in find_labelled(images, drawn).pairs] == ["a"]
    save(images / "a.nii", image)
    with pytest.raises(InputError, match=r"a\.nii and a\.nii\.gz would be one case"):
        find_labelled(images, drawn)


def test_cases_of_unequal_channels_are_refused(tmp_path):
    image, labels = draw()
    for name in ("a_0000", "a_0001", "b_0000"):
        save(tmp_path / "images" / f"{name}.nii.gz", image)
    for name in ("a", "b"):
        save(tmp_path / "labels" / f"{name}.nii.gz", labels)
    with pytest.raises(InputError, match="case b has 1 channels and a has 2"):
        find_labelled(tmp_path / "images", tmp_path / "labels")


def test_channels_of_two_folders_are_named_by_their_unit(tmp_path):
    image, labels = draw()
    for channel in (0, 1):
        save(tmp_path / "images" / f"a_000{channel}.nii.gz", image)
    save(tmp_path / "labels" / "a.nii.gz", labels)
    data = find_labelled(tmp_path / "images", tmp_path / "labels")
    names = {"one": 1, "two": 2}
    assert survey(data, unit=Unit.HU, names=names).channels == ("CT", "CT")
    assert survey(data, unit=Unit.RELATIVE, names=names).channels == ("image0", "image1")
