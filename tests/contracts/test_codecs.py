"""The contract of codecs, over everything in the table that has its weights here."""

import numpy as np
import pytest

import plica
from plica.codecs.catalogue import CODECS, load, offer
from plica.errors import LatentError, MissingExtra, PlicaError
from plica.formats import latents
from plica.grid import Grid
from plica.image import Image, Unit

HERE = [name for name in CODECS if offer(name).card.weights.kind in {"packaged", "none"}]
OBLIQUE = np.array([[0.9, 0.1, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 2.1, 11], [0, 0, 0, 1.0]])


def _smooth(shape, low, high):
    i, j, k = np.meshgrid(*[np.linspace(0, 3, side) for side in shape], indexing="ij")
    wave = (np.sin(i) * np.cos(j) + np.sin(k + 1)) / 2
    return (low + (high - low) * (wave + 1) / 2)[None]


def make_image(kind: str, dims: int) -> Image:
    """A small image of one of the kinds a codec meets, odd in every side."""
    shape = (37, 29, 11) if dims == 3 else (67, 53, 1)
    if kind == "ct":
        return Image(_smooth(shape, -1000, 1500).astype(np.int16), Grid(shape, OBLIQUE), Unit.HU)
    if kind == "mr":
        return Image(_smooth(shape, 0, 7.5e4).astype(np.float32), Grid(shape, OBLIQUE))
    pixels = np.concatenate(
        [_smooth(shape, 0, 255), _smooth(shape, 30, 200), _smooth(shape, 9, 99)]
    )
    grid = Grid.from_spacing(shape, calibrated=False)
    return Image(pixels.astype(np.uint8), grid, Unit.DISPLAY)


@pytest.fixture(scope="module", params=HERE)
def codec(request):
    try:
        return load(request.param)
    except MissingExtra as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", ["ct", "mr", "colour"])
class TestEveryCodec:
    def test_the_way_back_ends_where_it_began(self, codec, kind, tmp_path):
        image = make_image(kind, 3 if codec.card.dims == 3 else 2)
        latent = codec.encode(image)
        plica.write(latent, tmp_path / "a.latent")

        for decoded in (codec.decode(latent), codec.decode(latents.read(tmp_path / "a.latent"))):
            assert decoded.grid.agrees_with(image.grid, 1e-3)
            assert decoded.grid.calibrated == image.grid.calibrated
            assert decoded.unit is image.unit
            assert decoded.pixels.dtype == image.pixels.dtype
            assert decoded.pixels.shape == image.pixels.shape

    def test_a_smooth_image_is_kept(self, codec, kind):
        """A flip, a shift or a wrong scale would be far more than a tenth of the range."""
        image = make_image(kind, 3 if codec.card.dims == 3 else 2)

        decoded = codec.decode(codec.encode(image))

        error = np.abs(decoded.pixels.astype(float) - image.pixels.astype(float)).mean()
        assert error < 0.1 * np.ptp(image.pixels.astype(float))

    def test_encoding_twice_gives_the_same_codes(self, codec, kind):
        image = make_image(kind, 3 if codec.card.dims == 3 else 2)

        np.testing.assert_array_equal(codec.encode(image).codes, codec.encode(image).codes)

    def test_volumes_come_back_slice_by_slice_too(self, codec, kind):
        image = make_image(kind, 3)

        decoded = codec.decode(codec.encode(image))

        assert decoded.grid.agrees_with(image.grid, 1e-3)
        assert decoded.pixels.dtype == image.pixels.dtype

    def test_codes_are_as_the_card_says(self, codec, kind):
        image = make_image(kind, 3)
        latent = codec.encode(image)

        assert latent.kind == codec.card.latents[0]
        if latent.kind != "bitstream":
            groups = image.channels // codec.card.in_channels or 1
            assert latent.codes.shape[0] == groups * codec.card.channels
            assert latent.factor[0] == codec.card.factor


def test_a_latent_is_refused_by_every_other_codec(codec):
    image = make_image("ct", 3)
    latent = load("area-8x-3d").encode(image)
    if codec.card.name != "area-8x-3d":
        with pytest.raises(LatentError, match="made by area-8x-3d"):
            codec.decode(latent)


def test_an_unknown_latent_kind_is_refused(codec):
    unknown = {"raw", "projected", "bitstream"} - set(codec.card.latents)
    for kind in unknown:
        with pytest.raises(PlicaError, match=kind):
            codec.encode(make_image("ct", 3), kind=kind)


def test_no_identity_travels_into_a_latent(codec, tmp_path):
    from dataclasses import replace

    image = make_image("ct", 3)
    named = replace(
        image, provenance=replace(image.provenance, identity={"PatientName": "SECRET^NAME"})
    )
    plica.write(codec.encode(named), tmp_path / "a.latent")

    assert b"SECRET" not in (tmp_path / "a.latent").read_bytes()
