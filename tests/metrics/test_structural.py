import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from plica.errors import UnusablePixels
from plica.metrics import structural
from plica.metrics.metric import measure
from plica.metrics.pair import Pair
from plica.metrics.structural import gaussian

BOTH = ("ssim", "ms-ssim")


def ssim_of_scikit_image(x, y, data_range):
    return structural_similarity(
        x, y, data_range=data_range, gaussian_weights=True, use_sample_covariance=False
    )


def note_of(measurement, name):
    return next(value.note for value in measurement.values if value.metric == name)


@pytest.mark.parametrize("shape", [(64, 48), (24, 20, 16)])
def test_ssim_is_that_of_monai(make_image, noisy, shape):
    torch = pytest.importorskip("torch")
    regression = pytest.importorskip("monai.metrics.regression")
    x, y = noisy(*shape)

    found = measure(make_image(x), make_image(y), metrics=["ssim"], data_range=255.0)["ssim"]
    a, b = (torch.from_numpy(np.asarray(one, np.float32)[None, None]) for one in (x, y))
    theirs = regression.SSIMMetric(spatial_dims=len(shape), data_range=255.0)(b, a)

    assert found == pytest.approx(float(theirs), abs=1e-4)


@pytest.mark.parametrize("shape", [(64, 48), (11, 30), (37, 101), (24, 20, 16), (11, 12, 13)])
def test_ssim_is_that_of_scikit_image(make_image, noisy, shape):
    x, y = noisy(*shape)

    found = measure(make_image(x), make_image(y), metrics=["ssim"], data_range=255.0)

    assert found["ssim"] == pytest.approx(ssim_of_scikit_image(x, y, 255.0), abs=1e-7)


@pytest.mark.parametrize("shape", [(64, 48), (24, 20, 16)])
def test_ssim_is_that_of_scikit_image_far_from_zero(make_image, noisy, shape):
    x, y = noisy(*shape)
    x, y = x + 30_000, y + 30_000

    found = measure(make_image(x), make_image(y), metrics=["ssim"], data_range=255.0)

    assert found["ssim"] == pytest.approx(ssim_of_scikit_image(x, y, 255.0), abs=1e-6)


@pytest.mark.parametrize("shape", [(176, 192), (178, 201), (177, 180, 179)])
def test_ms_ssim_is_that_of_monai(make_image, noisy, shape):
    torch = pytest.importorskip("torch")
    regression = pytest.importorskip("monai.metrics.regression")
    x, y = (side.astype(np.float32) for side in noisy(*shape, sigma=25.0))

    ours = measure(make_image(x), make_image(y), metrics=["ms-ssim"], data_range=255.0)["ms-ssim"]

    theirs = regression.compute_ms_ssim(
        torch.from_numpy(y)[None, None], torch.from_numpy(x)[None, None], len(shape), 255.0
    ).item()
    assert ours == pytest.approx(theirs, abs=2e-5)  # theirs is in float32
    assert 0.5 < ours < 0.999


def test_ms_ssim_of_colour_is_that_of_monai(make_image, noisy):
    torch = pytest.importorskip("torch")
    regression = pytest.importorskip("monai.metrics.regression")
    planes = [noisy(180, 190, sigma=sigma) for sigma in (5.0, 20.0, 40.0)]
    x, y = (np.stack(side)[..., None].astype(np.float32) for side in zip(*planes, strict=True))

    ours = measure(make_image(x), make_image(y), metrics=["ms-ssim"], data_range=255.0)["ms-ssim"]

    theirs = regression.compute_ms_ssim(
        torch.from_numpy(y[None, ..., 0]), torch.from_numpy(x[None, ..., 0]), 2, 255.0
    ).item()
    assert ours == pytest.approx(theirs, abs=2e-5)  # theirs is in float32


@pytest.mark.parametrize("shape", [(100, 104), (44, 48, 45), (101, 100, 99)])
def test_with_fewer_scales_the_other_weights_are_scaled_as_given_to_monai(make_image, noisy, shape):
    torch = pytest.importorskip("torch")
    regression = pytest.importorskip("monai.metrics.regression")
    x, y = (side.astype(np.float32) for side in noisy(*shape, sigma=25.0))
    found = measure(make_image(x), make_image(y), metrics=["ms-ssim"], data_range=255.0)
    scales = int(note_of(found, "ms-ssim").split(", ")[1][0])
    weights = np.array(structural.SCALE_WEIGHTS[:scales])

    theirs = regression.compute_ms_ssim(
        torch.from_numpy(y)[None, None], torch.from_numpy(x)[None, None], len(shape), 255.0,
        weights=tuple(weights / weights.sum()),
    ).item()  # fmt: skip

    assert 1 < scales < 5
    assert found["ms-ssim"] == pytest.approx(theirs, abs=2e-5)  # theirs is in float32


