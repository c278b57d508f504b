"""What a codec makes of an image under a policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import plica
from plica.codecs.policy import Policy
from plica.codecs.reconstruction import Reconstructor, fuse, recalibrate
from plica.errors import SettingsError, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit

OBLIQUE = np.array([[0.9, 0.1, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 2.1, 11], [0, 0, 0, 1.0]])
SHAPE = (37, 29, 6)


@pytest.fixture(scope="module")
def codec():
    return plica.load("bicubic-4x-2d")


@pytest.fixture(scope="module")
def taef2(shared):
    return plica.load("taef2", weights=shared / "weights")


def make_ct(shape=SHAPE) -> Image:
    i, j, k = np.meshgrid(*[np.arange(side) for side in shape], indexing="ij")
    values = 900 * np.sin(i / 9) * np.cos(j / 7) + 20 * k
    return Image(values.astype(np.int16)[None], Grid(shape, OBLIQUE), Unit.HU)


def with_value(image: Image, place: tuple[int, int, int], value: int) -> Image:
    pixels = image.pixels.copy()
    pixels[(0, *place)] = value
    return image.with_pixels(pixels)


# -- one pass ----------------------------------------------------------------------------------


def test_no_policy_is_the_codec_itself(codec):
    image = make_ct()
    came = Reconstructor(codec, Policy()).run(image).image

    np.testing.assert_array_equal(came.pixels, codec.decode(codec.encode(image)).pixels)


@pytest.mark.parametrize("policy", [Policy(), Policy(("wide", "soft"), 4), Policy(("full",))])
def test_grid_unit_and_type_are_the_sources(codec, policy):
    image = make_ct()
    came = Reconstructor(codec, policy).run(image).image

    assert came.grid == image.grid
    assert came.unit is Unit.HU
    assert came.pixels.dtype == np.int16
    assert came.pixels.shape == image.pixels.shape


def test_whole_numbers_are_rounded_not_cut_off(codec):
    """A flat image between two whole numbers comes back as the nearer one, on either side of 0."""
    for value in (-7, 7):
        image = Image(np.full((1, 16, 16, 2), value, np.int16), Grid((16, 16, 2), np.eye(4)),
                      Unit.HU)  # fmt: skip
        came = Reconstructor(codec, Policy(("wide", "soft"), 4)).run(image).image
        assert (came.pixels == value).all()


# -- windows -----------------------------------------------------------------------------------


def test_values_outside_are_kept_to_the_last_bit_and_counted(codec):
    image = with_value(with_value(make_ct(), (5, 6, 2), 3071), (9, 9, 1), -3024)
    came = Reconstructor(codec, Policy(("wide",))).run(image)

    assert came.image.pixels[0, 5, 6, 2] == 3071
    assert came.image.pixels[0, 9, 9, 1] == -3024
    assert came.facts["voxels_above"] == 1
    assert came.facts["voxels_below"] == 1
    assert came.facts["outside"] == "keep"


def test_values_outside_may_be_counted_alone(codec):
    image = with_value(make_ct(), (5, 6, 2), 3071)
    came = Reconstructor(codec, Policy(("wide",), outside="report")).run(image)

    assert came.image.pixels.max() <= 1000
    assert came.facts["voxels_above"] == 1


def test_the_full_window_has_nothing_outside(codec):
    came = Reconstructor(codec, Policy(("full",))).run(with_value(make_ct(), (5, 6, 2), 3071))

    assert came.facts["voxels_above"] == came.facts["voxels_below"] == 0
    assert came.facts["windows"][0][1] == 3071


def test_a_flat_image_comes_back_through_the_full_window(codec):
    for value in (5, 3000):
        image = Image(np.full((1, 9, 9, 1), value, np.int16), Grid((9, 9, 1), np.eye(4)), Unit.HU)

        assert (Reconstructor(codec, Policy(("full",))).run(image).image.pixels == value).all()


def test_the_codecs_own_window_loses_nothing_in_silence_either(taef2):
    """Without windows but with shifts, what the codec's own window cuts off is kept and counted."""
    image = with_value(make_ct((21, 18, 2)), (5, 6, 1), 3071)
    kept = Reconstructor(taef2, Policy(shifts=2)).run(image)
    told = Reconstructor(taef2, Policy(shifts=2, outside="report")).run(image)

    assert kept.facts["voxels_above"] == told.facts["voxels_above"] == 1
    assert kept.image.pixels[0, 5, 6, 1] == 3071
    assert told.image.pixels[0, 5, 6, 1] <= 1000


