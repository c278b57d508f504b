import numpy as np
import pytest
from tests.preparation.conftest import make

from plica.grid import Grid
from plica.image import Display, Image, Unit
from plica.preparation.minmax import MinMax
from plica.preparation.pipelines import full_range, mr, radiograph
from plica.preparation.trail import prepare, revert
from plica.preparation.window import Window


@pytest.mark.parametrize(
    ("unit", "dtype", "step"),
    [
        (Unit.HU, "i2", Window(-1024, 3071)),
        (Unit.DISPLAY, "u1", Window(0, 255)),
        (Unit.DISPLAY, "u2", MinMax()),
        (Unit.RELATIVE, "f4", MinMax()),
        (Unit.SUV, "f4", MinMax()),
    ],
)
def test_the_full_range_depends_on_what_a_value_means(unit, dtype, step):
    pixels = np.zeros((4, 4, 4), dtype)
    pixels[1, 1, 1] = 200 if dtype == "u1" else 1000

    assert full_range(make(pixels, unit=unit)) == (step,)


def test_padding_and_metal_beyond_twelve_bits_are_not_cut():
    pixels = np.zeros((4, 4, 4), np.int16)
    pixels[0, 0, 0], pixels[3, 3, 3] = -3024, 9000
    image = make(pixels, unit=Unit.HU)

    assert full_range(image) == (Window(-3024, 9000),)
    prepared, trail = prepare(image, full_range(image))
    assert trail.losses == {}
    np.testing.assert_array_equal(revert(prepared, trail).pixels, image.pixels)


def test_a_grey_means_one_number_also_after_a_cast():
    """Codecs cast before they ask: 8-bit greys must be known by their values."""
    image = make(np.full((4, 4, 1), 77, np.float32), unit=Unit.DISPLAY)
    prepared, _ = prepare(image, full_range(image))

    assert prepared.pixels.ravel()[0] == pytest.approx(77 / 127.5 - 1)


@pytest.mark.parametrize("pipeline", [full_range, mr, radiograph])
@pytest.mark.parametrize("sides", [(37, 29, 11), (67, 53, 1)])
def test_every_pipeline_ends_normalised_and_leads_back(pipeline, sides):
    rng = np.random.default_rng(1)
    pixels = np.zeros((1, *sides), np.uint16)
    pixels[:, 8:-8, 6:-6] = rng.integers(500, 3000, pixels[:, 8:-8, 6:-6].shape)
    grid = Grid(sides, np.diag([-0.8, -0.8, 3, 1]))
    image = Image(pixels, grid, display=Display(1500, 4000))

    prepared, trail = prepare(image, pipeline(image))
    back = revert(prepared, trail)

    assert prepared.unit is Unit.NORMALISED
    assert back.grid == grid
    assert back.unit is image.unit
    np.testing.assert_array_equal(back.pixels, image.pixels)
