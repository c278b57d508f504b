"""Views are what their formula says, in the image's own type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.augmentation.made import soften

from plica.augmentation.folds import draw_folds
from plica.augmentation.views import blend, derive, parse_views, scaled
from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit


def image(values, unit=Unit.HU):
    array = np.asarray(values).reshape(1, -1, 1, 1)
    return Image(array, Grid.from_spacing(array.shape[1:]), unit)


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=8), st.floats(0, 10))
def test_strength_0_is_the_image_and_1_the_reconstruction(values, strength):
    x = image(np.array(values, np.int16))
    raw, half = derive(x, soften, scaled(0.0)), derive(x, soften, scaled(1.0))
    assert raw is x
    np.testing.assert_array_equal(half.pixels, np.rint(x.pixels / 2))
    shown = derive(x, soften, scaled(strength)).pixels
    wanted = np.clip(np.rint(x.pixels * (1 - strength / 2)), -32768, 32767)
    assert shown.dtype == np.int16
    assert np.abs(shown - wanted).max() <= 1  # of two ways to round a half


def test_the_image_itself_is_never_reconstructed():
    def refuse(image):
        raise AssertionError("reconstructed in vain")

    assert derive(image([1.0]), refuse, scaled(0.0)).pixels.item() == 1.0


def test_views_are_named_once_and_in_order():
    assert [v.name for v in parse_views(["mixed", "raw", "residual"], [0.5, 1.0])] == [
        "raw", "residual-0.5", "reconstructed",
    ]  # fmt: skip
    assert [v.ending for v in parse_views(["mixed"], [0.25])] == [
        "", "-residual-0p25", "-reconstructed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "strengths", "kind"),
    [(["blurred"], [], UnknownName), (["residual"], [], SettingsError), ([], [], SettingsError),
     ([], [-0.1], SettingsError), ([], [float("nan")], SettingsError), ([], [11], SettingsError)],
)  # fmt: skip
def test_views_that_make_no_sense_are_refused(names, strengths, kind):
    with pytest.raises(kind):
        parse_views(names, strengths)


def test_real_values_are_not_rounded():
    x = image(np.array([1.0, 70000.0], np.float32))
    half = blend(x, soften(x), 0.5).pixels
    assert half.dtype == np.float32
    np.testing.assert_array_equal(half.ravel(), [0.75, 52500.0])


def test_a_reconstruction_of_another_kind_is_refused():
    x = image([1.0, 2.0])
    with pytest.raises(InputError, match="grid"):
        blend(x, image([1.0]), 0.5)
    with pytest.raises(InputError, match="must be alike"):
        blend(x, x.with_pixels(x.pixels, unit=Unit.RELATIVE), 0.5)
    with pytest.raises(UnusablePixels):
        blend(x, x.with_pixels(x.pixels * np.nan), 0.5)


@given(st.sets(st.text(min_size=1), min_size=2, max_size=30), st.integers(2, 5), st.integers(0, 9))
def test_folds_hold_each_patient_out_once_whatever_their_order(patients, folds, seed):
    if len(patients) < folds:
        with pytest.raises(InputError):
            draw_folds(patients, folds, seed=seed)
        return
    drawn = draw_folds(sorted(patients), folds, seed=seed)
    assert drawn == draw_folds(sorted(patients, reverse=True), folds, seed=seed)
    assert sorted(p for fold in drawn for p in fold) == sorted(patients)
    sizes = [len(fold) for fold in drawn]
    assert max(sizes) - min(sizes) <= 1


def test_other_seeds_draw_other_folds():
    patients = [str(n) for n in range(20)]
    assert draw_folds(patients, 4, seed=0) != draw_folds(patients, 4, seed=1)
    with pytest.raises(SettingsError):
        draw_folds(patients, 1)
