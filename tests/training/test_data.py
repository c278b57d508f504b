"""What a recipe trains on is what it selects, and all that cannot be used is said before hours."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.training.pictures_made import (
    make_batches,
    make_cohort,
    prepare,
    write_picture,
    write_table,
    write_volume,
)

from plica.cohort import Case, Cohort
from plica.errors import InputError, OutputError, SettingsError
from plica.training.data import Progress, name_of, prepare_cases, settle_judged, split_cohort
from plica.training.prepared import Shape
from plica.training.recipe import Augmentation, Data, Source


def names(images):
    return [image.name for image in images]


# -- choosing ------------------------------------------------------------------------------------


def test_without_sources_the_whole_split_is_one(tmp_path):
    prepared = prepare(tmp_path, make_cohort(tmp_path, count=3))
    assert [(pool.name, pool.weight, names(pool.images)) for pool in prepared.pools] == [
        ("all images", 1.0, ["0.png", "1.png", "2.png"])
    ]
    assert names(prepared.validation.images) == ["3.png"]
    assert prepared.unreadable == ()


def labelled_cohort(folder):
    rows = []
    for n, (split, kind) in enumerate(
        [("train", "a"), ("train", "b"), ("train", "c"), ("dev-test", "a"), ("dev-test", "d")]
    ):
        write_picture(folder / f"{n}.png", seed=n)
        rows.append((f"{n}.png", f"p{n}", split, kind))
    return Cohort.from_table(write_table(folder, rows, ("path", "patient", "split", "kind")))


def test_sources_select_what_is_trained_on_and_what_is_judged(tmp_path):
    sources = (
        Source("first", {"kind": ("a",)}, weight=2.0),
        Source("others", {"kind": ("b", "a")}),
    )
    prepared = prepare(tmp_path, labelled_cohort(tmp_path), sources=sources)
    assert [names(pool.images) for pool in prepared.pools] == [["0.png"], ["0.png", "1.png"]]
    assert [pool.weight for pool in prepared.pools] == [2.0, 1.0]
    assert names(prepared.validation.images) == ["3.png"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": (Source("d", {"kind": ("d",)}),)}, "the source 'd' selects no image of the"),
        ({"sources": (Source("c", {"kind": ("c",)}),)}, "no source selects an image of the split"),
        ({"sources": (Source("x", {"kid": ("a",)}),)}, "no case has the label kid"),
        ({"train": "tain"}, "no split 'tain'; there are: 'train', 'dev-test'"),
        ({"train": "tain"}, "which of them is trained on with --set data.train=NAME"),
        ({"validation": "val"}, "the cohort has no split 'val'; there are: 'train', 'dev-test'"),
        ({"validation": "val"}, "chooses the checkpoint with --set data.validation=NAME"),
        ({"crop": 18}, "multiples of the network's factor 4"),
        ({"validation_crop": 6}, "multiples of the network's factor 4"),
        ({"augmentation": Augmentation(flips=(2,))}, "names axes 0 to 1"),
    ],
)
def test_what_does_not_fit_the_cohort_or_network_is_refused(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path, labelled_cohort(tmp_path), **settings)


@pytest.mark.parametrize(
    ("splits", "judged"),
    [
        (("train", "dev-test", "validation", "test"), "validation"),
        (("train", "test", "val"), "val"),
        (("train", "dev-test", "test"), "dev-test"),
    ],
)
def test_a_recipe_that_names_no_split_to_judge_takes_the_one_made_for_it(tmp_path, splits, judged):
    rows = [(f"{n}.png", f"p{n}", split) for n, split in enumerate(splits)]
    for n in range(len(rows)):
        write_picture(tmp_path / f"{n}.png", seed=n)
    cohort = Cohort.from_table(write_table(tmp_path, rows))

    assert settle_judged(Data(), cohort).validation == judged
    assert settle_judged(Data(validation="test"), cohort).validation == "test"
    prepared = prepare(tmp_path, cohort)
    assert names(prepared.validation.images) == [f"{splits.index(judged)}.png"]


def test_a_split_that_is_trained_on_does_not_judge_and_the_last_test_never_does_unasked(tmp_path):
    for n in range(2):
        write_picture(tmp_path / f"{n}.png", seed=n)
    rows = [("0.png", "p0", "val"), ("1.png", "p1", "test")]
    cohort = Cohort.from_table(write_table(tmp_path, rows))

    with pytest.raises(SettingsError, match="no split 'dev-test'; there are: 'val', 'test'"):
        prepare(tmp_path, cohort, train="val")


def test_cubes_are_not_turned_by_quarters(tmp_path):
    cohort = make_cohort(tmp_path, volumes=True)
    with pytest.raises(SettingsError, match="quarter_turns is for 2D"):
        prepare(tmp_path, cohort, dims=3, augmentation=Augmentation(quarter_turns=True))


def test_a_cohort_without_splits_is_split_by_patients_the_same_each_time(tmp_path):
    rows = []
    for n in range(20):
        write_picture(tmp_path / f"{n}.png", seed=n)
        rows.append((f"{n}.png", f"p{n // 2}"))
    table = write_table(tmp_path, rows, ("path", "patient"))
    cohort = Cohort.from_table(table, split="")

    split = split_cohort(cohort, Data())
    prepared = prepare(tmp_path, cohort)

    assert len(split.of_split("train").patients) == 9
    assert names(prepared.validation.images) == [name_of(c) for c in split.of_split("dev-test")]
    assert split_cohort(split, Data()) is split


def test_a_cohort_of_one_patient_cannot_be_split(tmp_path):
    write_picture(tmp_path / "a.png")
    table = write_table(tmp_path, [("a.png", "p")], ("path", "patient"))
    with pytest.raises(InputError, match="1 patients cannot be drawn for 2 splits"):
        prepare(tmp_path, Cohort.from_table(table, split=""))


def test_a_case_is_called_by_its_path_or_else_by_its_whole_key(tmp_path):
    assert name_of(Case("p", "s", "a/b.png", tmp_path / "a/b.png")) == "a/b.png"
    assert name_of(Case("p", "s", "t1", tmp_path / "b.nii")) == "p/s/t1"
    assert name_of(Case("p", "", "", tmp_path / "b.nii")) == "p"
    named = {"path": "p/s/t1.nii", "series": "t1.nii"}
    assert name_of(Case("p", "s", "t1.nii", tmp_path / "p/s/t1.nii", "", named)) == "p/s/t1.nii"
    assert name_of(Case("p", "s", "p/s/series-2", tmp_path / "p/s")) == "p/s/series-2"
    assert name_of(Case("p", "s", "test/p/s/series-2", tmp_path / "p/s")) == "test/p/s/series-2"
    assert name_of(Case("p", "", "p/series-1", tmp_path / "p.zip")) == "p/series-1"


# -- what cannot be used -------------------------------------------------------------------------


def spoil(folder, *numbers):
    for number in numbers:
        (folder / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")


def test_unreadable_images_are_named_counted_and_refused(tmp_path):
    cohort = make_cohort(tmp_path, count=9)
    spoil(tmp_path, 2)
    (tmp_path / "5.png").unlink()
    with pytest.raises(
        InputError, match=r"2 of 10 images cannot be used.*2\.png: .*5\.png: "
    ) as told:
        prepare(tmp_path, cohort, unreadable=0.1)
    assert str(told.value).endswith("--set data.unreadable=0.2")
    assert len(prepare(tmp_path, cohort, unreadable=0.2).unreadable) == 2


def test_unreadable_images_within_the_allowed_share_are_left_out_and_told(tmp_path):
    cohort = make_cohort(tmp_path, count=9)
    spoil(tmp_path, 2, 4)
    prepared = prepare(tmp_path, cohort, unreadable=0.2)
    assert [name for name, _ in prepared.unreadable] == ["2.png", "4.png"]
    assert all(reason for _, reason in prepared.unreadable)
    assert len(prepared.pools[0].images) == 7


def test_a_long_list_of_unreadable_images_is_cut_short(tmp_path):
    cohort = make_cohort(tmp_path, count=9)
    spoil(tmp_path, *range(8))
    with pytest.raises(InputError, match=r"8 of 10 .*; and 3 more\. Leave them out of the table"):
        prepare(tmp_path, cohort)


def test_nothing_left_to_train_on_or_to_judge_is_refused_whatever_the_share(tmp_path):
    cohort = make_cohort(tmp_path, count=3)
    spoil(tmp_path, 3)
    with pytest.raises(InputError, match="no image of the split 'dev-test' can be used"):
        prepare(tmp_path, cohort, unreadable=1.0)
    spoil(tmp_path, 0, 1, 2)
    with pytest.raises(InputError, match="no image of the source 'all images' can be used"):
        prepare(tmp_path, cohort, unreadable=1.0)


def test_images_with_values_that_are_no_numbers_are_unreadable(tmp_path):
    cohort = make_cohort(tmp_path, count=2, volumes=True)
    pixels = np.ones((20, 18, 16), np.float32)
    pixels[3, 3, 3] = np.nan
    write_volume_again(tmp_path / "1.nii", pixels)
    with pytest.raises(InputError, match=r"1\.nii: the image holds values that are not finite"):
        prepare(tmp_path, cohort, dims=3)


def write_volume_again(path, pixels):
    path.unlink()
    write_volume(path, pixels=pixels)


def test_a_radiograph_is_no_volume(tmp_path):
    with pytest.raises(InputError, match=r"0\.png is one slice, but the network sees volumes"):
        prepare(tmp_path, make_cohort(tmp_path), dims=3)


def test_images_smaller_than_the_crop_are_named_with_what_would_fit(tmp_path):
    cohort = make_cohort(tmp_path, count=3)  # 24 × 32
    with pytest.raises(SettingsError, match=r"3 of 4 images.*sides of 28.*0\.png \(24\)"):
        prepare(tmp_path, cohort, crop=28)
    with pytest.raises(SettingsError, match="the smallest side is 24"):
        prepare(tmp_path, cohort, crop=28, augmentation=Augmentation(scale=(0.9, 1.0)))
    prepare(tmp_path, cohort, crop=28, augmentation=Augmentation(scale=(0.8, 1.0)))
    prepare(tmp_path, cohort, crop=24)


def test_small_images_within_the_allowed_share_are_left_out(tmp_path):
    cohort = make_cohort(tmp_path, count=3)
    write_picture(tmp_path / "1.png", rows=12)
    prepared = prepare(tmp_path, cohort, unreadable=0.25)
    assert names(prepared.pools[0].images) == ["0.png", "2.png"]
    assert prepared.unreadable == (("1.png", "12 voxels a side"),)


def test_a_small_image_takes_no_other_of_its_name_with_it(tmp_path):
    rows = []
    for patient in ("a", "b", "c"):
        (tmp_path / patient).mkdir()
        write_picture(tmp_path / patient / "x.png", rows=12 if patient == "a" else 24)
        split = "dev-test" if patient == "c" else "train"
        rows.append((f"{patient}/x.png", patient, split, "x.png"))
    table = write_table(tmp_path, rows, ("file", "patient", "split", "series"))
    cohort = Cohort.from_table(table, path_column="file", series="series")
    prepared = prepare(tmp_path, cohort, unreadable=0.4)
    assert len(prepared.unreadable) == 1
    assert [image.shape[2] for image in prepared.pools[0].images] == [24]


def test_volumes_are_small_by_their_planes_or_by_all_their_sides(tmp_path):
    cohort = make_cohort(tmp_path, count=1, volumes=True, shape=(40, 36, 12))
    prepare(tmp_path, cohort, crop=32)
    with pytest.raises(SettingsError, match=r"\(12\)"):
        prepare(tmp_path, cohort, crop=32, planes=(0, 1))
    with pytest.raises(SettingsError, match=r"\(12\)"):
        prepare(tmp_path, cohort, dims=3)


def test_a_label_that_judged_images_lack_selects_none_of_them(tmp_path):
    cases = [
        replace(case, labels={**case.labels, "ward": "3"}) if case.split == "train" else case
        for case in labelled_cohort(tmp_path)
    ]
    sources = (Source("ward", {"ward": ("3",)}), Source("others", {"kind": ("a",)}))

    prepared = prepare(tmp_path, Cohort(tuple(cases)), sources=sources)

    assert [len(pool.images) for pool in prepared.pools] == [3, 1]
    assert names(prepared.validation.images) == ["3.png"]


# -- preparing -----------------------------------------------------------------------------------


def test_each_case_is_told_before_it_is_prepared(tmp_path):
    told = []
    cohort = make_cohort(tmp_path, count=2)
    prepare_cases(Data(crop=16), cohort, Shape(2, 4, 1), cache=tmp_path / "c", progress=told.append)
    assert told == [
        Progress(0, 3, "0.png"),
        Progress(1, 3, "1.png"),
        Progress(2, 3, "2.png"),
        Progress(3, 3, ""),
    ]


def test_a_second_training_reads_no_image_again_and_a_changed_one_is(tmp_path, monkeypatch):
    from plica.formats import doors

    cohort = make_cohort(tmp_path, count=3)
    before = make_batches(tmp_path, cohort).at(0)[0]
    asked = []
    really = doors.read
    monkeypatch.setattr(
        doors, "read", lambda path, **how: asked.append(path) or really(path, **how)
    )

    assert np.array_equal(make_batches(tmp_path, cohort).at(0)[0], before)
    assert asked == []
    write_picture(tmp_path / "1.png", seed=99)
    assert not np.array_equal(make_batches(tmp_path, cohort).at(0)[0], before)
    assert asked == [tmp_path / "1.png"]


def test_a_cache_that_cannot_be_written_stops_at_once(tmp_path):
    cohort = make_cohort(tmp_path)
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be kept"):
        prepare(tmp_path, cohort)


def test_the_cache_says_nothing_of_patients(tmp_path):
    prepare(tmp_path, make_cohort(tmp_path))
    for record in (tmp_path / "cache").glob("*.json"):
        known = json.loads(record.read_text())
        assert set(known) == {"content", "facts"}
        assert set(known["facts"]) == {"shape", "orientation", "foreground"}


# -- real images ---------------------------------------------------------------------------------


def test_real_images_of_every_kind_become_batches(shared, tmp_path):
    """Two of each category: radiographs, mammograms and CT, as a 2D codec sees them."""
    whole = Cohort.from_manifest(shared / "data" / "MANIFEST.csv")
    kinds = ("cxr", "mammo", "msk-xray", "other-ct")
    chosen = [
        case
        for split in ("train", "dev-test")
        for kind in kinds
        for case in whole.of_split(split).where(category=kind).cases[:2]
    ]
    cohort = Cohort(tuple(chosen))
    sources = tuple(Source(kind, {"category": (kind,)}) for kind in kinds)
    lively = Augmentation(scale=(0.75, 2.0), resized=0.5, flips=(1,), gain=0.1)

    batches = make_batches(
        tmp_path, cohort, crop=128, sources=sources, augmentation=lively, foreground=0.5, batch=8
    )

    x, _ = batches.at(0)
    assert x.shape == (8, 1, 128, 128)
    assert np.isfinite(x).all()
    assert np.abs(x).max() <= 1
    assert (x.std(axis=(1, 2, 3)) > 0.01).mean() > 0.8
