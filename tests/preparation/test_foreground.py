import numpy as np
import pytest
from tests.preparation.conftest import make, there_and_back

from plica.errors import SettingsError
from plica.image import Unit
from plica.preparation.foreground import Foreground


def kept(record, image):
    """The box of the record, for indexing the source."""
    start = record.undo["start"]
    return (slice(None), *(slice(a, a + n) for a, n in zip(start, image.grid.shape, strict=True)))


def outside_is_air(image, record, cropped, anatomy):
    outside = np.ones(image.pixels.shape, bool)
    outside[kept(record, cropped)] = False
    return not (outside & anatomy).any()


def test_fat_around_a_soft_tissue_core_is_kept():
    """MedVAE's crop keeps the core alone: its box is that of HU > 0."""
    pixels = np.full((160, 160, 80), -1000, np.int16)
    pixels[30:130, 30:130, 10:70] = -100
    pixels[60:100, 60:100, 25:55] = 40
    image = make(pixels, unit=Unit.HU)

    cropped, record, back = there_and_back(Foreground(), image)

    assert outside_is_air(image, record, cropped, image.pixels > -500)
    assert cropped.pixels.size < image.pixels.size / 1.5
    np.testing.assert_array_equal(back.pixels, pixels[None])
    assert not record.loss


def test_lungs_are_inside_the_box_of_the_body():
    pixels = np.full((100, 80, 60), -1000, np.int16)
    pixels[20:80, 20:60] = 40
    pixels[30:70, 30:50, 10:50] = -850
    image = make(pixels, unit=Unit.HU)

    cropped, _, _ = there_and_back(Foreground(), image)

    assert np.count_nonzero(cropped.pixels == -850) == np.count_nonzero(pixels == -850)


@pytest.mark.parametrize("hot", [1e4, 1.7e6])
def test_one_hot_voxel_does_not_cut_the_head_off(hot):
    """MedVAE's crop keeps 16³ of 96³ here: its box is that of half of the maximum."""
    rng = np.random.default_rng(6)
    pixels = rng.rayleigh(8, (96, 96, 96)).astype(np.float32)
    x, y, z = np.ogrid[:96, :96, :96]
    head = ((x - 48) / 36) ** 2 + ((y - 48) / 30) ** 2 + ((z - 40) / 33) ** 2 < 1
    pixels[head] += rng.uniform(60, 400, np.count_nonzero(head))
    pixels[48, 48, 48] = hot
    image = make(pixels)

    cropped, record, _ = there_and_back(Foreground(), image)

    assert outside_is_air(image, record, cropped, head[None])
    assert cropped.pixels.size < image.pixels.size


def test_a_head_that_fills_the_image_is_not_cut():
    pixels = np.random.default_rng(8).uniform(200, 900, (40, 40, 40)).astype(np.float32)
    image = make(pixels)

    assert Foreground().apply(image)[0].grid == image.grid


def test_a_dark_rim_without_air_beside_it_is_kept_or_counted():
    pixels = np.full((60, 60, 60), 30, np.int16)
    pixels[15:45, 15:45, 15:45] = 800
    pixels += np.random.default_rng(9).integers(-5, 6, pixels.shape, np.int16)
    _, record, back = there_and_back(Foreground(), make(pixels))

    changed = np.count_nonzero(back.pixels[0] != pixels)
    assert record.loss.get("voxels_changed", 0) == changed
    assert changed > 0


def test_what_is_not_air_outside_the_box_is_counted():
    pixels = np.full((200, 100, 50), -1000, np.int16)
    pixels[40:120, 20:80, 5:45] = 30
    pixels[190, 90, 25] = 500  # a clip on the table
    _, record, _ = there_and_back(Foreground(), make(pixels, unit=Unit.HU))

    assert record.loss["voxels_changed"] == 1
    assert record.loss["foreground_voxels_outside"] == 1
    assert record.loss["largest_change"] == 1500


def test_the_sides_become_multiples_where_the_image_is_large_enough():
    pixels = np.full((90, 90, 14), -1000, np.int16)
    pixels[30:61, 30:63, 2:13] = 30
    cropped, _, back = there_and_back(Foreground(multiple=16), make(pixels, unit=Unit.HU))

    assert cropped.grid.shape[0] % 16 == cropped.grid.shape[1] % 16 == 0
    assert cropped.grid.shape[2] == 14
    np.testing.assert_array_equal(back.pixels[0], pixels)


def test_a_threshold_of_ones_own():
    pixels = np.zeros((60, 60, 60), np.float32)
    pixels[10:50, 10:50, 10:50] = 5
    pixels[25:35, 25:35, 25:35] = 9
    cropped, _, _ = there_and_back(Foreground(margin_mm=0, threshold=7.0), make(pixels))

    assert max(cropped.grid.shape) < 20


def test_an_image_of_air_alone_is_kept_whole():
    image = make(np.full((20, 20, 20), -1000, np.int16), unit=Unit.HU)

    assert Foreground().apply(image)[0] is image


@pytest.mark.parametrize("settings", [{"margin_mm": -1.0}, {"multiple": 0}, {"threshold": "fat"}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(SettingsError):
        Foreground(**settings)
