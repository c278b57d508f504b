"""A cohort keeps its keys apart, its patients in one split, and joins nothing in silence."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.cohort import Case, Cohort
from plica.errors import InputError, SettingsError


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


# -- tables --------------------------------------------------------------------------------------

TABLE = "file;who;fold;visit;age\na.png;p1;train;v1;50\nb.png;p2;test;v2;\nc.png;p1;;v2;51\n"


def test_a_table_of_any_columns_becomes_a_cohort(tmp_path):
    table = tmp_path / "images.csv"
    table.write_text(TABLE.replace(";", ","))

    cohort = Cohort.from_table(
        table, path_column="file", patient="who", split="fold", study="visit"
    )

    assert [case.key for case in cohort] == [("p1", "v1", "a.png"), ("p2", "v2", "b.png")]
    assert cohort["p1", "v1", "a.png"].path == tmp_path / "a.png"
    assert [case.labels["age"] for case in cohort] == ["50", ""]
    assert cohort.splits == ("train", "test")


def test_the_same_table_in_three_formats_is_one_cohort(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = {"path": ["a.png", "b.png"], "patient": ["p1", "p2"], "split": ["x", "y"], "n": [1, 20]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "t.parquet")
    lines = [",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    (tmp_path / "t.csv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    (tmp_path / "t.tsv").write_text("\n".join(lines).replace(",", "\t"))

    one, other, third = (Cohort.from_table(tmp_path / f"t.{e}") for e in ("csv", "tsv", "parquet"))

    assert one == other == third
    assert one.cases[1].labels == {"path": "b.png", "patient": "p2", "split": "y", "n": "20"}


def test_a_patient_in_two_splits_of_a_table_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("path,patient,split\na,p,train\nb,p,test\n")
    with pytest.raises(InputError, match="patient p stands in split 'train'"):
        Cohort.from_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",p,train", "image 1: the column path names no file"),
        ("a\0b,p,train", "names no file|cannot be read"),
        ("a,p,", "no row has anything in the column split"),
    ],
)
def test_rows_that_name_no_image_are_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(f"path,patient,split\n{text}\n")
    with pytest.raises(InputError, match=message):
        Cohort.from_table(tmp_path / "t.csv")


def test_a_table_without_splits_is_taken_where_none_is_asked_for(tmp_path):
    (tmp_path / "t.csv").write_text("path,patient\na,p\n")
    with pytest.raises(InputError, match=r'lacks the column split; it has: path, .*split="" where'):
        Cohort.from_table(tmp_path / "t.csv")
    assert Cohort.from_table(tmp_path / "t.csv", split="").splits == ("",)


# -- drawn splits --------------------------------------------------------------------------------


def of_patients(count, images=2):
    return Cohort(
        tuple(case(f"p{n}", str(at), split="") for n in range(count) for at in range(images))
    )


@settings(deadline=None)
@given(st.integers(3, 40), st.integers(0, 5), st.floats(0.01, 0.9))
def test_whole_patients_are_drawn_for_splits_whatever_their_order(count, seed, share):
    shares = {"train": 1 - share, "dev": share / 2, "test": share / 2}
    cohort = of_patients(count)

    split = cohort.with_splits(shares, seed=seed)
    backwards = Cohort(cohort.cases[::-1]).with_splits(shares, seed=seed)

    assert set(split.splits) == set(shares)
    assert split.cases == backwards.cases[::-1]
    for name, part in shares.items():
        assert abs(len(split.of_split(name).patients) - part * count) <= 2


def test_other_seeds_draw_other_patients():
    drawn = {
        of_patients(20).with_splits({"a": 0.5, "b": 0.5}, seed=seed).of_split("a").patients
        for seed in range(5)
    }
    assert len(drawn) == 5


def test_splits_are_not_drawn_twice_nor_for_too_few():
    with pytest.raises(InputError, match="has splits already: 'train'"):
        Cohort((case(),)).with_splits({"a": 0.5, "b": 0.5})
    with pytest.raises(InputError, match="1 patients cannot be drawn for 2 splits"):
        of_patients(1).with_splits({"a": 0.5, "b": 0.5})
    with pytest.raises(SettingsError, match="add up to 1"):
        of_patients(3).with_splits({"a": 0.5, "b": 0.4})


# -- BIDS ----------------------------------------------------------------------------------------


def make_tree(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def test_a_bids_tree_becomes_a_cohort_of_its_raw_images(tmp_path):
    make_tree(
        tmp_path,
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.json",
        "sub-02/ses-1/anat/sub-02_ses-1_acq-fast_T2w.nii",
        "sub-02/ses-2/ct/sub-02_ses-2_ct.nii.gz",
        "derivatives/fmriprep/sub-01/anat/sub-01_T1w.nii.gz",
        "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
    )
    table = "participant_id\tage\tsplit\nsub-01\t50\ttrain\nsub-02\t60\tdev-test\n"
    (tmp_path / "participants.tsv").write_text(table)

    cohort = Cohort.from_bids(tmp_path)

    first, second, third = cohort
    assert first.key == ("sub-01", "", "sub-01/anat/sub-01_T1w.nii.gz")
    assert (first.split, first.labels["age"], first.labels["suffix"]) == ("train", "50", "T1w")
    assert (second.patient, second.study, second.split) == ("sub-02", "ses-1", "dev-test")
    assert (second.labels["datatype"], second.labels["acq"]) == ("anat", "fast")
    assert (third.study, third.labels["datatype"], third.labels["suffix"]) == ("ses-2", "ct", "ct")
    assert first.path == tmp_path / "sub-01/anat/sub-01_T1w.nii.gz"


def test_a_bids_tree_needs_no_participants_but_those_it_has_must_fit(tmp_path):
    make_tree(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz")
    assert Cohort.from_bids(tmp_path).splits == ("",)
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-02\n")
    with pytest.raises(InputError, match="no row for sub-01"):
        Cohort.from_bids(tmp_path)


def test_a_folder_that_is_no_bids_tree_is_refused(tmp_path):
    make_tree(tmp_path, "a/b.nii")
    with pytest.raises(InputError, match="holds no images in folders like sub-01/anat"):
        Cohort.from_bids(tmp_path)
