"""The papers' tasks are read from small trees that lie as the data sets are published."""

import csv
import json
import shutil

import numpy as np
import pytest
from tests.formats.dicom_scenes import make_slice, save

from plica.errors import InputError, OutputError, UnknownName
from plica.evaluation.datasets import find_dataset
from plica.evaluation.protocol import read_protocol
from plica.evaluation.selection import parse_boxes, prepare, select
from plica.evaluation.task_cq500 import choose_series
from plica.evaluation.tasks import CLASS, SPACING, TASKS, is_yes, read_task, write_table
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image, Unit
from plica.training.cohorts import SPACING_LABEL, read_case, read_cohort


def write_rows(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def classes(cohort):
    return {case.series: case.labels[CLASS] for case in cohort}


# -- CMMD ----------------------------------------------------------------------------------------

CMMD_HEADER = ("ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype")


def make_cmmd(root, patients=10):
    """Each patient: the left breast has a row, odd ones are malignant; the right one has none."""
    rows = [CMMD_HEADER]
    for number in range(patients):
        patient = f"D1-{number:04d}"
        kind = "Malignant" if number % 2 else "Benign"
        found = ("mass", "calcification", "both")[number % 3]
        rows.append((patient, "L", 44, 2, found, kind, ""))
        series = root / "CMMD" / patient / "07-18-2010-NA-NA-79377" / "1.000000-NA-70244"
        for place, side in enumerate("LLRR", start=1):
            header = make_slice()
            header.ImageLaterality = side
            series.mkdir(parents=True, exist_ok=True)
            save(header, series / f"1-{place}.dcm")
    write_rows(root / "CMMD_clinicaldata_revision.csv", *rows)
    return root


def test_cmmd_malignancy_takes_the_breasts_that_have_a_row(tmp_path):
    made = read_task("cmmd-malignancy", make_cmmd(tmp_path))
    assert len(made.cohort) == 20
    for case in made.cohort:
        odd = int(case.patient[3:]) % 2
        assert case.labels[CLASS] == ("malignant" if odd else "benign")
        assert case.labels["laterality"] == "L"
    assert "all: 20 images here, 3744 in the paper" in made.notes


def test_cmmd_calcification_takes_every_breast(tmp_path):
    made = read_task("cmmd-calcification", make_cmmd(tmp_path))
    assert len(made.cohort) == 40
    present = {case.patient for case in made.cohort if case.labels[CLASS] == "present"}
    assert present == {f"D1-{n:04d}" for n in range(10) if n % 3}
    right = [case for case in made.cohort if case.labels["laterality"] == "R"]
    assert {case.labels[CLASS] for case in right} == {"absent"}


def test_patients_stay_together_and_seeds_divide_them_differently(tmp_path):
    make_cmmd(tmp_path)
    divided = [read_task("cmmd-malignancy", tmp_path, seed=seed).cohort for seed in (0, 0, 1)]
    for cohort in divided:
        train, test = cohort.of_split("train"), cohort.of_split("test")
        assert not set(train.patients) & set(test.patients)
        assert (len(train.patients), len(test.patients)) == (8, 2)
    tests = [set(cohort.of_split("test").patients) for cohort in divided]
    assert tests[0] == tests[1] != tests[2]


def test_a_breast_of_several_rows_is_malignant_if_one_is(tmp_path):
    make_cmmd(tmp_path, patients=2)
    rows = [CMMD_HEADER]
    for patient in ("D1-0000", "D1-0001"):
        rows += [(patient, "L", 1, 2, "mass", kind, "") for kind in ("Malignant", "Benign")]
    write_rows(tmp_path / "CMMD_clinicaldata_revision.csv", *rows)
    cohort = read_task("cmmd-malignancy", tmp_path).cohort
    assert {case.labels[CLASS] for case in cohort} == {"malignant"}


def test_a_table_of_other_words_is_refused(tmp_path):
    make_cmmd(tmp_path, patients=2)
    table = tmp_path / "CMMD_clinicaldata_revision.csv"
    table.write_text(table.read_text().replace("Benign", "unsure"))
    with pytest.raises(InputError, match="classification 'unsure'"):
        read_task("cmmd-malignancy", tmp_path)


def test_a_mammogram_of_no_side_is_refused(tmp_path):
    make_cmmd(tmp_path, patients=2)
    save(make_slice(), next(tmp_path.rglob("1-1.dcm")))
    with pytest.raises(InputError, match="which breast it shows"):
        read_task("cmmd-calcification", tmp_path)


# -- VinDr-Mammo ---------------------------------------------------------------------------------


def make_vindr(root, studies=6):
    header = ("study_id", "series_id", "laterality", "image_id", "view_position", "height",
              "width", "breast_birads", "breast_density", "split")  # fmt: skip
    rows = [header]
    for number in range(studies):
        for view in ("CC", "MLO"):
            study, image = f"study{number}", f"image{number}{view}"
            split = "test" if number == 0 else "training"
            birads = f"BI-RADS {number % 5 + 1}"
            rows.append((study, "s", "L", image, view, 3518, 2800, birads, "DENSITY C", split))
            touch(root / "images" / study / f"{image}.dicom")
    write_rows(root / "breast-level_annotations.csv", *rows)
    return root


def test_vindr_keeps_its_own_division(tmp_path):
    cohort = read_task("vindr-birads", make_vindr(tmp_path)).cohort
    assert len(cohort) == 12
    assert cohort.of_split("test").patients == ("study0",)
    assert classes(cohort)["image4CC"] == "5"


def test_a_missing_image_is_counted_and_named_or_left_out_when_asked(tmp_path):
    make_vindr(tmp_path)
    gone = tmp_path / "images" / "study3" / "image3MLO.dicom"
    gone.unlink()
    with pytest.raises(InputError, match=r"1 of 12 images are missing") as caught:
        read_task("vindr-birads", tmp_path)
    for needed in ("images/study3/image3MLO.dicom", "physionet.org", "data use agreement"):
        assert needed in str(caught.value)
    assert len(read_task("vindr-birads", tmp_path, partial=True).cohort) == 11


# -- RSNA bone age -------------------------------------------------------------------------------


def make_boneage(root):
    write_rows(
        root / "train.csv",
        ("id", "boneage", "male"), (1377, 180, "False"), (1378, 12, "True"), (1379, 11, "True"),
    )  # fmt: skip
    below = root / "Bone Age Validation Set"
    write_rows(
        below / "Validation Dataset.csv",
        ("Image ID", "male", "Bone Age (months)"), (1386, "TRUE", 168), (10018, "FALSE", 228),
    )  # fmt: skip
    for number in (1377, 1378, 1379):
        touch(root / "boneage-training-dataset" / f"{number}.png")
    touch(below / "boneage-validation-dataset-1" / "1386.png")
    touch(below / "boneage-validation-dataset-2" / "10018.png")
    touch(root / "boneage-test-dataset" / "4360.png")
    return root


def test_months_become_whole_years(tmp_path):
    cohort = read_task("rsna-bone-age", make_boneage(tmp_path)).cohort
    assert classes(cohort) == {"1377": "15", "1378": "1", "1379": "0", "1386": "14", "10018": "19"}
    assert [case.series for case in cohort.of_split("test")] == ["1386", "10018"]


def test_kaggles_name_of_the_table_will_do(tmp_path):
    make_boneage(tmp_path)
    (tmp_path / "train.csv").rename(tmp_path / "boneage-training-dataset.csv")
    assert len(read_task("rsna-bone-age", tmp_path).cohort) == 5


def test_an_age_beyond_the_classes_is_refused(tmp_path):
    make_boneage(tmp_path)
    table = tmp_path / "train.csv"
    table.write_text(table.read_text().replace("180", "240"))
    with pytest.raises(InputError, match="240 months"):
        read_task("rsna-bone-age", tmp_path)


# -- GRAZPEDWRI-DX -------------------------------------------------------------------------------

GRAZ = ("filestem", "patient_id", "study_number", "timehash", "gender", "age", "laterality",
        "projection", "initial_exam", "ao_classification", "cast", "diagnosis_uncertain",
        "osteopenia", "fracture_visible", "metal", "pixel_spacing",
        "device_manufacturer")  # fmt: skip


def make_graz(root, patients=8):
    rows = [GRAZ]
    for number in range(patients):
        for view in (1, 2):
            stem = f"{number:04d}_0{view}_WRI-L{view}_M014"
            cast, metal = ("1", "")[number != 0], ("1.0", "")[number != 1]
            fracture = "1" if number % 2 else ""
            rows.append((stem, number, 1, 7, "M", 14.1, "L", view, 1, "", cast, "", "", fracture,
                         metal, 0.144, "Siemens"))  # fmt: skip
            part = root / f"images_part{number % 4 + 1}"
            grid = Grid.from_spacing((20, 30, 1), calibrated=False)
            part.mkdir(parents=True, exist_ok=True)
            picture = np.arange(600, dtype=np.uint16).reshape(1, 20, 30, 1)
            write(Image(picture, grid, Unit.DISPLAY), part / f"{stem}.png")
            objects = [{"classTitle": "text", "points": {"exterior": [[0, 0], [3, 3]]}}]
            if fracture:
                corners = {"exterior": [[12, 22], [4, 8]], "interior": []}
                objects.append({"classTitle": "fracture", "points": corners})
            ann = root / "folder_structure" / "supervisely" / "wrist" / "ann" / f"{stem}.json"
            ann.parent.mkdir(parents=True, exist_ok=True)
            ann.write_text(json.dumps({"size": {"height": 30, "width": 20}, "objects": objects}))
    write_rows(root / "dataset.csv", *rows)
    return root


def test_metal_and_casts_are_left_out(tmp_path):
    cohort = read_task("grazpedwri-fracture", make_graz(tmp_path)).cohort
    assert set(cohort.patients) == {"2", "3", "4", "5", "6", "7"}
    assert {case.patient for case in cohort if case.labels[CLASS] == "fracture"} == {"3", "5", "7"}
    assert len(cohort.of_split("test").patients) == 2


def test_the_boxes_are_judged_by_their_protocol(tmp_path):
    cohort = read_task("grazpedwri-boxes", make_graz(tmp_path)).cohort
    assert set(cohort.patients) == {"1", "3", "5", "7"}
    protocol = read_protocol("medvae-table-5-fractures")
    drawn = select(protocol, cohort)
    one = drawn.all[0]
    assert parse_boxes(one.case.labels["fracture_boxes"]) == ((4, 8, 13, 23),)
    made = prepare(read_case(one.case), protocol, one.group, labels=one.case.labels)
    assert made.region.sum() == 9 * 15
    assert made.region[4:13, 8:23].all()


def test_an_image_without_an_annotation_has_no_boxes(tmp_path):
    make_graz(tmp_path)
    (file,) = tmp_path.rglob("0003_01_WRI-L1_M014.json")
    file.unlink()

    cohort = read_task("grazpedwri-boxes", tmp_path).cohort

    assert [case.series for case in cohort if case.patient == "3"] == ["0003_02_WRI-L2_M014"]


def test_an_annotation_of_another_kind_is_refused(tmp_path):
    make_graz(tmp_path)
    next(tmp_path.rglob("*.json")).write_text('{"shapes": []}')
    with pytest.raises(InputError, match="no annotation of Supervisely's"):
        read_task("grazpedwri-boxes", tmp_path)


# -- VerSe ---------------------------------------------------------------------------------------


def make_verse(root):
    header = ("verse_ID", "subject_ID", "CT_image_series", "N_Fx", "L1_fx-g")
    rows = [header, (4, 4, 1, 0, 0), (201, 401, 1, 2, 3), (253, 401, 1, 1, 2), (5, 5, 1, 0, 0),
            ("6.0", "6.0", 1, "3.0", 1), ("", "", "", "", "")]  # fmt: skip
    write_rows(root / "verse2019_fracture_grading_info.csv", *rows)
    for part, names in (
        ("training", ("sub-verse004/sub-verse004_ct", "sub-verse401/sub-verse401_split-verse201_ct",
                      "sub-verse401/sub-verse401_split-verse253_ct")),
        ("validation", ("sub-verse005/sub-verse005_ct",)),
        ("test", ("sub-verse006/sub-verse006_ct",)),
    ):  # fmt: skip
        for name in names:
            touch(root / f"dataset-verse19{part}" / "rawdata" / f"{name}.nii.gz")
    return root


def test_verse_joins_scans_and_gradings_by_their_numbers(tmp_path):
    cohort = read_task("verse-fracture", make_verse(tmp_path)).cohort
    assert classes(cohort) == {
        "verse004": "none", "verse201": "fracture", "verse253": "fracture", "verse005": "none",
        "verse006": "fracture",
    }  # fmt: skip
    assert {case.series: case.split for case in cohort}["verse005"] == "validation"
    assert cohort.of_split("train").patients == ("verse004", "verse401")


def test_an_archive_that_was_unpacked_into_its_own_name_will_do(tmp_path):
    make_verse(tmp_path)
    outer = tmp_path / "dataset-verse19training"
    outer.rename(tmp_path / "moved")
    outer.mkdir()
    (tmp_path / "moved").rename(outer / "dataset-verse19training")
    assert len(read_task("verse-fracture", tmp_path).cohort) == 5


# -- CQ500 ---------------------------------------------------------------------------------------


def make_cq500(root, scans=10):
    readers = [f"R{n}:{what}" for n in (1, 2, 3) for what in ("ICH", "Fracture", "MidlineShift")]
    rows = [("name", "Category", *readers)]
    for number in range(scans):
        votes = [int(reader <= number % 4) for reader in (1, 2, 3)]
        rows.append((f"CQ500-CT-{number}", "B1", *(x for vote in votes for x in (0, vote, 1))))
        scan = root / f"CQ500-CT-{number}" / f"CQ500CT{number} CQ500CT{number}" / "Unknown Study"
        for name, slices in (("CT Plain", 3), ("CT PLAIN THIN", 6), ("CT POST CONTRAST", 9)):
            for place in range(slices):
                touch(scan / name / f"CT{place:06d}.dcm")
    write_rows(root / "reads.csv", *rows)
    return root


def test_two_of_three_readers_make_a_fracture(tmp_path):
    made = read_task("cq500-fracture", make_cq500(tmp_path))
    for case in made.cohort:
        number = int(case.patient.rpartition("-")[2])
        assert case.labels[CLASS] == ("fracture" if number % 4 >= 2 else "none")
        assert case.path.name == "CT PLAIN THIN"
    assert len(made.cohort.of_split("test")) == 2
    assert made.notes == ("all: 10 images here, 378 in the paper",)


def test_archives_beside_the_scans_are_passed_over(tmp_path):
    make_cq500(tmp_path)
    touch(tmp_path / "CQ500CT1 CQ500CT1.zip")

    assert len(read_task("cq500-fracture", tmp_path).cohort) == 10


def test_a_scan_of_contrast_alone_is_missing(tmp_path):
    make_cq500(tmp_path)
    scan = tmp_path / "CQ500-CT-3" / "CQ500CT3 CQ500CT3"
    for name in ("CT Plain", "CT PLAIN THIN"):
        for file in (scan / "Unknown Study" / name).iterdir():
            file.unlink()
    assert choose_series(scan) is None
    with pytest.raises(InputError, match="a plain series in 'CQ500CT3 CQ500CT3'"):
        read_task("cq500-fracture", tmp_path)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("CT PRE CONTRAST THIN", True), ("CT Thin Plain-2", True), ("CT 0.625mm", True),
        ("CT POST CONTRAST-3", False), ("CT C THIN", False), ("CT CECT THIN", False),
        ("CT 3.753.75mm Bone", False), ("CT 4cc sec 150cc D3D on-2", True),
    ],
)  # fmt: skip
def test_plain_series_are_told_by_their_names(tmp_path, name, plain):
    touch(tmp_path / name / "CT000000.dcm")
    assert (choose_series(tmp_path) is not None) == plain


