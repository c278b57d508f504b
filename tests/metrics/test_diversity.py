"""Diversity tells a set that repeats itself from one that does not, and pairs patients only."""

import numpy as np
import pytest

from plica.errors import InputError, SettingsError, UnusablePixels
from plica.metrics.distribution import NO_FLOOR
from plica.metrics.diversity import (
    Pictures,
    compare_diversity,
    draw_pairs,
    measure_likeness,
)


def make_pictures(n=30, *, seed=0, spread=1.0, per_patient=1, side=24, prefix="p") -> Pictures:
    """Smooth blobs: `spread` 0 makes them all the same."""
    chance = np.random.default_rng(seed)
    x = np.linspace(0, 1, side)
    shared = chance.uniform(0.2, 0.8, 2)
    values = []
    for _ in range(n):
        i, j = shared + spread * (chance.uniform(0.2, 0.8, 2) - shared)
        blob = np.exp(-((x[:, None] - i) ** 2 + (x[None] - j) ** 2) / 0.02)
        values.append(blob[..., None])
    names = tuple(f"{prefix}{m}" for m in range(n))
    patients = tuple(f"{prefix}{m // per_patient}" for m in range(n))
    return Pictures(np.array(values, np.float32), patients, names, "blobs")


def test_a_set_that_repeats_itself_is_less_diverse():
    real, dull = make_pictures(), make_pictures(seed=1, spread=0.2, prefix="d")

    found = compare_diversity(real, dull, pairs=150)

    assert found.value > 0.1
    assert found.interval[0] > 0
    assert found.value > found.floor.high
    assert found.extras["other"] - found.extras["real"] == pytest.approx(found.value)
    assert found.better == "nearer zero"


def test_two_sets_of_one_kind_have_a_gap_about_zero():
    found = compare_diversity(make_pictures(), make_pictures(seed=2, prefix="d"), pairs=150)

    assert found.interval[0] < 0 < found.interval[1]
    assert found.floor.low < 0 < found.floor.high


def test_a_set_and_itself_have_no_gap_at_all():
    real = make_pictures(20)

    found = compare_diversity(real, real, pairs=60)

    assert found.value == 0.0
    assert found.interval == (0.0, 0.0)


def test_one_image_over_and_over_has_likeness_one():
    assert measure_likeness(make_pictures(6, spread=0.0)).mean == pytest.approx(1.0, abs=1e-6)


def test_likeness_is_that_of_the_metric_on_images(make_image):
    from plica.metrics.metric import measure

    pictures = make_pictures(2, side=180)
    images = [make_image(values[..., 0]) for values in pictures.values]
    value = measure(*images, metrics=("ms-ssim",), data_range=1.0)["ms-ssim"]

    assert measure_likeness(pictures).mean == pytest.approx(value, abs=1e-6)


def test_volumes_have_windows_in_three_dimensions():
    chance = np.random.default_rng(0)
    values = chance.uniform(0, 1, (4, 16, 16, 16)).astype(np.float32)
    pictures = Pictures(values, tuple("abcd"), tuple("abcd"))

    assert abs(measure_likeness(pictures).mean) < 0.2


def test_pairs_are_of_two_patients_each_once_and_seeded():
    patients = [f"p{n // 3}" for n in range(12)]

    first, second = draw_pairs(patients, 1000, seed=0)

    assert len({*zip(first.tolist(), second.tolist(), strict=True)}) == len(first) == 66 - 4 * 3
    assert all(patients[a] != patients[b] for a, b in zip(first, second, strict=True))
    assert not np.array_equal(draw_pairs(patients, 20, seed=1)[0], first[:20])
    assert np.array_equal(draw_pairs(patients, 20, seed=0)[0], first[:20])


def test_pairs_of_very_many_images_are_drawn_without_listing_them():
    patients = [f"p{n // 2}" for n in range(4000)]

    first, second = draw_pairs(patients, 500, seed=0)

    assert len({*zip(first.tolist(), second.tolist(), strict=True)}) == 500
    assert all(patients[a] != patients[b] for a, b in zip(first, second, strict=True))
    assert not len(draw_pairs(["p"] * 4000, 5, seed=0)[0])


def test_the_interval_knows_that_pairs_share_images():
    """With few images and all their pairs, a bootstrap of pairs would be far too narrow."""
    gaps, covered = [], 0
    for seed in range(14):
        real = make_pictures(10, seed=2 * seed)
        other = make_pictures(10, seed=2 * seed + 1, prefix="d")
        found = compare_diversity(real, other, pairs=45, seed=seed, repeats=0)
        covered += found.interval[0] <= 0 <= found.interval[1]
        gaps.append(found.value)

    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(14)
    assert covered >= 11


def test_few_patients_are_warned_of_and_one_is_refused():
    few = compare_diversity(make_pictures(4), make_pictures(4, seed=1, prefix="d"))

    assert few.interval is None
    assert any("below the 40 it needs" in line for line in few.warnings)
    with pytest.raises(InputError, match="images of one"):
        measure_likeness(make_pictures(5, per_patient=5))


def test_a_pair_that_lies_in_no_half_leaves_no_floor():
    found = compare_diversity(make_pictures(6), make_pictures(6, seed=1, prefix="d"), pairs=1)

    assert found.floor is None
    assert NO_FLOOR in found.warnings


def test_of_patients_enough_nothing_is_warned():
    real, other = make_pictures(40), make_pictures(40, seed=1, prefix="d")

    assert compare_diversity(real, other, pairs=8, repeats=0).warnings == ()


def test_what_cannot_be_compared_is_refused():
    real = make_pictures(4)

    with pytest.raises(InputError, match="prepare both alike"):
        compare_diversity(real, make_pictures(4, side=32))
    with pytest.raises(InputError, match="at least one image"):
        Pictures(np.zeros((0, 8, 8, 1), np.float32), (), ())
    with pytest.raises(UnusablePixels, match="not finite"):
        Pictures(np.full((1, 8, 8, 1), np.nan, np.float32), ("a",), ("a",))
    with pytest.raises(UnusablePixels, match="too small for MS-SSIM"):
        measure_likeness(make_pictures(3, side=2))
    with pytest.raises(SettingsError, match="1 or more pairs"):
        measure_likeness(real, pairs=0)
    with pytest.raises(InputError, match="3 pictures have 2 patients"):
        Pictures(np.zeros((3, 8, 8, 1), np.float32), ("a", "b"), ("a", "b", "c"))


def test_a_floor_of_fewer_than_no_splits_is_refused_and_each_pair_told():
    with pytest.raises(SettingsError, match="0 or more splits, but -1"):
        compare_diversity(make_pictures(6), make_pictures(6, seed=1), pairs=4, repeats=-1)
    told = []
    measure_likeness(make_pictures(6), pairs=5, tell=lambda *numbers: told.append(numbers))
    assert told == [(n, len(told)) for n in range(1, len(told) + 1)]
    assert told
