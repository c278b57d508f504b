"""Lesions: drawn truly, put in homogeneous tissue, and followed through codecs of known deeds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from tests.evaluation.phantoms import body, changed, make, mapped, smooth_noise

from plica.errors import SettingsError, UnusablePixels
from plica.evaluation.fields import to_field, to_values
from plica.evaluation.lesions import draw_ball, find_patches, local_moments
from plica.evaluation.retention import (
    Plan,
    judge_planted,
    judge_removed,
    plan_lesions,
    plant,
)
from plica.image import Unit

MARGIN = (4, 4, 0)
PLAN = Plan((4.0, 8.0), (30.0, 60.0), seed=3)


def follow(image, codec, plan=PLAN, judge=judge_planted):
    decoded = to_values(codec(image))
    return judge(image, to_field(image), decoded, codec, plan, MARGIN)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(3.0, 12.0),
    st.tuples(st.floats(0.5, 1.5), st.floats(0.5, 1.5), st.floats(0.5, 3.0)),
    st.tuples(*[st.floats(-0.5, 0.5)] * 3),
)
def test_a_sphere_has_its_volume_whatever_the_spacing_and_place(diameter, spacing, off):
    shape = tuple(int(diameter / step) + 5 for step in spacing)
    centre = tuple((side - 1) / 2 + part for side, part in zip(shape, off, strict=True))

    ball = draw_ball(shape, spacing, centre, diameter)

    volume = ball.sum() * np.prod(spacing)
    assert volume == pytest.approx(np.pi / 6 * diameter**3, rel=0.025)
    middle = [(np.indices(shape)[n] * ball).sum() / ball.sum() for n in range(3)]
    # A voxel's middle stands for all of it: where few voxels reach across, the mean is coarse.
    fine = np.array(spacing) < diameter / 4
    assert np.abs(np.array(middle) - centre)[fine].max(initial=0.0) < 0.03


def test_a_disc_has_its_area():
    disc = draw_ball((40, 30, 1), (0.5, 0.7, 9.0), (19.3, 14.8, 0.0), 8.0)

    assert disc.sum() * 0.35 == pytest.approx(np.pi * 16, rel=0.005)
    assert ((disc > 0) & (disc < 1)).sum() > 30  # its border is partial volume


def test_lesions_stand_in_homogeneous_tissue_and_apart():
    image = body()
    field = to_field(image)

    patches = find_patches(field, 8.0, margin=MARGIN, seed=1, most=12)

    assert len(patches) >= 4
    taken = np.zeros(field.values.shape, int)
    for patch in patches:
        box = field.values[patch.box]
        assert box.shape == patch.shape
        assert -150 < box.mean() < 150
        assert box.std() < 40
        taken[patch.box] += 1
    assert taken.max() == 1


def test_the_same_seed_draws_the_same_places():
    field = to_field(body())
    drawn = [find_patches(field, 6.0, margin=MARGIN, seed=seed, most=5) for seed in (1, 1, 2)]
    places = [[patch.start for patch in patches] for patches in drawn]

    assert places[0] == places[1] != places[2]


def test_a_codec_that_keeps_everything_keeps_every_lesion():
    for lesion in follow(body(), lambda image: image):
        assert lesion.retention == pytest.approx(1.0, abs=1e-6)
        assert lesion.erased == pytest.approx(0.0, abs=1e-6)
        assert lesion.invented == pytest.approx(0.0, abs=1e-6)
        assert lesion.detectability_decoded == pytest.approx(lesion.detectability_source)


def test_a_codec_that_halves_contrast_keeps_half_of_every_lesion():
    for lesion in follow(body(), mapped(lambda x: 50 + (x - 50) / 2)):
        assert lesion.retention == pytest.approx(0.5, abs=1e-5)
        # The noise is halved too: the lesion is as easy to see as before.
        assert lesion.detectability_decoded == pytest.approx(lesion.detectability_source, rel=1e-3)


def test_a_codec_that_always_shows_the_same_image_erases_what_is_planted():
    image = body()

    for lesion in follow(image, lambda _: image):
        assert lesion.retention == pytest.approx(0.0, abs=1e-9)
        assert lesion.erased == pytest.approx(1.0, abs=1e-9)
        assert lesion.invented == pytest.approx(0.0, abs=1e-9)


def test_and_puts_back_what_was_removed():
    image = body()

    (found,) = follow(image, lambda _: image, judge=judge_removed)

    assert found.kind == "removed"
    assert found.n >= 3
    assert found.invented == pytest.approx(1.0, abs=1e-6)
    assert found.erased == pytest.approx(0.0, abs=1e-6)


def test_a_codec_that_plants_lesions_everywhere_is_told_from_one_that_erases_them():
    image = body()
    field = to_field(image)
    patches = find_patches(field, max(PLAN.diameters), margin=MARGIN, seed=PLAN.seed, most=12)

    def invents(one):
        return plant(one, [(patch, (8.0, 60.0)) for patch in patches])

    # The same lesion is added with and without: nothing is lost of the difference …
    kept = follow(image, invents, Plan((8.0,), (60.0,), seed=PLAN.seed))[0]
    assert kept.retention == pytest.approx(1.0, abs=1e-4)
    # … but where there was none there is one now, and where there was one it is twice as strong.
    assert kept.invented == pytest.approx(1.0, abs=1e-4)
    assert kept.erased == pytest.approx(-1.0, abs=1e-4)


def test_retention_is_what_is_neither_erased_nor_invented():
    for lesion in follow(body(), mapped(lambda x: gaussian_filter(x, (2, 2, 0)))):
        assert lesion.retention == pytest.approx(1 - lesion.erased - lesion.invented, abs=1e-9)


def test_blur_takes_more_of_small_lesions_and_the_same_of_faint_ones():
    found = follow(body(), mapped(lambda x: gaussian_filter(x, (2, 2, 0))))
    kept = {(lesion.diameter, lesion.contrast): lesion.retention for lesion in found}

    assert kept[4.0, 60.0] < kept[8.0, 60.0] - 0.1
    assert kept[4.0, 30.0] == pytest.approx(kept[4.0, 60.0], abs=0.03)


def test_detectability_is_contrast_over_noise():
    image = make(40 + 20 * np.random.default_rng(0).normal(size=(128, 128, 1)))
    plan = Plan((12.0,), (15.0,))
    smoother = mapped(lambda x: gaussian_filter(x, (3, 3, 0)))
    fainter = mapped(lambda x: 40 + 0.5 * (gaussian_filter(x, (3, 3, 0)) - 40))

    (smooth,), (faint,) = follow(image, smoother, plan), follow(image, fainter, plan)

    assert smooth.retention < 0.98
    assert faint.retention == pytest.approx(0.5 * smooth.retention, rel=1e-3)
    # Half the contrast over half the noise is as easy to see.
    assert faint.detectability_decoded == pytest.approx(smooth.detectability_decoded, rel=1e-3)


def test_spheres_of_a_volume_are_followed_in_millimetres():
    shape = (56, 48, 20)
    noise = np.random.default_rng(0).normal(0, 8, shape)
    image = make(40 + noise, spacing=(0.8, 0.9, 2.5))

    found = judge_planted(
        image, to_field(image), 0.6 * to_values(image), mapped(lambda x: 0.6 * x),
        Plan((8.0,), (50.0,)), (2, 2, 1),
    )  # fmt: skip

    assert found[0].length == "mm"
    assert found[0].retention == pytest.approx(0.6, abs=1e-4)


def test_whole_numbers_are_measured_by_what_rounding_left():
    image = make(np.rint(to_values(body())), dtype=np.int16, spacing=(0.8, 0.8, 1))

    for lesion in follow(image, lambda one: one):
        assert lesion.retention == pytest.approx(1.0, abs=1e-9)


def test_a_lesion_that_rounding_takes_is_not_judged():
    image = make(np.rint(to_values(body())), dtype=np.int16)

    found = follow(image, lambda one: one, Plan((8.0,), (0.3, 60.0), seed=3))

    assert [lesion.contrast for lesion in found] == [60.0]


def test_structures_that_rounding_leaves_as_they_are_are_refused():
    """A ramp is continued through a hole as it was."""
    ramp = make(np.arange(96.0)[:, None, None] + np.zeros((96, 96, 1)), dtype=np.int16)

    with pytest.raises(UnusablePixels, match="changes nothing that rounding to int16 leaves"):
        follow(ramp, lambda one: one, judge=judge_removed)


def test_noise_decides_nothing_of_a_large_lesion_in_a_random_codec():
    rng = np.random.default_rng(5)
    found = follow(body(), mapped(lambda x: x + rng.normal(0, 10, x.shape)), Plan((8.0,), (60.0,)))

    assert found[0].retention == pytest.approx(1.0, abs=0.08)
    assert found[0].detectability_decoded < found[0].detectability_source * 1.1


def test_plans_suit_the_unit_and_the_size():
    ct, picture = body(), make(smooth_noise((96, 96, 1), 2), unit=Unit.DISPLAY, calibrated=False)

    assert plan_lesions(to_field(ct)).contrasts == (20.0, 40.0, 80.0)
    shares = np.array(plan_lesions(to_field(picture)).contrasts) / to_field(picture).span
    assert shares == pytest.approx([0.02, 0.05, 0.10])
    assert plan_lesions(to_field(picture)).diameters == (4.0, 8.0, 16.0)


def test_lesions_no_voxel_can_show_are_left_out():
    coarse = make(smooth_noise((64, 64, 8), 2), spacing=(2.0, 2.0, 8.0))

    assert plan_lesions(to_field(coarse)).diameters == (6.0, 12.0)


def test_an_image_without_homogeneous_tissue_is_refused():
    lung = make(-800 + 30 * np.random.default_rng(0).normal(size=(64, 64, 1)))

    with pytest.raises(UnusablePixels, match=r"no homogeneous place.*ask for smaller lesions"):
        find_patches(to_field(lung), 6.0, margin=MARGIN, seed=0, most=3)


def test_lesions_stand_in_lung_where_it_is_asked_for():
    values = 40 + 8 * np.random.default_rng(0).normal(size=(96, 96, 1))
    values[:, 40:] = -800 + 90 * np.random.default_rng(1).normal(size=(96, 56, 1))
    image = make(values)

    lung, soft = (
        follow(image, lambda one: one, replace(PLAN, tissue=tissue)) for tissue in ("lung", "soft")
    )

    assert all(-950 < one.background_low <= one.background_high < -500 for one in lung)
    assert all(-150 < one.background_low <= one.background_high < 150 for one in soft)
    assert lung[0].retention == pytest.approx(1.0, abs=1e-6)


def test_lung_is_told_by_hounsfield_units_alone():
    picture = make(smooth_noise((96, 96, 1), 2), unit=Unit.DISPLAY)

    with pytest.raises(UnusablePixels, match="stand in lung, which is told by HU"):
        follow(picture, lambda one: one, replace(PLAN, tissue="lung"))
    with pytest.raises(SettingsError, match="cannot be planted in 'liver'; there are: soft, lung"):
        replace(PLAN, tissue="liver")


def test_an_image_smaller_than_a_lesion_is_refused():
    small = make(smooth_noise((20, 20, 1), 1))

    with pytest.raises(UnusablePixels, match="too small for a lesion of 30"):
        find_patches(to_field(small), 30.0, margin=MARGIN, seed=0, most=3)
    with pytest.raises(UnusablePixels, match="none of the lesions"):
        plan_lesions(to_field(small), diameters=(0.5,))


def test_smaller_lesions_that_were_left_out_with_the_largest_are_named():
    """Each stands in a box for the largest: asked for alone, they are planted."""
    small = make(40 + 8 * np.random.default_rng(0).normal(size=(40, 40, 1)))
    plan = Plan((3.0, 6.0, 30.0), (40.0,))

    with pytest.raises(UnusablePixels) as refused:
        follow(small, lambda one: one, plan)

    said = str(refused.value)
    assert "too small for a lesion of 30 mm" in said
    assert "All those of 3, 6 and 30 mm were left out with it" in said
    assert said.endswith("ask for smaller ones alone, as by --diameter 3 --diameter 6")
    alone = follow(small, lambda one: one, replace(plan, diameters=(3.0, 6.0)))
    assert [one.diameter for one in alone] == [3.0, 6.0]


def test_where_no_lesion_has_room_no_smaller_one_is_proposed():
    narrow = make(40 + 8 * np.random.default_rng(0).normal(size=(10, 40, 1)))

    with pytest.raises(UnusablePixels, match="there is no room for the smaller ones either"):
        follow(narrow, lambda one: one, Plan((3.0, 6.0), (40.0,)))
    with pytest.raises(UnusablePixels, match=r"give a larger image, or ask for smaller lesions$"):
        follow(narrow, lambda one: one, Plan((6.0,), (40.0,)))


def test_smaller_lesions_do_not_help_where_tissue_cannot_be_told():
    picture = make(smooth_noise((96, 96, 1), 2), unit=Unit.DISPLAY)

    with pytest.raises(UnusablePixels, match=r"or judge CT alone$"):
        follow(picture, lambda one: one, replace(PLAN, tissue="lung"))


@pytest.mark.parametrize("wrong", [((), (1.0,)), ((3.0,), (0.0,)), ((-3.0,), (1.0,))])
def test_a_plan_of_nothing_is_refused(wrong):
    with pytest.raises(SettingsError, match="diameters above zero"):
        Plan(*wrong)


def test_moments_of_boxes_are_those_of_numpy():
    values = np.random.default_rng(0).normal(1000, 1, (12, 12, 5))
    mean, deviation = local_moments(values, (5, 3, 3))
    box = values[4:9, 5:8, 1:4]

    assert mean[6, 6, 2] == pytest.approx(box.mean())
    assert deviation[6, 6, 2] == pytest.approx(box.std())


def test_colour_gets_the_lesion_in_every_channel():
    grey = make(np.random.default_rng(0).normal(size=(64, 64, 1)), unit=Unit.RELATIVE)
    colour = grey.with_pixels(np.repeat(grey.pixels, 3, axis=0))
    (patch,) = find_patches(to_field(colour), 6.0, margin=MARGIN, seed=0, most=1)

    planted = plant(colour, [(patch, (6.0, 0.5))])

    added = planted.pixels - colour.pixels
    assert (added[0] == added[2]).all()
    assert added.max() == pytest.approx(0.5)
    assert changed(grey, added[0]).pixels.shape == grey.pixels.shape


def test_a_plan_without_a_round_and_a_ball_without_a_size_are_refused():
    with pytest.raises(SettingsError, match="at least one round"):
        Plan((3.0,), (1.0,), rounds=0)
    with pytest.raises(SettingsError, match="above zero, but got 0"):
        draw_ball((5, 5, 5), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0), 0.0)