# -- MRNet ---------------------------------------------------------------------------------------


def make_mrnet(root, exams=40):
    for part, begin, end in (("train", 0, exams - 4), ("valid", exams - 4, exams)):
        for tear in ("acl", "meniscus"):
            every = 4 if tear == "acl" else 6
            write_rows(
                root / f"{part}-{tear}.csv",
                *((f"{n:04d}", int(n % every == 0)) for n in range(begin, end)),
            )
        for number in range(begin, end):
            path = root / part / "sagittal" / f"{number:04d}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.full((3, 8, 8), number, np.uint8))
    return root


def test_either_tear_counts_and_exams_are_divided_anew(tmp_path):
    cohort = read_task("mrnet-tear", make_mrnet(tmp_path)).cohort
    assert len(cohort) == 40
    for case in cohort:
        number = int(case.patient)
        torn = number % 4 == 0 or number % 6 == 0
        assert case.labels[CLASS] == ("tear" if torn else "none")
    assert len(cohort.of_split("test")) == 2


def test_knees_are_read_though_their_arrays_know_no_millimetres(tmp_path):
    cohort = read_task("mrnet-tear", make_mrnet(tmp_path)).cohort
    table = write_table(cohort, tmp_path / "knees.csv")
    one = next(iter(read_cohort(table).of_split("test")))
    image = read_case(one)
    assert image.grid.shape == (3, 8, 8)
    assert image.pixels.max() == int(one.patient)
    assert SPACING == SPACING_LABEL


