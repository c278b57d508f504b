"""Label images are compared label by label, in millimetres, and refused where that is nonsense."""

import json
import math

import numpy as np
import pytest

from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import Value
from plica.metrics.overlap import LABEL_METRICS, LabelMetric, dice, measure_labels

SHAPE = (16, 14, 10)


def label_image(labels, spacing=(1.0, 1.0, 1.0), *, calibrated=True):
    labels = np.asarray(labels)
    grid = Grid.from_spacing(labels.shape, spacing, calibrated=calibrated)
    return Image(labels[None], grid, Unit.LABEL)


def two_cubes():
    a, b = np.zeros((2, *SHAPE), np.uint8)
    a[3:9, 3:9, 2:8] = 1
    b[4:10, 3:9, 2:8] = 1
    a[11:14, 4:8, 3:6] = b[11:14, 4:8, 3:6] = 2
    return a, b


@pytest.mark.parametrize("name", LABEL_METRICS)
def test_every_label_metric_in_the_table_says_what_it_is(name):
    metric = LABEL_METRICS.get_thing(name)

    assert isinstance(metric, LabelMetric)
    assert metric.name == name
    assert metric.definition.endswith(".")
    assert metric.better in {"higher", "lower"}
    assert metric.unit in {"1", "mm"}


def test_a_worked_example_by_hand():
    a, b = two_cubes()

    moved, same = measure_labels(
        label_image(a, (2, 1, 1)), label_image(b, (2, 1, 1)), tolerance_mm=1.0
    )

    assert (moved.label, same.label) == (1, 2)
    assert moved["dice"] == pytest.approx(2 * 180 / (216 + 216))
    assert moved["hd"] == 2.0
    assert 0 < moved["assd"] < 2
    assert (same["dice"], same["nsd"], same["assd"], same["hd"]) == (1, 1, 0, 0)
    assert (moved.n_reference, moved.n_segmented) == (216, 216)


def test_a_metric_that_was_not_asked_for_is_no_key():
    a, b = two_cubes()
    moved, _ = measure_labels(label_image(a), label_image(b), metrics=("dice",), tolerance_mm=1)

    with pytest.raises(KeyError, match="assd"):
        moved["assd"]


def test_dice_is_that_of_monai():
    torch = pytest.importorskip("torch")
    meandice = pytest.importorskip("monai.metrics.meandice")
    generator = np.random.default_rng(0)
    a, b = generator.random((2, *SHAPE)) > 0.6

    theirs = meandice.compute_dice(torch.tensor(b)[None, None], torch.tensor(a)[None, None]).item()

    assert dice(a, b) == pytest.approx(theirs, abs=1e-6)


def test_the_tolerance_is_counted_in_millimetres():
    a, b = two_cubes()
    images = label_image(a, (3, 1, 1)), label_image(b, (3, 1, 1))

    tight = measure_labels(*images, tolerance_mm=2.9, labels=[1])[0]["nsd"]
    loose = measure_labels(*images, tolerance_mm=3.0, labels=[1])[0]["nsd"]

    assert tight < loose == 1


def test_directions_and_tolerance_stand_in_the_detail():
    a, b = two_cubes()
    b[8:10] = 0

    (found,) = measure_labels(
        label_image(a), label_image(b), tolerance_mm=1.5, labels=[1], metrics=["hd", "nsd"]
    )
    hd, nsd = found.values

    assert hd.value == max(hd.detail["from_reference"], hd.detail["from_segmented"])
    assert nsd.detail["tolerance_mm"] == 1.5
    assert [Value.from_json(json.loads(json.dumps(value.to_json()))) for value in found.values] == [
        hd,
        nsd,
    ]


def test_a_label_that_one_image_lacks_scores_worst_and_one_that_both_lack_has_no_value():
    a, b = two_cubes()
    b[b == 2] = 0

    found = measure_labels(label_image(a), label_image(b), tolerance_mm=1, labels=[2, 7])
    lost, nowhere = found

    assert (lost["dice"], lost["nsd"]) == (0, 0)
    assert lost["assd"] == lost["hd95"] == math.inf
    assert "label 2 is not in the other image" in lost.values[0].note
    assert all(math.isnan(value.value) for value in nowhere.values)
    assert "not in the reference nor in the other" in nowhere.values[0].note
    json.dumps([one.to_json() for one in found], allow_nan=False)


def test_a_picture_of_unknown_pixel_size_is_measured_in_pixels():
    a = np.zeros((12, 12, 1), np.uint8)
    a[3:8, 4:9] = 1
    image = label_image(a, calibrated=False)

    (found,) = measure_labels(image, label_image(np.roll(a, 2, 0), calibrated=False),
                              tolerance_mm=1, metrics=["hd"])  # fmt: skip

    assert (found.values[0].value, found.values[0].unit) == (2, "pixels")


def test_whole_numbers_in_floats_are_labels():
    a, b = two_cubes()

    plain = measure_labels(label_image(a), label_image(b), tolerance_mm=1)
    floats = measure_labels(
        label_image(a.astype(np.float32)), label_image(b.astype(np.float32)), tolerance_mm=1
    )

    assert [one["nsd"] for one in floats] == [one["nsd"] for one in plain]


def test_grids_that_do_not_agree_are_refused():
    a, b = two_cubes()

    with pytest.raises(InputError, match="not on one grid"):
        measure_labels(label_image(a), label_image(b, (1, 1, 2)), tolerance_mm=1)


def test_axes_that_are_not_perpendicular_are_refused():
    a, _ = two_cubes()
    affine = np.eye(4)
    affine[1, 2] = 0.4
    image = Image(a[None], Grid(a.shape, affine), Unit.LABEL)

    with pytest.raises(InputError, match="not perpendicular"):
        measure_labels(image, image, tolerance_mm=1)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    image = label_image(two_cubes()[0])

    with pytest.raises(SettingsError, match="at least 0"):
        measure_labels(image, image, tolerance_mm=tolerance)


def test_what_holds_no_labels_is_refused():
    a, _ = two_cubes()
    empty, grey = label_image(0 * a), label_image(np.random.default_rng(0).random(SHAPE))
    many = label_image(np.arange(2000).reshape(20, 10, 10))
    two = Image(np.stack([a, a]), Grid.from_spacing(SHAPE), Unit.LABEL)

    with pytest.raises(UnusablePixels, match="nothing to compare"):
        measure_labels(empty, empty, tolerance_mm=1)
    with pytest.raises(UnusablePixels, match="whole numbers"):
        measure_labels(grey, grey, tolerance_mm=1)
    with pytest.raises(UnusablePixels, match="hardly labels"):
        measure_labels(many, many, tolerance_mm=1)
    with pytest.raises(InputError, match="one channel"):
        measure_labels(two, two, tolerance_mm=1)
    with pytest.raises(UnknownName, match="did you mean"):
        measure_labels(label_image(a), label_image(a), tolerance_mm=1, metrics=["hd96"])
