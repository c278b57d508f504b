"""The contract of preparation steps, over everything in the table."""

from __future__ import annotations

import dataclasses
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from plica.errors import LatentError
from plica.grid import Grid
from plica.image import Display, Image, Unit
from plica.latent import Record
from plica.preparation.step import STEPS

SHEARED = np.array([[0.9, 0.3, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 2.1, 11], [0, 0, 0, 1.0]])
LANDMARK = (9, 7, 3)
CONES = Display(center=600, width=1500, function="LINEAR_EXACT", inverted=True)
CURVE = Display(center=600, width=1500, function="SIGMOID")
RISING = Display(table=tuple(float(one) for one in np.linspace(0, 1, 3000) ** 2), table_first=-100)

# For each step, what it is made with; a newcomer in the table must be added here.
SETTINGS: dict[str, tuple[dict[str, object], ...]] = {
    "finite": ({}, {"fill": "background"}),
    "cast": ({},),
    "reorient": ({}, {"to": "LPS"}, {"to": "SAL"}),
    "planes": ({}, {"axis": "coronal"}, {"axis": "sagittal"}),
    "window": ({"low": -1024.0, "high": 3071.0}, {"low": 0.0, "high": 99.5, "keep_outside": True}),
    "minmax": ({},),
    "percentiles": ({}, {"lower": 1.0, "upper": 99.99}),
    "voi": ({},),
    "region": ({}, {"keep_border": True}),
    "foreground": ({}, {"margin_mm": 0.0, "multiple": 4}),
    "resample": ({"spacing_mm": (1.8, 0.8, 3.0)}, {"spacing_mm": (0.7, 0.0, 1.0)}),
    "channels": ({"wanted": 3}, {"wanted": 1}),
    "shift": ({"before": (3, 0, 0)}, {"before": (4, 7, 2)}),
    "leadin": ({"period": 4}, {"period": 4, "causal": False}, {"period": 1}),
    "pad": ({}, {"multiple": (8, 3, 5), "mode": "edge"}, {"mode": "reflect"}),
}
EVERY = [(name, settings) for name, all_of in SETTINGS.items() for settings in all_of]
KINDS = ("ct", "mr", "radiograph", "curve", "table", "colour", "grey-as-colour", "mask")


def make_image(kind: str) -> Image:
    """A constant background and one bright voxel, which is where the landmark is."""
    radiograph = kind in {"radiograph", "curve", "table"}
    shape = (29, 23, 1) if radiograph else (21, 17, 11)
    coloured = kind in {"colour", "grey-as-colour"}
    dtype = "u1" if coloured else {"ct": "i2", "mr": "f4", "mask": "?"}.get(kind, "u2")
    low, high = {"ct": (-1000, 2500), "mask": (0, 1)}.get(kind, (20, 1100))
    low, high = (3, 250) if coloured else (low, high)
    pixels = np.full((3 if coloured else 1, *shape), low, dtype)
    if kind == "colour":
        pixels[1] += 1
    i, j, k = LANDMARK
    pixels[:, i, j, 0 if radiograph else k] = high
    unit = {"ct": Unit.HU, "mask": Unit.LABEL}.get(kind, Unit.RELATIVE)
    unit = Unit.DISPLAY if coloured else unit
    display = {"radiograph": CONES, "curve": CURVE, "table": RISING}.get(kind, Display())
    return Image(pixels, Grid(shape, SHEARED), unit, display=display)


def find_landmark(image: Image) -> np.ndarray:
    """Where the bright voxel is in the world: what is farthest from the background."""
    values = image.pixels[0].astype(np.float64)
    apart = np.abs(values - np.median(values))
    return image.grid.to_world(np.unravel_index(np.argmax(apart), apart.shape))


def through_json(record: Record) -> Record:
    """The record as a latent file gives it back."""
    undo = json.loads(json.dumps(record.undo, allow_nan=False))
    loss = json.loads(json.dumps(record.loss, allow_nan=False))
    return Record(record.step, undo, loss, record.arrays)


def test_every_step_of_the_table_is_held_to_the_contract():
    assert set(SETTINGS) == set(STEPS)


@pytest.mark.parametrize(("name", "settings"), EVERY, ids=str)
def test_a_step_is_a_frozen_value(name, settings):
    step = STEPS.get_thing(name)(**settings)

    assert dataclasses.is_dataclass(step)
    assert step == STEPS.get_thing(name)(**settings)
    assert hash(step) == hash(STEPS.get_thing(name)(**settings))


def without_first(image: Image, before: int | list[int]) -> Image:
    first = [0, 0, before] if isinstance(before, int) else before
    sides = [side - one for side, one in zip(image.grid.shape, first, strict=True)]
    i, j, k = (slice(one, None) for one in first)
    return replace(image, pixels=image.pixels[:, i, j, k], grid=image.grid.window(first, sides))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "settings"), EVERY, ids=str)
