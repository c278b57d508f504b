import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.preparation.conftest import grids

from plica.errors import LatentError
from plica.grid import Grid
from plica.image import Image, Unit
from plica.latent import Record, Trail
from plica.preparation.cast import Cast
from plica.preparation.channels import Channels
from plica.preparation.finite import Finite
from plica.preparation.foreground import Foreground
from plica.preparation.minmax import MinMax
from plica.preparation.pad import Pad
from plica.preparation.planes import Planes
from plica.preparation.reorient import Reorient
from plica.preparation.trail import prepare, revert
from plica.preparation.window import Window

STEPS = (
    Finite("background"),
    Cast(),
    Reorient("SAL"),
    Foreground(margin_mm=0),
    Planes("coronal"),
    Window(-1024, 3071, keep_outside=True),
    Channels(3),
    Pad((4, 8, 5)),
)


def ct(grid):
    pixels = np.random.default_rng(1).integers(-2000, 4000, (1, *grid.shape), np.int16)
    return Image(pixels, grid, Unit.HU)


def through_json(trail):
    return Trail(
        tuple(
            Record(one.step, json.loads(json.dumps(one.undo)), one.loss, one.arrays)
            for one in trail.records
        )
    )


@given(grids(most=20))
def test_a_long_walk_leads_back_to_the_very_grid_and_values(grid):
    image = ct(grid)
    prepared, trail = prepare(image, STEPS)
    back = revert(prepared, through_json(trail))

    assert trail.records[0].step == "finite"
    assert prepared.channels == 3
    assert all(side % n == 0 for side, n in zip(prepared.grid.shape, (4, 8, 5), strict=True))
    assert back.grid == grid  # not near it: no rounding adds up
    assert back.unit is Unit.HU
    assert back.pixels.dtype == np.int16
    if "foreground" not in trail.losses:
        np.testing.assert_array_equal(back.pixels, image.pixels)


def test_the_losses_of_a_walk_are_named_by_step():
    image = ct(Grid.from_spacing((9, 9, 9)))
    _, trail = prepare(image, (Cast(), Window(-1024, 3071), Pad()))

    assert list(trail.losses) == ["window"]
    assert trail.losses["window"]["clipped_fraction"] > 0


def test_each_step_that_did_something_leaves_a_line():
    image = ct(Grid.from_spacing((9, 9, 9)))
    prepared, _ = prepare(image, (Cast(), Reorient("LPS"), Window(-1024, 3071), Pad()))

    assert len(prepared.provenance.steps) == 4


def test_an_empty_trail_changes_nothing():
    image = ct(Grid.from_spacing((3, 3, 3)))

    assert revert(image, Trail()) is image


def test_a_step_of_the_future_is_named():
    image = ct(Grid.from_spacing((3, 3, 3)))

    with pytest.raises(LatentError, match="'windw'; did you mean window"):
        revert(image, Trail((Record("windw"),)))


@pytest.mark.parametrize("step", [Pad((4, 4, 4)), Reorient("LPS"), Foreground(margin_mm=0)])
def test_a_grid_that_was_moved_is_refused(step):
    pixels = np.full((1, 30, 30, 30), -1000, np.int16)
    pixels[:, 9:20, 9:20, 9:20] = 40
    prepared, trail = prepare(Image(pixels, Grid.from_spacing((30, 30, 30)), Unit.HU), (step,))
    record = through_json(trail).records[0]
    record.undo["grid"]["affine"][0][3] += 0.01

    with pytest.raises(LatentError, match="damaged"):
        revert(prepared, Trail((record,)))


@given(st.sampled_from([Window(-1024, 3071), MinMax()]), st.data())
def test_whatever_a_network_decodes_comes_back_in_the_sources_type(step, data):
    """Noise, overshoot and infinities are brought into range; only NaN is an error, and told."""
    image = ct(Grid.from_spacing((3, 3, 3)))
    prepared, trail = prepare(image, (Cast(), step))
    level = data.draw(st.floats(width=32, allow_nan=False))
    decoded = prepared.with_pixels(np.full(prepared.pixels.shape, level, np.float32))
    back = revert(decoded, trail)

    assert back.pixels.dtype == np.int16
    assert -2000 <= back.pixels.min() <= back.pixels.max() < 4000


def test_a_real_ct_and_a_real_mr_come_back(shared):
    nibabel = pytest.importorskip("nibabel")
    paths = [*sorted((shared / "data").glob("*ct/**/*.nii*"))[:3]]
    paths += sorted((shared / "data").glob("*mri/**/*.nii*"))[:4]
    assert paths
    for path in paths:
        source = nibabel.load(path)
        pixels = np.asarray(source.dataobj)
        if pixels.ndim != 3 or pixels.size > 2**24 or np.ptp(source.affine) == 0:
            continue
        image = Image(pixels[None], Grid(pixels.shape, source.affine))
        steps = (Finite("background"), Cast(), Reorient("LPS"), Planes(), MinMax(), Pad())
        prepared, trail = prepare(image, steps)
        back = revert(prepared, through_json(trail))

        assert back.grid == image.grid
        assert back.pixels.dtype == image.pixels.dtype
        width = float(np.nanmax(pixels)) - float(np.nanmin(pixels))
        apart = np.abs(back.pixels.astype(np.float64) - image.pixels)
        assert np.nanmax(apart) <= (0 if pixels.dtype.kind in "iu" else 1e-6 * width)