@pytest.mark.parametrize("shape", [(64, 48), (24, 20, 16)])
def test_torchmetrics_has_the_same_windows_and_those_of_a_mirrored_border_too(
    make_image, noisy, shape
):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchmetrics.functional.image")
    x, y = noisy(*shape)
    found = measure(make_image(x), make_image(y), metrics=["ssim", "psnr"], data_range=255.0)

    tensors = [torch.from_numpy(side)[None, None] for side in (y, x)]
    whole, every = theirs.structural_similarity_index_measure(
        *tensors, data_range=255.0, return_full_image=True
    )
    inner = every[0, 0].numpy()[(slice(5, -5),) * len(shape)].mean()
    assert found["ssim"] == pytest.approx(inner, abs=1e-7)
    assert abs(found["ssim"] - whole.item()) > 1e-3
    psnr = theirs.peak_signal_noise_ratio(*tensors, data_range=255.0).item()
    assert found["psnr"] == pytest.approx(psnr, abs=1e-5)


def test_ssim_with_no_covariance_is_by_hand():
    constant = np.full((1, 12, 12, 1), 100.0)
    found = structural.SSIM.function(Pair(constant, constant + 50, None, 255.0)).value

    c = (0.01 * 255) ** 2
    assert found == pytest.approx((2 * 100 * 150 + c) / (100**2 + 150**2 + c))


def test_the_window_sums_to_one_and_falls_with_the_gaussian():
    weights = gaussian()

    assert weights.sum() == pytest.approx(1)
    assert weights[5] / weights[2] == pytest.approx(math.exp(9 / (2 * 1.5**2)))


@pytest.mark.parametrize("shape", [(40, 40), (16, 20, 18), (40, 30, 4)])
def test_an_image_is_equal_to_itself_and_order_does_not_matter(make_image, noisy, shape):
    x, y = noisy(*shape)

    same = measure(make_image(x), make_image(x), metrics=BOTH, data_range=255.0)
    there = measure(make_image(x), make_image(y), metrics=BOTH, data_range=255.0)
    back = measure(make_image(y), make_image(x), metrics=BOTH, data_range=255.0)

    for name in BOTH:
        assert same[name] == pytest.approx(1, abs=1e-12)
        assert there[name] == pytest.approx(back[name], abs=1e-12)
        assert there[name] < 0.999


def test_slabs_change_nothing(make_image, noisy, monkeypatch):
    x, y = noisy(70, 30, 20)
    whole = measure(make_image(x), make_image(y), metrics=BOTH)

    monkeypatch.setattr("plica.metrics.structural.CHUNK_VOXELS", 1)
    monkeypatch.setattr("plica.metrics.structural.BLOCK", 7)
    parts = measure(make_image(x), make_image(y), metrics=BOTH)

    for name in BOTH:
        assert parts[name] == pytest.approx(whole[name], rel=1e-12)


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_thin_volume_is_taken_slice_by_slice_along_its_thin_axis(make_image, noisy, thin):
    x, y = noisy(30, 26, 5)

    found = measure(
        make_image(np.moveaxis(x, 2, thin)), make_image(np.moveaxis(y, 2, thin)),
        metrics=BOTH, data_range=255.0,
    )  # fmt: skip

    slices = [ssim_of_scikit_image(x[..., k], y[..., k], 255.0) for k in range(5)]
    assert found["ssim"] == pytest.approx(np.mean(slices), abs=1e-7)
    assert note_of(found, "ssim") == "windows of 11×11 slice by slice"


def test_a_small_image_has_fewer_scales_and_says_so(make_image, noisy):
    x, y = noisy(100, 90)

    found = measure(make_image(x), make_image(y), metrics=BOTH, data_range=255.0)

    assert note_of(found, "ms-ssim") == "windows of 11×11, 4 of 5 scales"
    assert note_of(found, "ssim") == "windows of 11×11"


def test_with_one_scale_ms_ssim_is_ssim(make_image, noisy):
    x, y = noisy(20, 21)

    found = measure(make_image(x), make_image(y), metrics=BOTH, data_range=255.0)

    assert found["ms-ssim"] == pytest.approx(found["ssim"])
    assert "1 of 5 scales" in note_of(found, "ms-ssim")


def test_a_tiny_image_has_a_smaller_window_and_says_so(make_image, noisy):
    x, y = noisy(8, 20)

    found = measure(make_image(x), make_image(y), metrics=BOTH, data_range=255.0)

    assert note_of(found, "ssim") == "windows of 7×7"
    assert 0 < found["ssim"] < 1


