"""Each wavelet band is judged by its own energy, in 2D and 3D, at every size."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.errors import UnusablePixels
from plica.metrics.metric import measure
from plica.metrics.pair import Pair
from plica.metrics.wavelet import WAVELET_DETAIL, find_bands

HIGH = {"i", "j", "ij"}


@pytest.fixture
def noisy(noisy):
    """The same with a source that has detail in every band, as real images do."""

    def make(*shape):
        x, y = noisy(*shape)
        rough = np.random.default_rng(1).normal(0, 5, shape)
        return x + rough, y + rough

    return make


def pair_of(x, y, **others):
    shape = (1, *x.shape, *[1] * (3 - x.ndim))
    return Pair(np.asarray(x, float).reshape(shape), np.asarray(y, float).reshape(shape), None, 1.0,
                **others)  # fmt: skip


def haar(n):
    """The matrix of one level of Haar's transform of n voxels, n even: lows, then highs."""
    pairs = np.repeat(np.eye(n // 2), 2, axis=1)
    return np.concatenate([pairs, pairs * np.tile([1, -1], n // 2)]) / math.sqrt(2)


def test_bands_are_those_of_the_matrix(noisy):
    x, y = noisy(12, 16)
    c, chat = (haar(12) @ side @ haar(16).T for side in (x, y))

    bands, _ = find_bands(pair_of(x, y))

    parts = {"i": np.s_[6:, :8], "j": np.s_[:6, 8:], "ij": np.s_[6:, 8:]}
    for name, part in parts.items():
        band = bands[1, name]
        assert band.source == pytest.approx((c[part] ** 2).sum())
        assert band.decoded == pytest.approx((chat[part] ** 2).sum())
        assert band.error == pytest.approx(((chat - c)[part] ** 2).sum())
    expected = np.mean(
        [((chat - c)[part] ** 2).sum() / (c[part] ** 2).sum() for part in parts.values()]
    )
    assert WAVELET_DETAIL.function(pair_of(x, y)).value == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(16, 24), (16, 8, 24), (64, 8, 8)])
def test_energy_is_kept_where_every_side_is_whole(noisy, shape):
    x, y = noisy(*shape)

    bands, axes = find_bands(pair_of(x, y))

    assert len(axes) == len(shape)
    assert sum(band.source for band in bands.values()) == pytest.approx((x**2).sum())
    assert sum(band.error for band in bands.values()) == pytest.approx(((y - x) ** 2).sum())
    assert sum(band.n for band in bands.values()) == x.size


def test_a_band_of_nothing_scores_one_and_not_twenty_decibels(noisy):
    x, _ = noisy(64, 64)
    coarse = x.reshape(32, 2, 32, 2).mean((1, 3)).repeat(2, 0).repeat(2, 1)

    score = WAVELET_DETAIL.function(pair_of(x, coarse))

    assert score.value == pytest.approx(1)
    by_name = {(band["level"], band["band"]): band for band in score.detail["bands"]}
    assert max(by_name[1, name]["energy"] for name in HIGH) < 1e-12
    assert by_name[2, "ij"]["error"] == pytest.approx(0, abs=1e-12)
    assert by_name[3, "low"]["error"] == pytest.approx(0, abs=1e-12)


def test_only_the_band_that_was_changed_is_accused():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(32, 32, 32))
    stripes = np.zeros_like(x)
    stripes[..., 0::2], stripes[..., 1::2] = 1, -1  # high along k alone

    detail = WAVELET_DETAIL.function(pair_of(x, x + stripes)).detail

    accused = {(b["level"], b["band"]) for b in detail["bands"] if b["error"] > 1e-12}
    assert accused == {(1, "k")}


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(st.integers(2, 19), st.integers(2, 19), st.sampled_from([1, 2, 5, 9])),
    st.integers(0, 99),
)
def test_an_image_is_equal_to_itself_at_every_size_and_twice_as_wrong_is_four_times(shape, seed):
    generator = np.random.default_rng(seed)
    x, e = generator.normal(size=(2, *shape))

    same, once, twice = (
        WAVELET_DETAIL.function(pair_of(x, x + factor * e)).value for factor in (0, 1, 2)
    )

    assert same == pytest.approx(0, abs=1e-20)
    assert twice == pytest.approx(4 * once, rel=1e-9)


def test_an_odd_last_voxel_is_repeated(noisy):
    x, y = noisy(15, 21)
    padded = [np.pad(side, ((0, 1), (0, 1)), mode="edge") for side in (x, y)]

    odd, even = (find_bands(pair_of(*sides))[0] for sides in ((x, y), padded))

    for name in HIGH:
        assert odd[1, name].error == pytest.approx(even[1, name].error)
        assert odd[1, name].n == even[1, name].n


def test_slabs_change_nothing(noisy, monkeypatch):
    x, y = noisy(45, 13, 11)
    whole = WAVELET_DETAIL.function(pair_of(x, y))

    monkeypatch.setattr("plica.metrics.wavelet.CHUNK_VOXELS", 1)
    parts = WAVELET_DETAIL.function(pair_of(x, y))

    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert [b["n"] for b in parts.detail["bands"]] == [b["n"] for b in whole.detail["bands"]]


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_thin_volume_is_taken_slice_by_slice(noisy, thin):
    x, y = noisy(24, 20, 5)
    slices = [find_bands(pair_of(x[..., k], y[..., k]))[0] for k in range(5)]

    bands, _ = find_bands(pair_of(np.moveaxis(x, 2, thin), np.moveaxis(y, 2, thin)))

    names = sorted(bands, key=lambda item: (item[0], item[1]))
    expected = sorted(slices[0], key=lambda item: (item[0], item[1]))
    assert len(names) == len(expected)
    assert sum(band.error for band in bands.values()) == pytest.approx(
        sum(band.error for one in slices for band in one.values())
    )


def test_coefficients_that_touch_a_missing_value_are_left_out(make_image, noisy):
    x, y = noisy(32, 32)
    holes = y.copy()
    holes[:8] = np.nan  # a whole multiple of the coarsest coefficient

    found = measure(make_image(x), make_image(holes), metrics=["wavelet-detail"])

    rest = measure(make_image(x[8:]), make_image(y[8:]), metrics=["wavelet-detail"])
    assert found["wavelet-detail"] == pytest.approx(rest["wavelet-detail"])
    for ours, theirs in zip(*(one.values[0].detail["bands"] for one in (found, rest)), strict=True):
        assert ours == pytest.approx(theirs)


def test_with_a_region_the_coefficients_count_that_touch_it(make_image, noisy):
    x, y = noisy(32, 32)
    region = np.zeros((32, 32, 1), bool)
    region[9:15, 17:24] = True  # within 8 … 16, 16 … 24

    found = measure(make_image(x), make_image(y), metrics=["wavelet-detail"], region=region)

    crop = measure(
        make_image(x[8:16, 16:24]), make_image(y[8:16, 16:24]), metrics=["wavelet-detail"]
    )
    assert found["wavelet-detail"] == pytest.approx(crop["wavelet-detail"])


def test_a_small_image_has_fewer_levels_and_says_so(make_image, noisy):
    x, y = noisy(5, 40)

    found = measure(make_image(x), make_image(y), metrics=["wavelet-detail"])

    assert found.values[0].note == "Haar in 2D, 2 of 3 levels"


def test_what_has_no_detail_is_refused(make_image):
    flat, line = np.full((8, 8), 5.0), np.arange(8.0)[:, None]

    with pytest.raises(UnusablePixels, match="one that is not constant"):
        measure(make_image(flat), make_image(np.eye(8)), metrics=["wavelet-detail"])
    with pytest.raises(UnusablePixels, match="at least 2×2"):
        measure(make_image(line), make_image(line + 1), metrics=["wavelet-detail"])
    same = measure(make_image(flat), make_image(flat + 3), metrics=["wavelet-detail"])
    assert same["wavelet-detail"] == 0
