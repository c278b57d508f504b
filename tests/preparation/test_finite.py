import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.preparation.conftest import make, there_and_back

from plica.errors import LatentError, SettingsError, UnusablePixels
from plica.latent import Record
from plica.preparation.finite import Finite

ODD = st.sampled_from([0.0, -3.5, 7.0, np.nan, np.inf, -np.inf])


def broken():
    pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 5
    pixels[0, 1, 2] = np.nan
    pixels[1, 1, 1] = np.inf
    pixels[1, 1, 2:] = -np.inf
    return make(pixels)


def test_a_finite_image_is_passed_on_as_it_is():
    image = make(np.zeros((2, 3, 4), np.float32))

    prepared, record, back = there_and_back(Finite(), image)

    assert prepared is image
    assert back is image
    assert not record.loss
    assert not record.arrays


def test_the_refusal_names_how_many_which_kinds_where_and_what_to_do():
    with pytest.raises(UnusablePixels) as caught:
        Finite().apply(broken())

    message = str(caught.value)
    for part in ("1 NaN", "1 +infinity", "2 −infinity", "of 24", "(0, 1, 2)", "--fill-nonfinite"):
        assert part in message


def test_filling_takes_the_smallest_finite_value():
    prepared, record, _ = there_and_back(Finite("background"), broken())

    assert prepared.count_nonfinite() == 0
    assert prepared.pixels[0, 0, 1, 2] == prepared.pixels[0, 1, 1, 1] == -5
    assert prepared.provenance.steps
    assert not record.loss  # every one of them comes back


def test_an_image_without_any_finite_value_is_refused_even_when_filling():
    with pytest.raises(UnusablePixels, match="no finite value"):
        Finite("background").apply(make(np.full((2, 2, 2), np.nan)))


def test_another_way_of_filling_is_refused():
    with pytest.raises(SettingsError, match="zero"):
        Finite("zero")


@given(arrays(np.float64, st.tuples(*[st.integers(1, 5)] * 4), elements=ODD))
def test_every_nan_and_infinity_returns_to_its_place(pixels):
    image = make(pixels)
    if not np.isfinite(pixels).any():
        return
    prepared, _, back = there_and_back(Finite("background"), image)

    assert np.isfinite(prepared.pixels).all()
    np.testing.assert_array_equal(back.pixels, pixels)


def test_a_turned_view_is_filled_and_restored_in_its_own_order():
    pixels = broken().pixels[:, ::-1].transpose(0, 3, 1, 2)
    _, _, back = there_and_back(Finite("background"), make(pixels))

    np.testing.assert_array_equal(back.pixels, pixels)


def test_a_run_of_nan_costs_a_few_bytes():
    pixels = np.zeros((64, 64, 64), np.float32)
    pixels[:40] = np.nan
    _, record, _ = there_and_back(Finite("background"), make(pixels))

    assert sum(array.nbytes for array in record.arrays.values()) < 16


def test_nan_is_not_put_back_into_whole_numbers():
    _, record = Finite("background").apply(broken())

    with pytest.raises(LatentError, match="NaN cannot be put back"):
        Finite.revert(make(np.zeros((2, 3, 4), np.int16)), record)


def test_runs_that_reach_beyond_the_image_are_refused():
    arrays = {"gaps": np.array([5], np.uint8), "lengths": np.array([20], np.uint8)}
    record = Record("finite", {"filled": 3}, arrays=arrays | {"kinds": np.array([1], np.uint8)})

    with pytest.raises(LatentError, match="reach beyond"):
        Finite.revert(make(np.zeros((2, 3, 4), np.float32)), record)