def test_the_full_window_is_that_of_finite_values():
    codec = plica.load("bicubic-4x-2d", fill_nonfinite=True)
    image = make_ct((21, 18, 2))
    pixels = image.pixels.astype(np.float32)
    pixels[0, 3, 3, 0], pixels[0, 5, 6, 1] = np.nan, 2800
    came = Reconstructor(codec, Policy(("full",))).run(image.with_pixels(pixels))

    assert came.facts["windows"][0][1] == 2800
    assert np.isnan(came.image.pixels[0, 3, 3, 0])
    assert np.isfinite(came.image.pixels).sum() == pixels.size - 1


def test_an_image_of_which_nothing_is_finite_has_no_full_window():
    there = plica.load("bicubic-4x-2d", fill_nonfinite=True)
    image = make_ct().with_pixels(np.full((1, *SHAPE), np.nan, np.float32))
    with pytest.raises(UnusablePixels, match="no value of the image is finite"):
        Reconstructor(there, Policy(("full",))).run(image)


def test_whole_numbers_outside_are_kept_beyond_the_steps_of_float32(codec):
    values = make_ct().pixels.astype(np.int32)
    values[0, 4, 4, 1] = 2**31 - 7
    came = Reconstructor(codec, Policy(("wide",))).run(make_ct().with_pixels(values)).image

    assert came.pixels[0, 4, 4, 1] == 2**31 - 7


def test_windows_of_which_none_holds_the_others_are_refused(codec):
    image = with_value(make_ct(), (5, 6, 2), 1800)
    with pytest.raises(UnusablePixels, match=r"such as -1000:2000 or full"):
        Reconstructor(codec, Policy(("wide", "500:2000"))).run(image)
    Reconstructor(codec, Policy(("wide", "500:2000"))).run(make_ct())  # has no values up there


def test_windows_of_hu_are_refused_for_other_values(codec):
    image = replace(make_ct(), unit=Unit.RELATIVE)

    with pytest.raises(UnusablePixels, match="window soft is one of HU"):
        Reconstructor(codec, Policy(("soft",))).run(image)
    Reconstructor(codec, Policy(("full", "0:300"))).run(image)


def test_a_narrow_window_counts_where_the_wide_one_lies_in_it():
    wide = np.array([-500.0, -160.0, 0.0, 240.0, 260.0], np.float32)
    narrow = np.full_like(wide, 10.0)

    fused = fuse(wide, narrow, (-175, 250))

    np.testing.assert_allclose(fused[[0, 2, 4]], [-500, 10, 260])
    assert -160 < fused[1] < 10
    assert 10 < fused[3] < 240


def test_fusing_never_leaves_the_two_it_fuses():
    rng = np.random.default_rng(0)
    wide, narrow = (rng.uniform(-400, 400, 500).astype(np.float32) for _ in range(2))
    fused = fuse(wide, narrow, (-175, 250))

    assert (fused >= np.minimum(wide, narrow) - 1e-3).all()
    assert (fused <= np.maximum(wide, narrow) + 1e-3).all()


# -- averages ----------------------------------------------------------------------------------


def centre_of(pixels: np.ndarray) -> np.ndarray:
    mass = pixels[0].astype(float)
    mass = np.where(mass > 0.05 * mass.max(), mass, 0)
    places = np.stack(np.meshgrid(*map(np.arange, mass.shape), indexing="ij"), -1)
    return (places * mass[..., None]).sum((0, 1, 2)) / mass.sum()


@pytest.mark.parametrize("shifts", [2, 4, 16])
def test_shifted_passes_are_put_back_where_they_were(codec, shifts):
    """A pass put back a voxel off would move the centre by a part of it."""
    i, j, k = np.meshgrid(*map(np.arange, (41, 37, 3)), indexing="ij")
    blob = 800 * np.exp(-((i - 19.3) ** 2 + (j - 17.8) ** 2) / 40) * (k == 1)
    image = Image(blob.astype(np.float32)[None], Grid((41, 37, 3), OBLIQUE), Unit.HU)

    came = Reconstructor(codec, Policy(("wide",), shifts)).run(image).image

    np.testing.assert_allclose(centre_of(came.pixels), centre_of(image.pixels), atol=0.1)


def test_several_axes_are_the_mean_of_each(codec):
    image = make_ct((21, 18, 17))
    exact = image.with_pixels(image.pixels.astype(np.float32))
    each = [
        Reconstructor(codec, Policy(("wide",), axes=(axis,))).run(exact).image.pixels
        for axis in ("axial", "coronal", "sagittal")
    ]
    together = Reconstructor(codec, Policy(("wide",), axes=("axial", "coronal", "sagittal")))

    np.testing.assert_allclose(together.run(exact).image.pixels, np.mean(each, 0), atol=1e-3)
    assert not np.allclose(each[0], each[1], atol=1)


def test_networks_of_volumes_have_no_axes():
    with pytest.raises(SettingsError, match="sees volumes"):
        Reconstructor(plica.load("bicubic-4x-3d"), Policy(axes=("axial", "coronal")))


