"""A sample is the same whatever the order, and a crop lies where it lay in the patient."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.conftest import TURNED, mark

from plica.cohort import Case, Cohort
from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.evaluation.protocol import (
    Crop,
    Group,
    Protocol,
    Resize,
    Sample,
    read_protocol,
)
from plica.evaluation.selection import parse_boxes, prepare, select
from plica.grid import Grid
from plica.image import Image, Unit

CHEST = Group("chests", data=("mimic-cxr",), where={"category": ("cxr",)})
BREAST = Group("breasts", data=("cmmd", "vindr-mammo"))
BOTH = Protocol("both", 1, "Both.", ("psnr",), groups=(CHEST, BREAST), sample=Sample(5, 3))


def case(number, split="test", **labels):
    return Case(f"p{number // 2}", "", f"s{number}", Path(f"{number}.png"), split, labels)


def chests(count, **how):
    return [case(n, category="cxr", **how) for n in range(count)]


def breasts(count, start=100):
    return [case(n, dataset="cmmd") for n in range(start, start + count)]


def cohort(*cases):
    return Cohort(tuple(one for some in cases for one in some))


def keys(selection):
    return [(one.case.key, one.group, one.draw) for one in selection]


# -- which images --------------------------------------------------------------------------------


@settings(deadline=None)  # times of a machine that others use too
@given(st.permutations(chests(12) + breasts(9)))
def test_the_sample_is_the_same_whatever_the_order(cases):
    assert keys(select(BOTH, Cohort(tuple(cases)))) == keys(
        select(BOTH, cohort(chests(12), breasts(9)))
    )


def test_each_draw_has_as_many_images_as_asked_and_each_once():
    drawn = select(BOTH, cohort(chests(12), breasts(9)))
    assert len(drawn) == 3 * 2 * 5
    assert len(set(keys(drawn))) == len(drawn)
    assert drawn.groups == ("chests", "breasts")
    assert drawn.split == "test"


def test_seeds_draw_different_images():
    cases = cohort(chests(40), breasts(40))
    drawn = select(BOTH, cases)
    draws = [{one.case.key for one in drawn if one.draw == draw} for draw in range(3)]
    assert draws[0] != draws[1] != draws[2] != draws[0]
    other = replace(BOTH, sample=Sample(5, 1, seed=7))
    assert {one.case.key for one in select(other, cases)} not in draws


def test_the_second_draw_is_the_first_one_of_the_next_seed():
    cases = cohort(chests(40), breasts(40))
    second = [one.case.key for one in select(BOTH, cases) if one.draw == 1]
    later = replace(BOTH, sample=Sample(5, 1, seed=1))
    assert [one.case.key for one in select(later, cases)] == second


def test_one_case_more_changes_one_of_the_drawn_at_most():
    before, after = (
        {one.case.key for one in select(replace(BOTH, sample=Sample(5)), cases)}
        for cases in (cohort(chests(30), breasts(5)), cohort(chests(31), breasts(5)))
    )
    assert len(before - after) <= 1


def test_every_image_has_its_chance():
    drawn = {
        one.case.key
        for seed in range(60)
        for one in select(
            replace(BOTH, sample=Sample(5, 1, seed=seed)), cohort(chests(20), breasts(5))
        )
    }
    assert len(drawn) == 25


def test_fewer_images_than_asked_are_taken_once_and_it_is_said():
    drawn = select(BOTH, cohort(chests(4), breasts(9)))
    assert sum(one.group == "chests" for one in drawn) == 4
    assert "chests: all 4 are judged, once" in drawn.notes[0]
    strict = replace(BOTH, sample=Sample(5, 3, fewer="refuse"))
    with pytest.raises(InputError, match="draws 5 chests, and the cohort has 4"):
        select(strict, cohort(chests(4), breasts(9)))


def test_a_group_that_is_missing_is_named_with_where_its_images_are():
    with pytest.raises(InputError, match="needs images of breasts") as caught:
        select(BOTH, cohort(chests(9)))
    message = str(caught.value)
    for needed in ("dataset", "cmmd", "10.7937/tcia.eqde-4b16", "vindr-mammo", "judge only chests"):
        assert needed in message
    assert len(select(BOTH, cohort(chests(9)), groups=["chests"])) == 15
    with pytest.raises(UnknownName, match="did you mean 'chests'"):
        select(BOTH, cohort(chests(9)), groups=["chest"])


def test_a_case_of_two_groups_is_refused():
    two = [case(0, category="cxr", dataset="cmmd")]
    with pytest.raises(InputError, match="belongs to chests and breasts"):
        select(BOTH, cohort(two, chests(9)[1:], breasts(9)))


def test_nothing_that_was_trained_on_is_judged_unasked():
    mixed = cohort(chests(4, split="train"), breasts(9))
    with pytest.raises(InputError, match="needs images of chests"):
        select(BOTH, mixed)
    trained = cohort(chests(4, split="train"))
    with pytest.raises(InputError, match="say which split"):
        select(BOTH, trained)
    assert len(select(BOTH, trained, split="train", groups=["chests"])) == 4
    assert select(BOTH, cohort(chests(4, split="")), groups=["chests"]).split == ""


def test_an_empty_cohort_is_refused():
    with pytest.raises(InputError, match="empty"):
        select(read_protocol("reconstruction"), Cohort(()))


def test_the_default_takes_every_image_of_any_cohort():
    protocol = read_protocol("reconstruction")
    drawn = select(protocol, cohort(chests(3), breasts(2)))
    assert [(one.group, one.draw) for one in drawn] == [("", 0)] * 2 + [("cxr", 0)] * 3
    assert len(select(protocol, cohort(chests(3)), groups=["cxr"])) == 3
    with pytest.raises(InputError, match="no image has category 'mri'"):
        select(protocol, cohort(chests(3)), groups=["mri"])


def test_a_limit_holds_for_every_group_whatever_it_draws_and_is_said():
    """A group with a sample of its own, one without, one with fewer images, and a refusing one."""
    own = replace(BREAST, sample=Sample(4, 4))
    protocol = replace(BOTH, groups=(CHEST, own), sample=Sample(5, 3, fewer="refuse"))

    drawn = select(protocol, cohort(chests(12), breasts(9)), limit=2)

    assert [(one.group, one.draw) for one in drawn] == [("chests", 0)] * 2 + [("breasts", 0)] * 2
    assert drawn.notes == (
        "chests: 2 of 12, in one draw: limited to 2, where the protocol draws 5 in each of 3 draws",
        "breasts: 2 of 9, in one draw: limited to 2, where the protocol draws 4 in each of 4 draws",
    )
    many = select(protocol, cohort(chests(12), breasts(9)), limit=1000)
    assert [sum(one.group == name for one in many) for name in ("chests", "breasts")] == [5, 4]
    few = select(protocol, cohort(chests(1), breasts(9)), limit=2)
    assert sum(one.group == "chests" for one in few) == 1
    first = [one.case.key for one in select(protocol, cohort(chests(12), breasts(9)))]
    assert {one.case.key for one in drawn} <= set(first)
    every = Protocol("every", 1, "Every one.", ("psnr",))
    assert select(every, cohort(chests(3)), limit=2).notes == (
        "images: 2 of 3, in one draw: limited to 2, where the protocol draws all",
    )
    with pytest.raises(SettingsError, match="at least one image"):
        select(every, cohort(chests(3)), limit=0)


def test_a_protocol_of_probes_draws_no_sample():
    with pytest.raises(SettingsError, match="plica evaluate probe"):
        select(read_protocol("medvae-table-4"), cohort(chests(3)))


def test_real_images_are_judged_by_the_published_protocols(shared):
    from plica.formats.doors import read

    real = Cohort.from_manifest(shared / "data" / "MANIFEST.csv")
    five = read_protocol("medvae-table-5")
    drawn = select(five, real)
    assert drawn.split == "dev-test"
    assert set(drawn.groups) == {"Mammograms", "Chest X-rays", "Musculoskeletal X-rays"}
    one = next(one for one in drawn if one.group == "Chest X-rays")
    image = read(one.case.path)
    assert prepare(image, five, one.group).data_range == np.ptp(image.pixels.astype(int))


# -- what of them --------------------------------------------------------------------------------

CROPPING = Protocol(
    "cropping", 1, "Crop.", ("psnr",), dims=3,
    groups=(Group("all", where={"a": ("b",)}, crop=Crop((10, 16, 8))),),
)  # fmt: skip


def place_of(image):
    index = np.argwhere(image.pixels[0] > 500).mean(axis=0)
    return image.grid.to_world(index)


@pytest.mark.parametrize("grid", TURNED)
def test_a_crop_lies_where_it_lay_in_the_patient_however_the_volume_is_stored(grid):
    image = mark(grid, (3.0, 2.0, -1.5))
    made = prepare(image, CROPPING, "all").image
    assert np.allclose(place_of(made), place_of(image), atol=1e-9)
    corners = made.grid.to_world([(-0.5, -0.5, -0.5), np.array(made.grid.shape) - 0.5])
    assert np.allclose(np.abs(corners[1] - corners[0]), (10 * 2.0, 16 * 1.0, 8 * 3.0))
    middle = made.grid.to_world((np.array(made.grid.shape) - 1) / 2)
    assert np.allclose(middle, grid.to_world((np.array(grid.shape) - 1) / 2), atol=1e-9)


def test_an_odd_rest_of_a_crop_stays_at_the_far_end():
    image = mark(Grid.from_spacing((5, 5, 5)), (0, 0, 0))
    protocol = replace(CROPPING, groups=(replace(CROPPING.groups[0], crop=Crop((2, 3, 4))),))
    made = prepare(image, protocol, "all").image
    assert made.grid.origin_mm == (1.0, 1.0, 0.0)
    assert made.grid.shape == (2, 3, 4)


def test_an_image_smaller_than_the_crop_gives_what_is_there_or_is_refused():
    image = mark(Grid.from_spacing((8, 20, 20)), (4.0, 10.0, 10.0))
    made = prepare(image, CROPPING, "all")
    assert made.image.grid.shape == (8, 16, 8)
    assert "the image is smaller" in made.notes[-1]
    crop = Crop((10, 16, 8), smaller="refuse")
    strict = replace(CROPPING, groups=(replace(CROPPING.groups[0], crop=crop),))
    with pytest.raises(UnusablePixels, match=r"crops of \(10, 16, 8\)"):
        prepare(image, strict, "all")


def test_pictures_and_volumes_are_not_mistaken_for_each_other():
    flat = mark(Grid.from_spacing((30, 30, 1)), (9.0, 9.0, 0.0))
    with pytest.raises(UnusablePixels, match="as volumes, and this is a picture"):
        prepare(flat, CROPPING, "all")
    with pytest.raises(UnusablePixels, match="as pictures, and this is a volume"):
        prepare(mark(Grid.from_spacing((30, 30, 30)), (9, 9, 9)), replace(CROPPING, dims=2), "all")


def windowed(**how):
    group = Group("ct", where={"a": ("b",)}, window=(-1000.0, 1000.0))
    return Protocol("ct", 1, "CT.", ("psnr",), groups=(group,), **how)


def test_ct_is_clipped_to_the_window_and_that_is_its_range():
    values = np.array([-2000, -1000, 0, 1000, 3000], np.int16).reshape(1, 5, 1, 1)
    image = Image(values, Grid.from_spacing((5, 1, 1)), Unit.HU)
    made = prepare(image, windowed(value_range="window or own"), "ct")
    assert made.image.pixels.ravel().tolist() == [-1000, -1000, 0, 1000, 1000]
    assert made.image.pixels.dtype == np.int16
    assert made.data_range == 2000
    assert prepare(image, windowed(), "ct").data_range is None


def test_bytes_are_clipped_as_far_as_bytes_go():
    image = Image(np.full((1, 2, 2, 2), 200, np.uint8), Grid.from_spacing((2, 2, 2)), Unit.HU)
    assert prepare(image, windowed(), "ct").image.pixels.max() == 200


def test_fractions_are_clipped_at_the_very_ends_of_the_window():
    group = Group("ct", where={"a": ("b",)}, window=(-0.5, 0.5))
    protocol = Protocol("ct", 1, "CT.", ("psnr",), groups=(group,))
    values = np.array([-2.0, 0.25, 3.0], np.float32).reshape(1, 3, 1, 1)

    made = prepare(Image(values, Grid.from_spacing((3, 1, 1)), Unit.HU), protocol, "ct")

    assert made.image.pixels.ravel().tolist() == [-0.5, 0.25, 0.5]
    assert made.image.pixels.dtype == np.float32


def test_other_units_have_the_range_of_the_whole_image_before_it_is_cut():
    pixels = np.zeros((1, 20, 20, 20), np.float32)
    pixels[0, 0, 0, 0] = 50.0
    image = Image(pixels, Grid.from_spacing((20, 20, 20)), Unit.RELATIVE)
    made = prepare(image, replace(CROPPING, value_range="window or own"), "all")
    assert made.image.pixels.max() == 0
    assert made.data_range == 50
    flat = image.with_pixels(np.zeros_like(pixels))
    assert prepare(flat, replace(CROPPING, value_range="window or own"), "all").data_range is None


def resizing(**how):
    group = Group("all", where={"a": ("b",)}, resize=Resize(**how))
    return Protocol("resizing", 1, "Resize.", ("psnr",), groups=(group,))


def test_a_volume_is_resized_along_the_patient_and_a_picture_along_its_rows():
    for grid in TURNED[:12]:
        made = prepare(mark(grid, (3.0, 2.0, -1.5)), resizing(shape=(12, 16, 10)), "all").image
        assert np.allclose(place_of(made), (3.0, 2.0, -1.5), atol=2.0)
        sides = dict(zip(made.grid.orientation, made.grid.shape, strict=True))
        assert {sides.get("R", sides.get("L")), sides.get("A", sides.get("P"))} == {12, 16}
    flat = mark(Grid.from_spacing((20, 40, 1)), (9.0, 9.0, 0.0))
    assert prepare(flat, resizing(shape=(10, 30, 1)), "all").image.grid.shape == (10, 30, 1)
    assert prepare(flat, resizing(longest=20), "all").image.grid.shape == (10, 20, 1)


# -- boxes ---------------------------------------------------------------------------------------

BOXED = Protocol(
    "boxed", 1, "Boxes.", ("psnr",), dims=2,
    groups=(Group("all", data=("grazpedwri-dx",), boxes="where"),),
)  # fmt: skip


def test_boxes_are_the_pixels_between_their_edges():
    image = mark(Grid.from_spacing((20, 10, 1)), (0, 0, 0))
    region = prepare(image, BOXED, "all", labels={"where": "2 3 5 4; 18 8 99 99"}).region
    assert np.argwhere(region[..., 0]).tolist() == [
        [2, 3], [3, 3], [4, 3], [18, 8], [18, 9], [19, 8], [19, 9],
    ]  # fmt: skip


def test_boxes_follow_their_pixels_through_a_resize():
    image = mark(Grid.from_spacing((20, 10, 1)), (0, 0, 0))
    half = replace(BOXED, groups=(replace(BOXED.groups[0], resize=Resize((10, 5, 1))),))
    region = prepare(image, half, "all", labels={"where": "2 4 6 6"}).region
    assert np.argwhere(region[..., 0]).tolist() == [[1, 2], [2, 2]]


@pytest.mark.parametrize("text", ["1 2 3", "a b c d", "5 5 5 9", "1 2 nan 4"])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(InputError, match="a box is"):
        parse_boxes(text)


def test_an_image_without_boxes_is_refused():
    image = mark(Grid.from_spacing((20, 10, 1)), (0, 0, 0))
    for text in ("", "30 30 40 40"):
        with pytest.raises(InputError, match="box"):
            prepare(image, BOXED, "all", labels={"where": text})