@pytest.mark.parametrize("line", ["0000;1", "0000,2", "exam,acl", "0001,1\n0001,0"])
def test_a_list_of_another_form_is_refused(tmp_path, line):
    make_mrnet(tmp_path)
    (tmp_path / "train-acl.csv").write_text(line)
    with pytest.raises(InputError, match=r"expected|such as 0000,1"):
        read_task("mrnet-tear", tmp_path)


# -- all of them ---------------------------------------------------------------------------------

MAKERS = {
    "cmmd-malignancy": make_cmmd, "cmmd-calcification": make_cmmd, "vindr-birads": make_vindr,
    "rsna-bone-age": make_boneage, "grazpedwri-fracture": make_graz,
    "grazpedwri-boxes": make_graz, "verse-fracture": make_verse, "cq500-fracture": make_cq500,
    "mrnet-tear": make_mrnet,
}  # fmt: skip


def test_every_task_has_a_made_tree():
    assert MAKERS.keys() == TASKS.keys()


@pytest.mark.parametrize("name", TASKS)
def test_what_is_missing_is_named_with_where_it_is_to_be_had(tmp_path, name):
    with pytest.raises(InputError, match="there is no") as caught:
        read_task(name, tmp_path)
    assert "is to be had at http" in str(caught.value)
    assert "laid out as" in str(caught.value)
    with pytest.raises(InputError, match="there is no folder"):
        read_task(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", TASKS)
def test_a_table_gives_the_cohort_back_and_no_patient_stands_in_two_splits(tmp_path, name):
    made = read_task(name, MAKERS[name](tmp_path))
    table = write_table(made.cohort, tmp_path / "cohort.csv")
    back = read_cohort(table)
    assert [(c.patient, c.series, c.split, c.path) for c in back] == [
        (c.patient, c.series, c.split, c.path) for c in made.cohort
    ]
    for case in back:
        assert case.labels["dataset"] == made.task.dataset
        assert not made.task.classes or case.labels[CLASS] in made.task.classes
    splits = {}
    for case in back:
        assert splits.setdefault(case.patient, case.split) == case.split
    with pytest.raises(OutputError):
        write_table(made.cohort, table)


def test_a_misspelt_task_is_answered():
    with pytest.raises(UnknownName, match="mrnet-tear"):
        read_task("mrnet-tears", ".")


def test_cells_of_ones_and_gaps():
    assert [is_yes(cell) for cell in ("1", "1.0", "0", "0.0", "", " ")] == [True] * 2 + [False] * 4
    with pytest.raises(InputError, match="but got 'yes'"):
        is_yes("yes")


# -- what is not as it was published -------------------------------------------------------------


def replace_in(name, old, new):
    def change(root):
        file = next(root.rglob(name))
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return change


def remove(pattern):
    def change(root):
        found = list(root.rglob(pattern))
        assert found
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def enlarge(name):
    def change(root):
        with next(root.rglob(name)).open("ab") as file:
            file.truncate((1 << 20) + 1)

    return change


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("rsna-bone-age", remove("1378.png"), "1378.png of train.csv"),
        ("rsna-bone-age", replace_in("train.csv", "180", "x"), "whole number, but got 'x'"),
        ("rsna-bone-age", replace_in("train.csv", "180", "180.5"), "whole number, but got '180.5'"),
        ("cmmd-malignancy", remove("D1-0003"), "CMMD/D1-0003/…/1-1.dcm"),
        ("grazpedwri-boxes", remove("0003_01_WRI-L1_M014.png"), "0003_01_WRI-L1_M014.png"),
        ("grazpedwri-boxes", remove("images_part*"), "none of images_part1"),
        ("grazpedwri-boxes", enlarge("0003_01_WRI-L1_M014.json"), "too large for an annotation"),
        ("mrnet-tear", remove("0005.npy"), "train/sagittal/0005.npy"),
        ("mrnet-tear", replace_in("train-acl.csv", "0001,0\n", ""), "same exams, such as 0001"),
        ("mrnet-tear", replace_in("train-acl.csv", "0001,0", '"0001'), "cannot be read"),
        ("mrnet-tear", enlarge("train-acl.csv"), "too large for a list of exams"),
        ("verse-fracture", remove("sub-verse005"), "the CT of verse_ID 5"),
        ("vindr-birads", replace_in("breast*.csv", "BI-RADS 1", "BI-RADS 9"), "'BI-RADS 9'"),
    ],
)
def test_a_tree_that_is_not_as_it_was_published_is_refused(tmp_path, name, change, said):
    MAKERS[name](tmp_path)
    change(tmp_path)
    with pytest.raises(InputError) as caught:
        read_task(name, tmp_path)
    assert said in str(caught.value)


