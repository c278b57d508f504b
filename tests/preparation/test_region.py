import numpy as np
import pytest
from tests.preparation.conftest import make, there_and_back

from plica.errors import SettingsError
from plica.image import Display
from plica.preparation.region import Region


def mammogram(*, inverted=False):
    """A half disc of tissue with a thin dim skin line, at the left edge, a letter and noise."""
    rng = np.random.default_rng(11)
    x, y = np.ogrid[:480, :640]
    radius = np.hypot(x / 1.2, y - 300)
    pixels = rng.integers(0, 6, (480, 640)).astype(np.uint16)
    pixels[radius < 200] = 60
    pixels[radius < 194] = 900
    pixels[radius < 120] = 2500
    pixels[440:452, 20:28] = 4000
    breast = radius < 200
    pixels = 4095 - pixels if inverted else pixels
    display = Display(2048, 4096, inverted=inverted)
    return make(pixels[:, :, None], spacing=(0.3, 0.3, 1), display=display), breast


@pytest.mark.parametrize("inverted", [False, True])
def test_the_breast_with_its_skin_is_kept_and_the_letter_goes(inverted):
    image, breast = mammogram(inverted=inverted)
    cropped, record, _ = there_and_back(Region(), image)

    i, j, _ = record.undo["start"]
    inside = breast[i : i + cropped.grid.shape[0], j : j + cropped.grid.shape[1]]
    assert inside.sum() == breast.sum()
    assert cropped.pixels.size < 0.8 * image.pixels.size
    assert record.loss["foreground_voxels_outside"] >= 12 * 8
    assert record.loss["largest_change"] > 3900


@pytest.mark.parametrize("inverted", [False, True])
def test_a_kept_border_comes_back_exactly(inverted):
    image, _ = mammogram(inverted=inverted)
    cropped, record, back = there_and_back(Region(keep_border=True), image)

    np.testing.assert_array_equal(back.pixels, image.pixels)
    assert not record.loss
    assert record.arrays["border"].nbytes < (image.pixels.size - cropped.pixels.size)


def test_outside_comes_back_as_the_background():
    image, _ = mammogram()
    _, record, back = there_and_back(Region(), image)

    assert back.pixels[0, 470, 630, 0] == record.undo["fill"][0]
    assert 0 <= record.undo["fill"][0] < 6


def test_two_hands_are_both_kept():
    pixels = np.full((300, 200, 1), 10, np.uint16)
    pixels[20:120, 30:170] = 700
    pixels[180:280, 30:150] = 900
    cropped, _, _ = there_and_back(Region(), make(pixels))

    assert cropped.grid.shape[0] >= 260


def test_a_picture_without_background_is_passed_on():
    pixels = np.random.default_rng(12).integers(900, 3000, (200, 180, 1)).astype(np.uint16)
    image = make(pixels)

    assert Region().apply(image)[0].grid == image.grid


def test_a_negative_margin_is_refused():
    with pytest.raises(SettingsError, match="margin"):
        Region(-1.0)