class TestEveryStep:
    @pytest.fixture
    def image(self, kind):
        return make_image(kind)

    @pytest.fixture
    def step(self, name, settings):
        return STEPS.get_thing(name)(**settings)

    def test_grid_shape_unit_and_type_come_back(self, step, image):
        prepared, record = step.apply(image)
        back = type(step).revert(prepared, through_json(record))

        assert back.grid.agrees_with(image.grid, 1e-3)
        assert back.grid.calibrated == image.grid.calibrated
        assert back.unit is image.unit
        assert back.pixels.dtype == image.pixels.dtype
        assert back.pixels.shape == image.pixels.shape

    def test_values_come_back_or_the_loss_says_so(self, step, image):
        prepared, record = step.apply(image)
        back = type(step).revert(prepared, through_json(record))

        if not record.loss:
            apart = np.abs(back.pixels.astype(float) - image.pixels.astype(float))
            assert apart.max() <= (1e-3 if image.pixels.dtype.kind == "f" else 0)

    def test_a_marked_voxel_keeps_its_place_in_the_world(self, step, image):
        prepared, record = step.apply(image)
        back = type(step).revert(prepared, through_json(record))
        tolerance_mm = 1e-3
        if record.step == "resample":
            if image.unit is Unit.LABEL:
                pytest.skip("a label of one voxel may lie between the voxels of a coarser grid")
            tolerance_mm = np.linalg.norm(np.maximum(prepared.grid.spacing_mm, 1)) / 2
        if record.step in {"leadin", "shift"}:  # copies stand before the first voxels
            prepared = without_first(prepared, record.undo["before"])

        here = find_landmark(image)
        assert np.linalg.norm(find_landmark(prepared) - here) <= tolerance_mm
        assert np.linalg.norm(find_landmark(back) - here) <= tolerance_mm

    def test_nothing_is_changed_in_place(self, step, image):
        before = image.pixels.tobytes()
        prepared, record = step.apply(image)
        given = prepared.pixels.tobytes()
        kept = {key: array.tobytes() for key, array in record.arrays.items()}
        type(step).revert(prepared, record)

        assert image.pixels.tobytes() == before
        assert prepared.pixels.tobytes() == given
        assert {key: array.tobytes() for key, array in record.arrays.items()} == kept

    def test_twice_is_the_same(self, step, image):
        first, one = step.apply(image)
        second, other = step.apply(image)

        assert first.pixels.tobytes() == second.pixels.tobytes()
        assert json.dumps([one.undo, one.loss]) == json.dumps([other.undo, other.loss])

    def test_what_was_done_stands_in_the_provenance(self, step, image):
        prepared, record = step.apply(image)
        changed = prepared.grid != image.grid or prepared.unit is not image.unit

        assert record.step in STEPS
        assert len(prepared.provenance.steps) >= changed

    def test_a_decoded_image_only_close_to_the_prepared_one_comes_back_close(self, step, image):
        prepared, record = step.apply(image)
        noise = np.random.default_rng(7).normal(0, 1e-3, prepared.pixels.shape)
        decoded = prepared.with_pixels((prepared.pixels + noise).astype(np.float32))
        back = type(step).revert(decoded, through_json(record))

        assert back.grid.agrees_with(image.grid, 1e-3)
        assert back.unit is image.unit
        if not record.loss:
            apart = np.abs(back.pixels.astype(float) - image.pixels.astype(float))
            assert apart.max() <= max(25, 0.05 * np.ptp(image.pixels.astype(float)))


HOSTILE = (
    None, True, -1, 0, 1.5, 3, 2**16, 10**30, 10**400, 1e300, -1e300, float("nan"), float("inf"),
    "", "x", "__class__", [], {}, [None] * 3, [1, 2, 3], [-1, 0, 0], [10**9] * 3, [0, 0, 0],
    [1e308] * 4, [[float("nan")] * 4] * 4, [[0.0] * 4] * 4, [True, False, "x"], {"shape": [1] * 3},
)  # fmt: skip
ARRAYS = (
    None,
    np.zeros(0, np.uint8),
    np.zeros((2, 2), np.uint8),
    np.array([2**63, 2**63], np.uint64),
    np.array([255] * 9, np.uint8),
    np.array([np.nan, 1.0]),
    np.array(["x"]),
    np.array([-5], np.int64),
    np.array([1 << 40], np.uint64),
)


def damaged(record: Record):
    """The record with one thing wrong, for each thing that can be."""
    for key in record.undo:
        rest = {other: value for other, value in record.undo.items() if other != key}
        yield dataclasses.replace(record, undo=rest)
        for value in HOSTILE:
            yield dataclasses.replace(record, undo={**rest, key: value})
        if isinstance(record.undo[key], dict):
            for inner, value in itertools.product(record.undo[key], HOSTILE):
                yield dataclasses.replace(
                    record, undo={**rest, key: {**record.undo[key], inner: value}}
                )
    for key in record.arrays:
        for value in (*ARRAYS, record.arrays[key][:-1], np.repeat(record.arrays[key], 2)):
            arrays = {**record.arrays, key: value}
            if value is None:
                del arrays[key]
            yield dataclasses.replace(record, arrays=arrays)


@pytest.mark.parametrize("kind", ["ct", "table", "mr"])
@pytest.mark.parametrize(("name", "settings"), EVERY, ids=str)
def test_a_hostile_record_is_refused_or_harmless(name, settings, kind):
    """A latent file is a stranger's: LatentError, or an image of a believable size."""
    image = make_image(kind)
    if name == "finite" and kind == "mr":
        pixels = image.pixels.copy()
        pixels[0, 3:5, 2, 1] = np.nan
        image = image.with_pixels(pixels)
        settings = {"fill": "background"}
    step = STEPS.get_thing(name)(**settings)
    prepared, record = step.apply(image)

    refused = 0
    for record_of_a_stranger in damaged(through_json(record)):
        try:
            back = type(step).revert(prepared, record_of_a_stranger)
        except LatentError:
            refused += 1
        else:
            assert back.pixels.size <= 2**17
    assert refused >= 10
