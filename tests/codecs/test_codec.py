"""What holds of codecs before any of them is asked: which images they take."""

from dataclasses import replace

import numpy as np
import pytest

import plica
from plica.errors import LatentError, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit

CLASSES = np.array([0, 1, 7], np.uint8)


def make_labels() -> Image:
    chosen = np.random.default_rng(0).integers(0, 3, (1, 16, 16, 8))
    return Image(CLASSES[chosen], Grid.from_spacing((16, 16, 8), (1, 1, 2)), Unit.LABEL)


@pytest.mark.parametrize(
    ("name", "options"),
    [("linear-4x1-3d", {}), ("bicubic-4x-2d", {}), ("jpeg2000", {}), ("jpegxl", {"rate": 2.0})],
)
def test_a_codec_that_blends_values_refuses_numbers_of_classes(name, options):
    pytest.importorskip("imagecodecs", reason="jpegxl needs imagecodecs (extra: codecs)")
    with pytest.raises(UnusablePixels, match=f"which {name} would blend: use a lossless codec"):
        plica.load(name, **options).encode(make_labels())


@pytest.mark.parametrize(("name", "options"), [("identity", {}), ("jpeg2000", {"lossless": True})])
def test_a_codec_without_loss_keeps_every_class(name, options):
    labels, codec = make_labels(), plica.load(name, **options)
    decoded = codec.decode(codec.encode(labels))
    assert decoded.unit is Unit.LABEL
    np.testing.assert_array_equal(decoded.pixels, labels.pixels)


def test_labels_that_are_called_grey_values_are_encoded_as_such():
    labels = make_labels()
    latent = plica.load("linear-4x1-3d").encode(
        labels.with_pixels(labels.pixels, unit=Unit.RELATIVE)
    )
    assert latent.unit is Unit.RELATIVE


@pytest.mark.parametrize("name", ["linear-4x1-3d", "bicubic-4x-2d"])
def test_a_way_back_that_ends_elsewhere_is_refused(name):
    image = make_labels().with_pixels(make_labels().pixels, unit=Unit.RELATIVE)
    codec = plica.load(name)
    latent = codec.encode(image)
    elsewhere = Grid(image.grid.shape, np.diag([1, 1, 2.5, 1]))

    with pytest.raises(LatentError, match=r"the way back ends on a grid of .*: the latent is dam"):
        codec.decode(replace(latent, source=elsewhere))