@pytest.mark.parametrize(
    ("options", "policy", "says"),
    [
        ({"axis": "axial"}, Policy(axes=("axial", "coronal")), "leave out one"),
        ({"pipeline": "mr"}, Policy(("full",)), "and so does the pipeline mr"),
        ({"keep_outside": True}, Policy(("wide",), outside="report"), "say one"),
    ],
)
def test_options_that_speak_against_each_other_are_refused(options, policy, says):
    with pytest.raises(SettingsError, match=says):
        Reconstructor(plica.load("bicubic-4x-2d", **options), policy)


def test_a_single_slice_is_taken_along_one_axis(codec):
    image = make_ct((21, 18, 1))
    came = Reconstructor(codec, Policy(axes=("axial", "coronal", "sagittal"))).run(image)

    assert came.facts["passes"] == 1


def test_codecs_without_a_network_cannot_be_shown_windows():
    with pytest.raises(SettingsError, match="no network"):
        Reconstructor(plica.load("identity"), Policy(("wide",)))


# -- recalibration -----------------------------------------------------------------------------


def test_a_line_laid_over_the_body_is_found_and_undone():
    rng = np.random.default_rng(0)
    source = rng.uniform(-200, 800, 4000).astype(np.float32)
    air = np.full(500, -1000, np.float32)
    values = np.concatenate([(source - 30) / 0.9, air + 20])

    source = np.concatenate([source, air])

    scale, offset = recalibrate(values, source, np.ones_like(source, bool), Unit.HU)

    assert scale == pytest.approx(0.9, abs=1e-4)
    assert offset == pytest.approx(30, abs=0.05)
    np.testing.assert_allclose(values[:4000], source[:4000], atol=0.05)
    assert (values[4000:] == -980).all()


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0], [-900.0, np.nan]])
def test_no_line_is_laid_through_less_than_two_values_of_the_body(values):
    values = np.array(values, np.float32)
    before = values.copy()

    source = np.arange(values.size, dtype=np.float32)
    assert recalibrate(values, source, np.ones(values.shape, bool), Unit.HU) == (1, 0)
    np.testing.assert_array_equal(values, before)


def test_what_the_codec_was_not_shown_does_not_tilt_the_line(codec):
    """Metal far beyond the window, and an infinite value, leave the line where it was."""
    image = make_ct((33, 29, 3))
    plain = Reconstructor(codec, Policy(("wide",), recalibrate=True)).run(image)
    pixels = image.pixels.astype(np.float32)
    pixels[0, 3:5, 3:5, 1] = 20000
    there = plica.load("bicubic-4x-2d", fill_nonfinite=True)
    pixels[0, 9, 9, 0] = np.inf
    metal = Reconstructor(there, Policy(("wide",), recalibrate=True)).run(image.with_pixels(pixels))

    np.testing.assert_allclose(
        metal.facts["recalibration"], plain.facts["recalibration"], rtol=0.02, atol=3
    )
    assert np.isfinite(metal.image.pixels).sum() == pixels.size - 1


# -- real weights, real CT -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def chest(shared) -> Image:
    image = plica.read(shared / "data/chest-ct/lidc-idri-0314/lidc_0314_slices090-177.nii.gz")
    box = (slice(140, 243), slice(150, 231), slice(18, 19))
    grid = image.grid.window([span.start for span in box], [s.stop - s.start for s in box])
    return replace(image, pixels=np.ascontiguousarray(image.pixels[(slice(None), *box)]), grid=grid)


def psnr(image: Image, other: Image) -> float:
    a, b = (np.clip(one.pixels.astype(float), -1000, 1000) for one in (image, other))
    return float(10 * np.log10(2000**2 / np.mean((a - b) ** 2)))


def test_taef2_keeps_a_chest_and_passes_keep_more(taef2, chest):
    """First measured elsewhere: cycle spinning +1.2 dB, two windows +0.6 dB."""
    plain, fused, spun = (
        psnr(chest, Reconstructor(taef2, policy).run(chest).image)
        for policy in (Policy(("wide",)), Policy(("wide", "soft")), Policy(("wide",), 4))
    )

    assert plain > 30
    assert fused > plain + 0.3
    assert spun > plain + 0.8


def test_tiles_of_taef2_are_the_whole_to_rounding(shared, chest):
    from plica.codecs.difference import Difference

    whole, tiled = (
        plica.load("taef2", weights=shared / "weights", **settings)
        for settings in ({"tiling": "whole"}, {"tile": 40})
    )
    latent = whole.encode(chest)

    assert tiled.plan_encoding(chest).pieces > whole.plan_encoding(chest).pieces
    codes = Difference.between(latent.codes, tiled.encode(chest).codes)
    image = Difference.between(whole.decode_prepared(latent), tiled.decode_prepared(latent))
    assert codes.rms < 1e-5
    assert image.rms < 1e-5
    assert max(codes.largest, image.largest) < 1e-4
