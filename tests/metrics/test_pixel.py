import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import peak_signal_noise_ratio

from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import measure

finite = st.floats(-1e4, 1e4, width=32)
small = arrays(np.float32, (1, 4, 5, 2), elements=finite)
PIXEL = ("psnr", "mae", "rmse", "bias", "max-error")


def on_grid(pixels, unit=Unit.RELATIVE):
    return Image(pixels, Grid.from_spacing(pixels.shape[1:]), unit)


def test_a_worked_example_by_hand(make_image):
    source = make_image(np.array([[0, 10], [20, 30]], np.int16), Unit.HU)
    decoded = make_image(np.array([[1, 10], [20, 27]], np.int16), Unit.HU)

    found = measure(source, decoded, metrics=PIXEL)

    assert found["mae"] == 1.0
    assert found["bias"] == -0.5
    assert found["max-error"] == 3.0
    assert found["rmse"] == math.sqrt(2.5)
    assert found["psnr"] == pytest.approx(10 * math.log10(4095**2 / 2.5))


def test_psnr_is_that_of_scikit_image(make_image, noisy):
    x, y = noisy(40, 50)

    found = measure(make_image(x), make_image(y), metrics=["psnr"], data_range=255.0)

    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(x, y, data_range=255), abs=1e-9)


def test_psnr_is_that_of_monai(make_image, noisy):
    torch = pytest.importorskip("torch")
    regression = pytest.importorskip("monai.metrics.regression")
    x, y = noisy(40, 30, 8)

    found = measure(make_image(x), make_image(y), metrics=["psnr"], data_range=255.0)["psnr"]
    a, b = (torch.from_numpy(np.asarray(one, np.float32)[None, None]) for one in (x, y))
    theirs = float(regression.PSNRMetric(max_val=255.0)(b, a))

    assert found == pytest.approx(theirs, abs=1e-4)


def test_eight_bit_values_do_not_wrap_around(make_image):
    source = make_image(np.full((4, 4), 250, np.uint8), Unit.DISPLAY)
    decoded = make_image(np.full((4, 4), 5, np.uint8), Unit.DISPLAY)

    found = measure(source, decoded, metrics=PIXEL)

    assert (found["mae"], found["bias"], found["max-error"]) == (245.0, -245.0, 245.0)


def test_chunks_change_nothing(make_image, noisy, monkeypatch):
    x, y = noisy(13, 11, 7)
    whole = measure(make_image(x), make_image(y), metrics=PIXEL)

    monkeypatch.setattr("plica.metrics.pair.CHUNK_VOXELS", 100)
    parts = measure(make_image(x), make_image(y), metrics=PIXEL)

    for name in PIXEL:
        assert parts[name] == pytest.approx(whole[name], rel=1e-12)


@given(small)
def test_an_image_is_equal_to_itself(pixels):
    found = measure(on_grid(pixels), on_grid(pixels), metrics=PIXEL)

    assert found["psnr"] == math.inf
    assert [found[name] for name in PIXEL[1:]] == [0, 0, 0, 0]


@given(small, small)
def test_which_of_the_two_is_decoded_matters_only_for_the_sign_of_the_bias(a, b):
    there = measure(on_grid(a), on_grid(b), metrics=PIXEL, data_range=1.0)
    back = measure(on_grid(b), on_grid(a), metrics=PIXEL, data_range=1.0)

    assert there["bias"] == pytest.approx(-back["bias"], abs=1e-9)
    for name in ("psnr", "mae", "rmse", "max-error"):
        assert there[name] == pytest.approx(back[name], rel=1e-12)


@given(st.floats(0.01, 1000), st.floats(1, 1e5))
def test_a_constant_shift_has_the_psnr_of_the_formula(shift, data_range):
    source = np.arange(24, dtype=np.float64).reshape(1, 4, 3, 2)

    found = measure(on_grid(source), on_grid(source + shift), metrics=PIXEL, data_range=data_range)

    assert found["psnr"] == pytest.approx(20 * math.log10(data_range / shift), abs=1e-6)
    assert found["bias"] == pytest.approx(shift, rel=1e-9)


@given(small, small, st.floats(0.125, 8))
def test_errors_scale_with_the_values_and_psnr_does_not(a, b, scale):
    a, b = a.astype(np.float64), b.astype(np.float64)
    once = measure(on_grid(a), on_grid(b), metrics=PIXEL, data_range=100.0)
    scaled = measure(
        on_grid(a * scale), on_grid(b * scale), metrics=PIXEL, data_range=100.0 * scale
    )

    for name in ("mae", "rmse", "bias", "max-error"):
        assert scaled[name] == pytest.approx(once[name] * scale, rel=1e-6, abs=1e-9)
    if math.isfinite(once["psnr"]):
        assert scaled["psnr"] == pytest.approx(once["psnr"], abs=1e-6)
