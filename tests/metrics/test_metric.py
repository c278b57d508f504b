import json
import math

import numpy as np
import pytest

from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import DEFAULT, METRICS, Metric, choose_data_range, measure


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_in_the_table_says_what_it_is(name):
    metric = METRICS.get_thing(name)

    assert isinstance(metric, Metric)
    assert metric.name == name
    assert metric.definition.endswith(".")
    assert metric.better in {"higher", "lower", "nearer zero"}


def test_a_number_travels_with_all_that_is_needed_to_read_it(make_image):
    pixels = np.arange(400, dtype=np.int16).reshape(20, 20)
    found = measure(make_image(pixels, Unit.HU), make_image(pixels + 2, Unit.HU)).to_json()

    by_name = {value["metric"]: value for value in found["values"]}
    assert tuple(by_name) == DEFAULT
    assert by_name["mae"]["unit"] == "HU"
    assert by_name["mae"]["data_range"] is None
    assert by_name["psnr"]["unit"] == "dB"
    assert by_name["psnr"]["data_range"] == 4095
    assert by_name["ssim"]["definition"]
    assert found["n_values"] == 400
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_infinite_and_meaningless_numbers_are_valid_json(make_image):
    pixels = np.arange(400, dtype=np.int16).reshape(20, 20)
    equal = measure(make_image(pixels), make_image(pixels), metrics=["psnr"]).to_json()
    tiny = measure(make_image(pixels[:2, :2]), make_image(pixels[:2, :2] + 1), metrics=["ssim"])

    assert json.loads(json.dumps(equal, allow_nan=False))["values"][0]["value"] == "Infinity"
    assert json.loads(json.dumps(tiny.to_json(), allow_nan=False))["values"][0]["value"] is None
    assert tiny.values[0].note


def test_a_constant_source_of_no_scale_has_no_psnr_unless_it_came_back(make_image):
    flat, other = np.full((20, 20), 5.0), np.full((20, 20), 6.0)

    same = measure(make_image(flat), make_image(flat))
    changed = measure(make_image(flat), make_image(other))

    assert same["psnr"] == math.inf
    assert same["ssim"] == same["ms-ssim"] == 1
    assert math.isnan(changed["psnr"])
    assert math.isnan(changed["ssim"])
    assert changed["mae"] == 1


def test_a_constant_ct_has_numbers(make_image):
    air = np.full((20, 20), -1000, np.int16)

    found = measure(make_image(air, Unit.HU), make_image(air + 1, Unit.HU))

    assert found["psnr"] == pytest.approx(20 * math.log10(4095))
    assert found["ssim"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("unit", "dtype", "expected"),
    [
        (Unit.HU, np.int16, 4095),
        (Unit.DISPLAY, np.uint8, 255),
        (Unit.DISPLAY, np.uint16, 90),
        (Unit.RELATIVE, np.uint8, 90),
        (Unit.SUV, np.float32, 90),
    ],
)
def test_the_data_range_follows_the_unit(make_image, unit, dtype, expected):
    source = make_image(np.arange(10, 101, 10).reshape(5, 2).astype(dtype), unit)

    data_range, why = choose_data_range(source)

    assert data_range == expected
    assert why


def test_values_that_are_not_finite_are_left_out_and_counted(make_image):
    source = make_image(np.array([[1.0, np.nan, 3.0, 4.0]]))
    decoded = make_image(np.array([[2.0, 2.0, np.inf, 5.0]]))

    found = measure(source, decoded, metrics=["mae", "max-error", "bias"])

    assert (found["mae"], found["max-error"], found["bias"]) == (1, 1, 1)
    assert (found.n_values, found.n_excluded) == (2, 2)


def test_nothing_finite_is_refused(make_image):
    with pytest.raises(UnusablePixels, match="no voxel is finite"):
        measure(make_image(np.full((3, 3), np.nan)), make_image(np.zeros((3, 3))))


def test_images_on_different_grids_are_refused():
    pixels = np.zeros((1, 4, 4, 4))
    here = Image(pixels, Grid.from_spacing((4, 4, 4)))
    there = Image(pixels, Grid.from_spacing((4, 4, 4), origin_mm=(0, 0, 0.01)))

    with pytest.raises(InputError, match="not on one grid"):
        measure(here, there)


def test_images_of_different_units_channels_or_kinds_are_refused(make_image):
    pixels = np.zeros((4, 4))

    with pytest.raises(InputError, match="HU"):
        measure(make_image(pixels, Unit.HU), make_image(pixels))
    with pytest.raises(InputError, match="channel"):
        measure(make_image(np.zeros((1, 4, 4, 1))), make_image(np.zeros((3, 4, 4, 1))))
    with pytest.raises(UnusablePixels, match="class labels"):
        measure(make_image(pixels, Unit.LABEL), make_image(pixels, Unit.LABEL))


@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan, math.inf])
def test_a_data_range_that_is_none_is_refused(make_image, data_range):
    with pytest.raises(SettingsError, match="positive"):
        measure(make_image(np.zeros((4, 4))), make_image(np.zeros((4, 4))), data_range=data_range)


def test_an_unknown_metric_is_answered_with_the_nearest(make_image):
    with pytest.raises(UnknownName, match="did you mean"):
        measure(make_image(np.zeros((4, 4))), make_image(np.zeros((4, 4))), metrics=["ms_ssim"])
