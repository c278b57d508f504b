"""What networks see of an image: the right window, the right slices, the right way up."""

import numpy as np
import pytest

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.grid import Grid
from plica.image import Display, Image, Unit
from plica.metrics.pictures import (
    Sample,
    Window,
    choose_window,
    cut_slices,
    gather,
    shade,
    shrink,
    stack_pictures,
)


def make(pixels, unit=Unit.RELATIVE, *, affine=None, display=None) -> Image:
    pixels = np.asarray(pixels)
    grid = Grid(pixels.shape[1:], np.eye(4) if affine is None else affine)
    return Image(pixels, grid, unit, display=display or Display())


RAMP = np.linspace(0, 1000, 24).reshape(1, 4, 6, 1)


@pytest.mark.parametrize(
    ("image", "low", "high"),
    [
        (make(RAMP, Unit.HU), -1000, 1000),
        (make(RAMP.astype(np.uint8), Unit.DISPLAY), 0, 255),
        (make(RAMP, display=Display(center=300, width=200, function="LINEAR_EXACT")), 200, 400),
        (make(RAMP), 5, 995),
    ],
)
def test_the_window_is_the_unit_s_or_the_maker_s_or_one_of_percentiles(image, low, high):
    window = choose_window(image)

    assert (window.low, window.high) == pytest.approx((low, high))
    assert window.why


def test_values_become_grey_and_stay_in_range():
    grey = shade(np.array([[-50.0, 0.0, 50.0, 100.0, 900.0]]), Window(0, 100))
    turned = shade(np.array([[0.0, 25.0]]), Window(0, 100, inverted=True))

    np.testing.assert_allclose(grey, [[0, 0, 0.5, 1, 1]])
    np.testing.assert_allclose(turned, [[1, 0.75]])
    np.testing.assert_allclose(shade(np.array([[3.0, 3.0]]), Window(3, 3)), [[0, 0]])


def test_a_decoded_copy_is_seen_in_its_source_s_window():
    source = make(RAMP)
    brighter = make(RAMP + 200)
    window = choose_window(source)

    seen = [
        next(cut_slices(Sample(image, "p", "n", window)))[1].mean() for image in (source, brighter)
    ]
    own = [next(cut_slices(Sample(image, "p", "n")))[1].mean() for image in (source, brighter)]

    assert seen[1] > seen[0] + 0.1
    assert own[0] == pytest.approx(own[1], abs=1e-6)


def test_a_radiograph_is_one_picture_of_rows_and_columns():
    pixels = np.zeros((1, 4, 6, 1))
    pixels[0, 3, 1, 0] = 1.0  # column 3, row 1

    ((name, picture),) = cut_slices(Sample(make(pixels), "p", "chest", Window(0, 1)))

    assert name == "chest"
    assert picture.shape == (1, 6, 4)
    assert np.argwhere(picture[0]).tolist() == [[1, 3]]


def test_slices_of_a_volume_stand_evenly_across_its_acquired_axis_the_right_way_up():
    """RAS voxels, thick along the second: coronal slices, the head up, the patient's left right."""
    pixels = np.zeros((1, 5, 40, 7))
    pixels[0, 0, :, 6] = 1.0  # most right, highest
    pixels[0, 4, :, 0] = 0.5  # most left, lowest
    affine = np.diag([1.0, 3.0, 1.0, 1.0])
    pictures = list(cut_slices(Sample(make(pixels, affine=affine), "p", "ct", Window(0, 1)), 4))

    assert [name for name, _ in pictures] == ["ct slice 5", "ct slice 15", "ct slice 25",
                                              "ct slice 35"]  # fmt: skip
    for _, picture in pictures:
        assert picture.shape == (1, 7, 5)
        # the image's i grows to the right of the patient in RAS+; on screen the left is right
        assert picture[0, 0].max() == 1.0
        assert picture[0, -1].max() == 0.5
        assert np.argmax(picture[0, 0]) != np.argmax(picture[0, -1])


def test_thin_volumes_give_all_their_slices():
    sample = Sample(make(np.random.default_rng(0).normal(size=(1, 8, 8, 3))), "p", "mr")

    assert len(list(cut_slices(sample, 8))) == 3


def test_shrunk_images_have_one_size_and_keep_their_middle():
    flat = Sample(make(np.tile(np.linspace(0, 255, 300)[None, :, None, None], (1, 1, 90, 1))
                       .astype(np.uint8), Unit.DISPLAY), "a", "a")  # fmt: skip
    small = shrink(flat)

    assert small.shape == (256, 256, 1)
    np.testing.assert_allclose(small[:, 128, 0], (np.arange(256) + 0.5) / 256, atol=0.01)


def test_volumes_are_turned_before_they_are_shrunk():
    pixels = np.random.default_rng(0).normal(size=(1, 20, 24, 30)).cumsum(axis=2)
    there = make(pixels)
    turned = make(pixels[:, ::-1], affine=np.diag([-1.0, 1, 1, 1]))

    np.testing.assert_allclose(
        shrink(Sample(there, "a", "a")), shrink(Sample(turned, "a", "a")), atol=1e-5
    )
    assert gather([Sample(there, "a", "x")]).values.shape == (1, 64, 64, 64)


def test_what_makes_no_picture_is_refused():
    with pytest.raises(UnusablePixels, match="class labels"):
        choose_window(make(RAMP.astype(np.uint8), Unit.LABEL))
    with pytest.raises(UnusablePixels, match="NaN or infinite"):
        choose_window(make(np.where(RAMP > 500, np.nan, RAMP)))
    with pytest.raises(UnusablePixels, match="NaN or infinite"):
        shade(np.array([[np.inf]]), Window(0, 1))
    with pytest.raises(UnusablePixels, match="1 or 3 channels"):
        shade(np.zeros((2, 4, 4)), Window(0, 1))
    with pytest.raises(SettingsError, match="1 or more slices"):
        list(cut_slices(Sample(make(RAMP), "p", "n"), 0))
    with pytest.raises(InputError, match="no images"):
        gather([])
    with pytest.raises(InputError, match="choose one kind"):
        stack_pictures([
            (np.zeros((4, 4, 1), np.float32), "a", "a"),
            (np.zeros((4, 4, 4), np.float32), "b", "b"),
        ])  # fmt: skip
