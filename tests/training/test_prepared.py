"""A prepared image is what a codec shows its network, kept once for all crops."""

import numpy as np
import pytest
from PIL import Image as Picture

from plica.codecs.card import CodecCard
from plica.codecs.directory import PREPARATIONS
from plica.codecs.networkcodec import NetworkCodec
from plica.cohort import Case
from plica.formats.doors import read, write
from plica.grid import Grid
from plica.image import Display, Image, Unit
from plica.training.cache import Cache
from plica.training.data import prepare_case
from plica.training.prepared import PreparedImage, Shape, see, turn
from plica.training.recipe import Data

RANDOM = np.random.default_rng(0)
OBLIQUE = np.array([[0, 0.1, 3.0, 5], [-0.9, 0, 0.1, -7], [0, -0.8, 0, 11], [0, 0, 0, 1.0]])


class Looking:
    """Keeps what it is shown; its codes are the image."""

    factor = 1
    code_channels = 1
    in_channels = 1

    def __init__(self, dims):
        self.dims, self.seen = dims, []

    def encode(self, x):
        self.seen.append(x.numpy().copy())
        return x

    def decode(self, z):
        return z


def shown(image, preparation, dims):
    """All a NetworkCodec shows a network of an image: (batch, channel, *space)."""
    card = CodecCard(
        name="looking", family="", summary="", dims=dims, factor=1, channels=1, in_channels=1,
        expects="", licence="", source="",
    )  # fmt: skip
    network = Looking(dims)
    steps = PREPARATIONS.get_thing(preparation)
    NetworkCodec(card, network, "sha256:0", steps).encode(image)
    return np.concatenate(network.seen)


IMAGES = {
    "ct": Image(
        RANDOM.integers(-1000, 2000, (1, 12, 10, 8)).astype(np.int16),
        Grid((12, 10, 8), OBLIQUE),
        Unit.HU,
    ),
    "mr": Image(RANDOM.gamma(2, 90, (1, 9, 12, 7)).astype(np.float32), Grid((9, 12, 7), OBLIQUE)),
    "radiograph": Image(
        RANDOM.integers(0, 4096, (1, 24, 20, 1)).astype(np.uint16),
        Grid.from_spacing((24, 20, 1)),
        display=Display(center=2000.0, width=1500.0, inverted=True),
    ),
    "picture": Image(
        RANDOM.integers(0, 256, (1, 24, 20, 1)).astype(np.uint8),
        Grid.from_spacing((24, 20, 1), calibrated=False),
        Unit.DISPLAY,
    ),
}


@pytest.mark.parametrize("preparation", ["full_range", "radiograph", "mr"])
@pytest.mark.parametrize("name", IMAGES)
def test_what_is_kept_is_what_a_codec_shows_a_network_of_slices(name, preparation):
    image = IMAGES[name]
    pixels, _ = see(image, preparation, sliced=True)
    slices = pixels[0].transpose(2, 1, 0)[:, None]
    assert np.array_equal(slices, shown(image, preparation, 2))


@pytest.mark.parametrize("preparation", ["full_range", "radiograph", "mr"])
@pytest.mark.parametrize("name", ["ct", "mr"])
def test_what_is_kept_is_what_a_codec_shows_a_network_of_volumes(name, preparation):
    pixels, _ = see(IMAGES[name], preparation, sliced=False)
    assert np.array_equal(pixels[None], shown(IMAGES[name], preparation, 3))


def prepare(path, folder, dims=2, **data):
    case = Case("p", "", path.name, path)
    return prepare_case(case, Data(**data), Shape(dims, 1, 1), Cache(folder / "cache"))


def test_grey_in_three_equal_channels_is_one_and_colour_three(tmp_path):
    grey = RANDOM.integers(0, 256, (9, 11), dtype=np.uint8)
    Picture.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "grey.png")
    Picture.fromarray(np.stack([grey, grey, 255 - grey], axis=-1)).save(tmp_path / "colour.png")
    assert prepare(tmp_path / "grey.png", tmp_path).shape == (1, 11, 9, 1)
    assert prepare(tmp_path / "colour.png", tmp_path).channels == 3


def test_what_comes_out_of_the_cache_is_what_went_in(tmp_path):
    write(IMAGES["ct"], tmp_path / "ct.nii")
    pixels, facts = see(read(tmp_path / "ct.nii"), "full_range", sliced=True)

    for _ in range(2):
        image = prepare(tmp_path / "ct.nii", tmp_path)
        assert np.array_equal(image.open(), pixels)
        assert image.shape == pixels.shape
        assert image.orientation == facts["orientation"]
        assert image.foreground.to_json() == facts["foreground"]


def test_another_preparation_or_number_of_axes_is_another_entry(tmp_path):
    write(IMAGES["ct"], tmp_path / "ct.nii")
    paths = {
        prepare(tmp_path / "ct.nii", tmp_path, dims, preparation=how).path
        for dims in (2, 3)
        for how in ("full_range", "mr", "radiograph")
    }
    assert len(paths) == 6


@pytest.mark.parametrize("across", [0, 1, 2])
def test_the_slices_with_foreground_are_those_that_hold_it(tmp_path, across):
    """Also where the last cell is cut short and the turn reverses the axis."""
    pixels = np.full((21, 19, 27), -1000, np.int16)
    pixels[17:21, 2:14, 24:27] = 500
    grid = Grid(pixels.shape, np.diag([1.0, -1, -1, 1]))
    write(Image(pixels[None], grid, Unit.HU), tmp_path / "ct.nii")
    image = prepare(tmp_path / "ct.nii", tmp_path)

    turned = turn(image.open(), image.turn_to(across))[0]

    held = set(np.flatnonzero((turned > -0.5).any(axis=(0, 1))))
    found = {int(k) for k in image.slices(across)}
    assert held <= found
    assert len(found) < turned.shape[2]
    assert all(k < turned.shape[2] for k in found)
    rows, columns = image.plane_shape(across)
    assert turned.shape[:2] == (columns, rows)


def test_facts_of_something_else_are_refused(tmp_path):
    from plica.training.cache import Entry

    with pytest.raises(ValueError, match="not the facts of a prepared image"):
        PreparedImage.from_entry("a", Entry(tmp_path, {"shape": [1, 2, 3, 4]}))


def test_the_shape_of_a_network_is_its_own():
    network = Looking(3)
    network.factor = 8
    assert Shape.of(network) == Shape(3, 8, 1)