def test_two_files_of_one_scan_are_refused(tmp_path):
    make_verse(tmp_path)
    scan = tmp_path / "dataset-verse19test" / "rawdata" / "sub-verse006"
    touch(scan / "sub-verse006_split-verse005_ct.nii.gz")
    touch(scan / "notes_ct.nii.gz")  # of no scan, and passed over
    with pytest.raises(InputError, match="two files are of scan 5"):
        read_task("verse-fracture", tmp_path)


def test_a_table_of_no_images_is_refused(tmp_path):
    make_vindr(tmp_path)
    table = tmp_path / "breast-level_annotations.csv"
    table.write_text(table.read_text().splitlines()[0])
    with pytest.raises(InputError, match="there are no images in"):
        read_task("vindr-birads", tmp_path)


def test_rows_without_a_patient_are_passed_over(tmp_path):
    make_cmmd(tmp_path)
    with (tmp_path / "CMMD_clinicaldata_revision.csv").open("a") as file:
        file.write(",,,,,,\n")
    assert len(read_task("cmmd-malignancy", tmp_path).cohort) == 20


def test_a_data_set_of_no_name_is_refused():
    with pytest.raises(UnknownName, match=r"no data set 'cmd' is known; there are: .*cmmd"):
        find_dataset("cmd")
