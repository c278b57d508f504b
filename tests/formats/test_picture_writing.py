import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow
from tests.formats.scenes import GRIDS, numbers

from plica.errors import OutputError
from plica.formats import picture
from plica.formats.picture_writing import write_png, write_tiff
from plica.grid import Grid
from plica.image import Display, Image, Unit

tifffile = pytest.importorskip("tifffile")

FLAT = (7, 5, 1)
WHOLE = ["bool", "int8", "uint8", "int16", "uint16"]


def flat(dtype, channels=1):
    pixels = numbers(dtype if dtype != "bool" else "uint8", channels, FLAT)
    pixels = pixels > 100 if dtype == "bool" else pixels
    grid = Grid(FLAT, GRIDS["oblique"].affine)
    return Image(pixels, grid, Unit.HU, display=Display(40.0, 400.0))


def assert_same(read, image, atol=0.0):
    assert read.grid == image.grid
    assert (read.unit, read.display) == (image.unit, image.display)
    assert read.pixels.dtype == image.pixels.dtype
    assert np.allclose(read.pixels.astype(float), image.pixels.astype(float), rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("write", "name"), [(write_png, "a.png"), (write_tiff, "a.tif")])
def test_values_unit_and_place_come_back_exactly(tmp_path, dtype, channels, write, name):
    image = flat(dtype, channels)
    write(image, tmp_path / name)
    assert_same(picture.read(tmp_path / name), image)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_wider_values_come_back_within_half_a_step(tmp_path, dtype):
    image = flat(dtype)
    write_png(image, tmp_path / "a.png")
    step = (float(image.pixels.max()) - float(image.pixels.min())) / 65535
    assert_same(picture.read(tmp_path / "a.png"), image, atol=0.501 * step)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pixels=arrays(np.int16, st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9), st.just(1)))
)
def test_sixteen_bit_signed_values_are_always_exact(tmp_path, pixels):
    image = Image(pixels, Grid.from_spacing(pixels.shape[1:]), Unit.HU)
    write_png(image, tmp_path / "a.png", overwrite=True)
    assert_same(picture.read(tmp_path / "a.png"), image)


def test_other_programs_see_the_stored_values(tmp_path):
    image = flat("int16")
    write_png(image, tmp_path / "a.png")
    write_tiff(image, tmp_path / "a.tif")
    low = int(image.pixels.min())
    rows = image.pixels[0, ..., 0].T.astype(int) - low
    assert np.array_equal(np.asarray(Pillow.open(tmp_path / "a.png")), rows)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), rows)


def test_sixteen_bit_colour_is_seen_by_other_programs(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    image = flat("uint16", 3)
    write_png(image, tmp_path / "a.png")
    write_tiff(image, tmp_path / "a.tif")
    rows = image.pixels[..., 0].transpose(2, 1, 0)
    assert np.array_equal(imagecodecs.png_decode((tmp_path / "a.png").read_bytes()), rows)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_volume_becomes_pages(tmp_path, channels):
    image = Image(numbers("int16", channels), GRIDS["steep"], Unit.HU)
    write_tiff(image, tmp_path / "a.tif")
    assert_same(picture.read(tmp_path / "a.tif"), image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == image.grid.shape[2]


def test_a_volume_is_no_png(tmp_path):
    with pytest.raises(OutputError, match="one slice"):
        write_png(Image(numbers("int16"), GRIDS["RAS"]), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_more_than_a_tiff_can_hold_is_refused_before_any_work(tmp_path):
    shape = (1 << 16, 1 << 16, 1)
    pixels = np.broadcast_to(np.zeros((), np.uint8), (1, *shape))
    with pytest.raises(OutputError, match="4 GiB"):
        write_tiff(Image(pixels, Grid.from_spacing(shape)), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_two_channels_are_no_picture(tmp_path):
    with pytest.raises(OutputError, match="one channel or three"):
        write_tiff(flat("int16", 2), tmp_path / "a.tif")


def test_nan_is_no_picture(tmp_path):
    image = Image(np.full((1, 2, 2, 1), np.nan), Grid.from_spacing((2, 2, 1)))
    with pytest.raises(OutputError, match="NaN"):
        write_png(image, tmp_path / "a.png")


def test_a_constant_real_image_comes_back(tmp_path):
    image = Image(np.full((1, 2, 2, 1), -3.25, np.float32), Grid.from_spacing((2, 2, 1)))
    write_png(image, tmp_path / "a.png")
    assert_same(picture.read(tmp_path / "a.png"), image)


def test_an_asked_for_type_is_rounded_and_checked(tmp_path):
    image = Image(np.array([[[[0.6], [254.5]]]], np.float32), Grid.from_spacing((1, 2, 1)))
    write_png(image, tmp_path / "a.png", dtype="uint8")
    assert picture.read(tmp_path / "a.png").pixels.ravel().tolist() == [1, 254]
    with pytest.raises(OutputError, match="fit"):
        write_png(flat("int16"), tmp_path / "b.png", dtype="uint8")
    with pytest.raises(OutputError, match="uint16"):
        write_png(flat("int16"), tmp_path / "b.png", dtype="float32")
