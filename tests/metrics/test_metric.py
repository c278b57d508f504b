import json
import math

import numpy as np
import pytest

from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import DEFAULT, METRICS, Metric, Value, choose_data_range, measure


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_in_the_table_says_what_it_is(name):
    metric = METRICS.get_thing(name)

    assert isinstance(metric, Metric)
    assert metric.name == name
    assert metric.definition.endswith(".")
    assert metric.better in {"higher", "lower", "nearer zero"}
    assert metric.mask_rule.endswith(".")
    assert "region" in metric.mask_rule
    assert "not finite" in metric.mask_rule


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
    tiny = measure(
        make_image(pixels[:2, :2]), make_image(pixels[:2, :2] + 1), metrics=["ssim"], strict=False
    )

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


# -- where to look -------------------------------------------------------------------------------


def test_only_the_region_is_compared_and_the_rest_is_counted(make_image):
    source = np.arange(24.0).reshape(4, 6)
    decoded = source.copy()
    decoded[1, 2] += 5
    decoded[3, 5] += 100
    decoded[0, 0] = np.nan
    region = np.zeros((4, 6, 1), bool)
    region[:3, :4] = True

    found = measure(
        make_image(source), make_image(decoded), metrics=["mae", "max-error"], region=region
    )

    assert found["max-error"] == 5
    assert found["mae"] == pytest.approx(5 / 11)
    assert (found.n_values, found.n_excluded, found.n_outside) == (11, 1, 12)
    assert found.data_range == 23  # of the whole source


def test_a_region_of_everything_changes_nothing(make_image, noisy):
    x, y = noisy(20, 22, 18)
    everywhere = np.ones((20, 22, 18), bool)
    names = DEFAULT

    plain = measure(make_image(x), make_image(y), metrics=names)
    masked = measure(make_image(x), make_image(y), metrics=names, region=everywhere)

    for name in names:
        assert masked[name] == pytest.approx(plain[name], rel=1e-12)


def test_a_region_of_another_shape_or_of_nothing_is_refused(make_image):
    image = make_image(np.arange(16.0).reshape(4, 4))

    with pytest.raises(InputError, match=r"shape \(4, 5, 1\).*\(4, 4, 1\)"):
        measure(image, image, region=np.ones((4, 5, 1), bool))
    with pytest.raises(UnusablePixels, match="region is empty"):
        measure(image, image, region=np.zeros((4, 4, 1), bool))


def test_a_region_where_nothing_is_finite_is_refused(make_image):
    holes = np.arange(16.0).reshape(4, 4)
    holes[:2] = np.nan
    region = np.zeros((4, 4, 1), bool)
    region[:2] = True

    with pytest.raises(UnusablePixels, match="no voxel is finite"):
        measure(make_image(holes), make_image(holes), region=region)


# -- what cannot be measured ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["psnr", "ssim", "ms-ssim"])
def test_a_metric_that_was_named_and_has_no_range_says_what_to_give(make_image, name):
    flat, other = make_image(np.full((20, 20), 5.0)), make_image(np.full((20, 20), 6.0))

    with pytest.raises(UnusablePixels, match=f"^{name} has no value.*such as data_range="):
        measure(flat, other, metrics=[name])
    assert math.isfinite(measure(flat, other, metrics=[name], data_range=10.0)[name])


def test_what_was_not_named_is_nan_with_a_note(make_image):
    found = measure(make_image(np.zeros((2, 2))), make_image(np.ones((2, 2))))

    assert all(value.note for value in found.values if math.isnan(value.value))
    assert found["mae"] == 1


def test_a_value_comes_back_from_its_record_with_its_detail(make_image, noisy):
    x, y = noisy(40, 40)
    found = measure(make_image(x), make_image(y), metrics=["mae", "wavelet-detail", "psnr"])

    for value in found.values:
        assert Value.from_json(json.loads(json.dumps(value.to_json(), allow_nan=False))) == value
    assert found.values[1].detail["bands"]


