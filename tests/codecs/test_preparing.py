"""What a user may ask for: each choice has its effect, and anything else is refused by name."""

import numpy as np
import pytest

import plica
from plica.codecs.preparing import Preparing
from plica.errors import SettingsError
from plica.grid import Grid
from plica.image import Image, Unit


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("axis", 3), ("axis", "oblique"), ("axis", ["axial"]),
        ("pipeline", "ct"), ("pipeline", True),
        ("fill_nonfinite", "maybe"), ("keep_outside", 1), ("foreground", "true"),
        ("spacing_mm", 3), ("spacing_mm", "1,1,1"), ("spacing_mm", (1, 2)),
        ("spacing_mm", (1, 0, 1)), ("spacing_mm", (1, 1, float("nan"))),
        ("spacing_mm", (1, 1, -1)), ("spacing_mm", ("a", 1, 1)), ("spacing_mm", {1: 1}),
    ],
)  # fmt: skip
def test_a_choice_of_the_wrong_kind_is_refused_by_its_name_on_loading(name, value):
    with pytest.raises(SettingsError, match=name):
        plica.load("linear-4x1-3d", **{name: value})


def test_a_spacing_may_be_a_list_or_an_array():
    for spacing in ([1, 2, 3], np.array([1, 2, 3]), (1.0, 2.0, 3.0)):
        assert Preparing.from_options({"spacing_mm": spacing}).spacing_mm == (1.0, 2.0, 3.0)


def test_resampling_is_undone_onto_the_sources_grid():
    image = Image(
        np.arange(20 * 16 * 12, dtype=np.int16).reshape(1, 20, 16, 12),
        Grid.from_spacing((20, 16, 12)),
    )
    codec = plica.load("linear-4x1-3d", spacing_mm=(2, 2, 2))

    latent = codec.encode(image)

    assert latent.prepared.spacing_mm == pytest.approx((2, 2, 2))
    assert codec.decode(latent).grid.agrees_with(image.grid)


@pytest.mark.parametrize("shape", [(60, 50, 30), (60, 50, 1)])
def test_the_foreground_of_a_volume_and_of_a_radiograph_is_all_that_is_encoded(shape):
    pixels = np.random.default_rng(0).rayleigh(4, (1, *shape)).astype(np.int16)
    body = (0, slice(30, 42), slice(25, 40), slice(None))
    pixels[body] += 500
    image = Image(pixels, Grid.from_spacing(shape))
    whole, cut = (
        plica.load("linear-4x1-2d", foreground=foreground) for foreground in (False, True)
    )

    latent = cut.encode(image)
    decoded = cut.decode(latent)

    assert latent.codes.size < whole.encode(image).codes.size
    assert decoded.grid == image.grid
    assert decoded.pixels[body].mean() > 5 * decoded.pixels.mean()


def test_keeping_what_lies_outside_changes_nothing_where_nothing_does():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 24, 16, 1)).astype(np.uint8)
    image = Image(pixels, Grid.from_spacing((24, 16, 1), calibrated=False), Unit.DISPLAY)
    plain, kept = (plica.load("linear-4x3-2d", keep_outside=keep) for keep in (False, True))

    latents = plain.encode(image), kept.encode(image)

    np.testing.assert_array_equal(latents[0].codes, latents[1].codes)
    np.testing.assert_array_equal(plain.decode(latents[0]).pixels, kept.decode(latents[1]).pixels)