def test_where_no_window_fits_there_is_no_number(make_image, noisy):
    pair = [make_image(side) for side in noisy(2, 200)]

    found = measure(*pair, metrics=BOTH, data_range=255.0, strict=False)

    assert math.isnan(found["ssim"])
    assert "no window of 3×3 fits" in note_of(found, "ssim")
    with pytest.raises(UnusablePixels, match="give at least 3×3 voxels"):
        measure(*pair, metrics=["ssim"], data_range=255.0)


def test_windows_that_touch_a_missing_value_are_left_out(make_image, noisy):
    x, y = noisy(60, 40)
    y[:12] = 0  # would ruin the number, were its windows taken
    holes = y.copy()
    holes[:12] = np.nan

    found = measure(make_image(x), make_image(holes), metrics=["ssim"], data_range=255.0)

    assert found["ssim"] == pytest.approx(ssim_of_scikit_image(x[12:], y[12:], 255.0), abs=1e-7)
    assert found.n_excluded == 12 * 40


def test_missing_values_stay_missing_at_every_scale(make_image, noisy):
    x, y = noisy(64, 192, sigma=4.0)
    wrong, holes = y.copy(), y.copy()
    wrong[3, 5], holes[3, 5] = 1e6, np.inf

    with_hole = measure(make_image(x), make_image(holes), metrics=["ms-ssim"], data_range=255.0)
    without = measure(make_image(x), make_image(y), metrics=["ms-ssim"], data_range=255.0)
    ruined = measure(make_image(x), make_image(wrong), metrics=["ms-ssim"], data_range=255.0)

    assert with_hole["ms-ssim"] == pytest.approx(without["ms-ssim"], abs=5e-4)
    assert abs(ruined["ms-ssim"] - without["ms-ssim"]) > 1e-3


def test_where_every_window_has_a_missing_value_there_is_no_number(make_image, noisy):
    x, y = noisy(15, 15)
    y[7, 7] = np.nan

    found = measure(make_image(x), make_image(y), metrics=BOTH, data_range=255.0, strict=False)

    assert math.isnan(found["ssim"])
    assert math.isnan(found["ms-ssim"])


def test_with_a_region_the_windows_count_whose_middle_lies_in_it(make_image, noisy):
    x, y = noisy(60, 50)
    region = np.zeros((60, 50, 1), bool)
    region[20:31, 10:25] = True

    found = measure(make_image(x), make_image(y), metrics=["ssim"], data_range=255.0, region=region)

    _, whole = structural_similarity(
        x, y, data_range=255.0, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    assert found["ssim"] == pytest.approx(whole[20:31, 10:25].mean(), abs=1e-7)


def test_a_region_in_a_volume_counts_as_scikit_image_counts_it(make_image, noisy):
    x, y = noisy(24, 22, 20)
    region = np.zeros((24, 22, 20), bool)
    region[8:15, 6:10, 7:12] = True

    found = measure(make_image(x), make_image(y), metrics=["ssim"], data_range=255.0, region=region)

    _, whole = structural_similarity(
        x, y, data_range=255.0, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    assert found["ssim"] == pytest.approx(whole[region].mean(), abs=1e-7)


def test_a_small_region_has_the_scales_that_reach_it(make_image, noisy):
    x, y = noisy(200, 200)
    region = np.zeros((200, 200, 1), bool)
    region[20:50, 20:60] = True

    everywhere = measure(
        make_image(x), make_image(y), metrics=["ms-ssim"], data_range=255.0,
        region=np.ones((200, 200, 1), bool),
    )  # fmt: skip
    inside = measure(
        make_image(x), make_image(y), metrics=["ms-ssim"], data_range=255.0, region=region
    )
    alone = measure(make_image(x), make_image(y), metrics=["ms-ssim"], data_range=255.0)

    assert everywhere["ms-ssim"] == pytest.approx(alone["ms-ssim"], abs=1e-12)
    assert "4 of 5 scales" in note_of(inside, "ms-ssim")
    assert 0 < inside["ms-ssim"] < 1


def test_a_region_at_the_very_edge_has_no_window(make_image, noisy):
    x, y = noisy(60, 50)
    region = np.zeros((60, 50, 1), bool)
    region[:4] = True

    with pytest.raises(UnusablePixels, match="farther from the edges"):
        measure(make_image(x), make_image(y), metrics=["ssim"], data_range=255.0, region=region)


def test_the_opposite_of_an_image_is_not_like_it(make_image, noisy):
    x, _ = noisy(180, 180)

    found = measure(make_image(x), make_image(256 - x), metrics=BOTH, data_range=255.0)

    assert found["ssim"] < 0
    assert found["ms-ssim"] == 0.0