def test_a_record_from_before_there_were_details_is_read():
    record = {"metric": "mae", "value": 1.0, "unit": "HU", "better": "lower", "data_range": None,
              "definition": "Mean."}  # fmt: skip

    assert Value.from_json(record).detail == {}


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_a_mask_of_zeros_and_ones_says_what_truth_values_say(kind: type):
    rng = np.random.default_rng(3)
    pixels = rng.normal(0, 100, (1, 24, 24, 4)).astype(np.float32)
    source = Image(pixels, Grid.from_spacing((24, 24, 4), (1, 1, 1)), unit=Unit.HU)
    region = np.zeros((24, 24, 4), bool)
    region[4:9, 4:9, 1:3] = True
    decoded = source.with_pixels(pixels + 200 * region[None])
    names = ("mae", "psnr", "ssim")
    right = measure(source, decoded, metrics=names, region=region)
    assert right["mae"] == pytest.approx(200, rel=1e-5)
    found = measure(source, decoded, metrics=names, region=region.astype(kind))
    assert [found[name] for name in names] == [right[name] for name in names]


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_a_mask_of_other_values_is_refused(value: float):
    source = Image(np.ones((1, 8, 8, 1), np.float32), Grid.from_spacing((8, 8, 1), (1, 1, 1)))
    region = np.zeros((8, 8, 1))
    region[2, 2, 0] = value
    with pytest.raises(InputError, match="other values than 0 and 1"):
        measure(source, source, region=region)
    with pytest.raises(InputError, match="shape"):
        measure(source, source, region=[[1, 0]])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"data_range": "4095"}, "positive number"),
        ({"data_range": (0, 1)}, "positive number"),
        ({"data_range": True}, "positive number"),
        ({"metrics": []}, "name at least one metric"),
    ],
)
def test_what_is_asked_wrongly_is_said_by_name(asked: dict[str, object], said: str):
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(1, 8, 8, 1)).astype(np.float32)
    source = Image(pixels, Grid.from_spacing((8, 8, 1), (1, 1, 1)))
    with pytest.raises(SettingsError, match=said):
        measure(source, source, **asked)


def test_one_name_is_a_list_of_one():
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(1, 8, 8, 1)).astype(np.float32)
    source = Image(pixels, Grid.from_spacing((8, 8, 1), (1, 1, 1)))
    assert measure(source, source, metrics="mae")["mae"] == 0


def test_grids_that_differ_in_spacing_alone_say_so():
    pixels = np.ones((1, 8, 8, 1), np.float32)
    one = Image(pixels, Grid.from_spacing((8, 8, 1), (1, 1, 1)))
    other = Image(pixels, Grid.from_spacing((8, 8, 1), (0.5, 1, 1)))
    with pytest.raises(InputError, match=r"spacing \[1.0, 1.0, 1.0\] against \[0.5, 1.0, 1.0\]"):
        measure(one, other)


def test_axes_that_differ_are_told():
    grid = Grid.from_spacing((4, 4, 4))
    turned = Grid((4, 4, 4), grid.affine @ np.diag([-1.0, 1.0, 1.0, 1.0]))
    one, other = (Image(np.zeros((1, 4, 4, 4), np.float32), g) for g in (grid, turned))
    with pytest.raises(InputError, match=r"axes .* against"):
        measure(one, other)


def test_a_metric_that_was_not_measured_has_no_number():
    image = Image(np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4), Grid.from_spacing((4, 4, 4)))
    found = measure(image, image, metrics=["mae"])
    assert found["mae"] == 0
    with pytest.raises(KeyError, match="psnr"):
        found["psnr"]


@pytest.mark.parametrize("record", [{}, {"value": "much"}, {"value": 1.0, "colour": "red"}])
def test_what_is_no_record_of_a_value_is_refused(record):
    with pytest.raises(InputError, match="no record of a metric's value"):
        Value.from_json(record)
