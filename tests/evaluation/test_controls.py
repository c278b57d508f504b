"""Controls: denoisers that lose as much as they were asked to."""

import numpy as np
import pytest
from skimage.restoration import denoise_nl_means
from tests.evaluation.phantoms import body, make

from plica.errors import UnknownName, UnusablePixels
from plica.evaluation import controls
from plica.evaluation.controls import CLOSE, DENOISERS, PATCH, SEARCH, match_control
from plica.evaluation.edges import judge_edges
from plica.evaluation.fields import to_field, to_values
from plica.image import Unit


def rms_between(one, other):
    return float(np.sqrt(((to_values(one) - to_values(other)) ** 2).mean()))


@pytest.mark.parametrize("name", ["tv", "nlm"])
@pytest.mark.parametrize("rms", [4.0, 12.0])
def test_a_control_loses_as_much_as_was_asked(name, rms):
    image = body((96, 88, 1))

    control = match_control(image, name, rms)

    assert control.rms == pytest.approx(rms, rel=2 * CLOSE)
    assert rms_between(image, control.reconstruct(image)) == pytest.approx(control.rms, rel=1e-4)


@pytest.mark.parametrize("name", ["tv", "nlm"])
def test_a_control_takes_noise_and_leaves_edges_where_they_are(name):
    image = body((128, 112, 1), noise=15.0)
    truth = body((128, 112, 1), noise=0.0)

    control = match_control(image, name, 14.0)
    denoised = control.reconstruct(image)

    assert rms_between(denoised, truth) < 0.6 * rms_between(image, truth)
    moved = judge_edges(to_field(image), to_values(denoised), (4, 4, 1))
    assert np.abs(moved.translation).max() < 0.03


def test_non_local_means_beside_its_mirror_image_moves_nothing():
    """scikit-image's alone does, where it is strong."""
    image = body()
    field, strength = to_field(image), 200.0

    alone = denoise_nl_means(
        to_values(image)[..., 0], patch_size=PATCH, patch_distance=SEARCH, h=strength
    )[..., None]
    ours = DENOISERS["nlm"](to_values(image)[..., 0], strength)[..., None]
    steps = [
        np.abs(np.divide(judge_edges(field, one, (4, 4, 1)).translation, field.spacing)).max()
        for one in (alone, ours)
    ]

    assert steps[0] > 0.03  # of a voxel
    assert steps[1] < 0.003


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_pixels_keep_their_type_grid_and_unit(dtype):
    image = make(np.rint(to_values(body((64, 64, 3)))), (1.0, 1.0, 4.0), dtype=dtype)
    denoised = match_control(image, "tv", 5.0).reconstruct(image)

    assert denoised.pixels.dtype == dtype
    assert denoised.grid == image.grid
    assert denoised.unit is image.unit


def test_slices_are_denoised_one_by_one():
    image = body((48, 48, 4), (1.0, 1.0, 5.0))
    control = match_control(image, "tv", 5.0)
    pixels = image.pixels.copy()
    pixels[..., 2] = 0.0

    other = control.reconstruct(image.with_pixels(pixels))

    assert (other.pixels[..., 1] == control.reconstruct(image).pixels[..., 1]).all()


def test_colour_is_denoised_channel_by_channel():
    grey = make(to_values(body((48, 48, 1))) + 1024, unit=Unit.DISPLAY)
    colour = grey.with_pixels(np.repeat(grey.pixels, 3, axis=0))

    assert match_control(colour, "tv", 5.0).reconstruct(colour).channels == 3


def test_a_loss_no_control_can_match_is_refused():
    with pytest.raises(UnusablePixels, match="no control of equal strength"):
        match_control(body((64, 64, 1)), "nlm", 5000.0)
    with pytest.raises(UnusablePixels, match="loses nothing"):
        match_control(body((64, 64, 1)), "tv", 0.0)


def test_an_unknown_control_is_refused():
    with pytest.raises(UnknownName, match="there are: tv, nlm"):
        match_control(body((64, 64, 1)), "bm3d", 5.0)


def test_a_strength_found_on_few_slices_is_mended_on_the_whole(monkeypatch):
    """The slice that is looked at has three times the noise of the other."""
    monkeypatch.setattr(controls, "LOOKED_AT", 48 * 48)
    values = 40 + np.random.default_rng(0).normal(size=(48, 48, 2)) * np.array([5.0, 15.0])

    control = match_control(make(values), "tv", 6.0)

    assert control.rms == pytest.approx(6.0, rel=2 * CLOSE)
    assert rms_between(make(values), control.reconstruct(make(values))) == pytest.approx(
        control.rms, rel=1e-4
    )


def test_a_control_that_cannot_lose_as_much_of_the_whole_says_how_much_it_does(monkeypatch):
    """Nothing is to be lost of the slice that is not looked at."""
    monkeypatch.setattr(controls, "LOOKED_AT", 48 * 48)
    values = np.full((48, 48, 2), 40.0)
    values[..., 1] += np.random.default_rng(0).normal(0, 10, (48, 48))

    assert match_control(make(values), "tv", 9.0).rms == pytest.approx(10 / np.sqrt(2), rel=0.02)


def test_a_loss_below_the_faintest_strength_looked_for_is_matched_too():
    image = make(to_values(body((48, 48, 1))), dtype=np.float64)

    assert match_control(image, "tv", 1e-4).rms == pytest.approx(1e-4, rel=2 * CLOSE)
