"""Frequencies are where they are in the patient's space, and what was filtered out is missed."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import tukey as tukey_of_scipy

import plica
from plica.errors import UnusablePixels
from plica.grid import Grid
from plica.image import Image
from plica.metrics.metric import measure
from plica.metrics.pair import Pair
from plica.metrics.spectral import FSC_RESOLUTION, correlate, tukey


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def images(x, y, spacing=(1.0, 1.0, 1.0), *, calibrated=True):
    x, y = (side.reshape(1, *side.shape, *[1] * (3 - side.ndim)) for side in (x, y))
    grid = Grid.from_spacing(x.shape[1:], spacing, calibrated=calibrated)
    return Image(x, grid), Image(y, grid)


def score(x, y, spacing=(1.0, 1.0, 1.0), **others):
    return measure(*images(x, y, spacing), metrics=["fsc-resolution"], **others).values[0]


def sinusoid(shape, spacing, frequency, axis):
    place = np.arange(shape[axis]) * spacing[axis]
    wave = np.sin(2 * np.pi * frequency * place + 0.3)
    return np.broadcast_to(wave.reshape([-1 if a == axis else 1 for a in range(3)]), shape)


def cut(x, spacing, frequency):
    """An ideal low-pass at `frequency` cycles per mm, the same in every direction."""
    axes = np.meshgrid(
        *[np.fft.fftfreq(n, d) for n, d in zip(x.shape, spacing, strict=True)], indexing="ij"
    )
    keep = sum(axis**2 for axis in axes) <= frequency**2
    return np.fft.ifftn(np.fft.fftn(x) * keep).real


def test_the_window_is_that_of_scipy():
    for n in (16, 33, 512):
        np.testing.assert_allclose(tukey(n), tukey_of_scipy(n, 0.25), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((96, 80, 1), (1.0, 1.0, 1.0)),
        ((48, 40, 32), (0.5, 0.5, 0.5)),
        ((64, 60, 24), (0.7, 0.7, 2.5)),
    ],
)
@pytest.mark.parametrize("part", [0.3, 0.6])
def test_the_resolution_is_the_frequency_of_the_low_pass(shape, spacing, part):
    x = noise(*shape)
    frequency = part * 0.5 / spacing[0]

    found = score(x, cut(x, spacing, frequency), spacing)

    width = found.detail["frequency"][1]
    assert found.value == pytest.approx(frequency, abs=1.5 * width)
    assert found.unit == "cycles/mm"
    # What is below the cut came back, what is above it did not; the window blurs a shell or two.
    f = np.array(found.detail["frequency"])
    below, above = f < frequency - 3 * width, f > frequency + 3 * width
    correlation = np.array(found.detail["correlation"], float)
    power = np.array([1.0, *found.detail["power"][1:]], float)
    assert correlation[below].min() > 0.97
    assert power[above].max() < 0.05


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_sinusoid_has_its_power_at_its_cycles_per_millimetre(axis):
    shape, spacing, frequency = (64, 48, 32), (0.5, 1.0, 1.5), 0.25
    wave = 0.7 * sinusoid(shape, spacing, frequency, axis)
    x = noise(*shape) + wave

    detail = score(x, x - wave, spacing).detail  # a codec that lost just the wave

    f, power = (np.array(detail[name][1:], float) for name in ("frequency", "power"))
    assert f[np.argmin(power)] == pytest.approx(frequency, abs=f[0] / 2)
    assert power.min() < 0.2
    assert power[np.abs(f - frequency) > 4 * f[0]].min() > 0.75


def test_the_axes_nyquist_frequencies_are_marked():
    x = noise(40, 40, 20)

    detail = score(x, x, (0.8, 0.5, 3.0)).detail

    assert detail["nyquist"] == {
        "i": pytest.approx(0.625), "j": pytest.approx(1.0), "k": pytest.approx(1 / 6)
    }  # fmt: skip
    assert detail["smallest_nyquist"] == pytest.approx(1 / 6)
    assert detail["frequency"][-1] == pytest.approx(1.0, abs=detail["frequency"][1])


def test_the_same_object_on_a_finer_grid_has_its_resolution_in_the_same_place():
    fine = gaussian_filter(noise(128, 128), 2.0)
    blurred = cut(fine, (0.5, 0.5), 0.1)

    here = score(fine, blurred, (0.5, 0.5, 1.0)).value
    there = score(fine[::2, ::2], blurred[::2, ::2], (1.0, 1.0, 1.0)).value

    assert here == pytest.approx(there, abs=0.02)
    assert here == pytest.approx(0.1, abs=0.02)


def test_a_sheared_grid_has_its_frequencies_where_they_are_in_space():
    # A wave along world y, seen by a gantry-tilted grid: k leans towards y.
    spacing, lean, frequency = (1.0, 1.0, 2.0), 1.5, 0.12
    affine = np.diag([*spacing, 1.0])
    affine[1, 2] = lean * spacing[2]
    grid = Grid((32, 64, 24), affine)
    places = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    wave = 2 * np.sin(2 * np.pi * frequency * places[..., 1])
    x = noise(*grid.shape) + wave

    found = correlate(Pair(x[None], (x - wave)[None], None, 1.0, grid=grid))

    lost = np.nanargmin(found.power[1:]) + 1
    assert found.frequency[lost] == pytest.approx(frequency, abs=found.frequency[1] / 2)


def test_an_image_correlates_with_itself_and_gain_and_shift_do_not_matter():
    x = noise(40, 36, 20)

    same, louder = score(x, x), score(x, 3 * x + 50)

    assert same.detail["correlation"] == pytest.approx([1] * len(same.detail["correlation"]))
    assert "at least ½ at every frequency" in same.note
    assert louder.value == same.value == pytest.approx(0.5, abs=0.06)
    assert louder.detail["power"][1:] == pytest.approx([9] * (len(same.detail["power"]) - 1))


@pytest.mark.parametrize("factor", [4, 8])
def test_bicubic_resolves_what_its_coarser_grid_can_hold(factor):
    codec = plica.load(f"bicubic-{factor}x-2d")
    source, _ = images(noise(192, 160), noise(192, 160), (0.5, 0.5, 1.0))

    decoded = codec.decode(codec.encode(source))
    found = measure(source, decoded, metrics=["fsc-resolution"])["fsc-resolution"]

    coarser = 0.5 / (factor * 0.5)  # Nyquist of the grid that the latent stands on
    assert 0.9 * coarser < found < 1.3 * coarser


def test_noise_of_equal_power_has_the_correlation_of_the_formula():
    x, n = noise(160, 160), noise(160, 160, seed=1)

    correlation = np.array(score(x, x + n).detail["correlation"], float)

    # X·(X + N) / (|X| |X + N|) = 1 / √2
    assert correlation[10:].mean() == pytest.approx(math.sqrt(0.5), abs=0.02)


def test_a_strange_image_does_not_correlate():
    found = score(noise(80, 80), noise(80, 80, seed=1))

    assert found.value < 0.05
    assert np.abs(np.array(found.detail["correlation"][8:], float)).max() < 0.4


def test_the_curve_is_that_of_a_plain_transform():
    x, y = noise(24, 21, 19), noise(24, 21, 19) + noise(24, 21, 19, seed=2)
    spacing = (0.5, 0.8, 1.1)

    found = correlate(Pair(x[None], y[None], None, 1.0, grid=Grid.from_spacing(x.shape, spacing)))

    window = np.einsum("i,j,k->ijk", *[tukey(n) for n in x.shape])
    fx, fy = (np.fft.fftn((side - side.mean()) * window) for side in (x, y))
    axes = np.meshgrid(
        *[np.fft.fftfreq(n, d) for n, d in zip(x.shape, spacing, strict=True)], indexing="ij"
    )
    shell = np.rint(np.sqrt(sum(axis**2 for axis in axes)) / found.frequency[1]).astype(int)
    for s in range(1, len(found.frequency)):
        inside = shell == s
        cross = (fx[inside] * fy[inside].conj()).real.sum()
        powers = [(np.abs(side[inside]) ** 2).sum() for side in (fx, fy)]
        assert found.correlation[s] == pytest.approx(cross / math.sqrt(math.prod(powers)), abs=1e-5)
        assert found.power[s] == pytest.approx(powers[1] / powers[0], rel=1e-5)
        assert found.n[s] == inside.sum()


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_thin_volume_is_taken_in_rings_slice_by_slice(thin):
    x, y = noise(40, 36, 5), noise(40, 36, 5) + noise(40, 36, 5, seed=3)
    spacing = np.array([0.6, 0.6, 5.0])
    order = np.insert([0, 1], thin, 2)

    flat = score(x, y, tuple(spacing))
    turned = score(x.transpose(order), y.transpose(order), tuple(spacing[order]))

    assert turned.value == pytest.approx(flat.value, rel=1e-4)
    assert turned.detail["correlation"] == pytest.approx(flat.detail["correlation"], abs=1e-4)
    assert list(flat.detail["nyquist"]) == ["i", "j"]
    assert "slice by slice along k" in flat.note


def test_chunks_change_nothing(monkeypatch):
    x, y = noise(40, 36, 5), noise(40, 36, 5, seed=1)
    whole = score(x, y).detail

    monkeypatch.setattr("plica.metrics.spectral.CHUNK_VOXELS", 1)

    assert score(x, y).detail == whole


def test_a_picture_of_unknown_pixel_size_has_cycles_per_pixel():
    x = noise(40, 40)

    value = measure(*images(x, x, calibrated=False), metrics=["fsc-resolution"]).values[0]

    assert (value.unit, value.detail["unit"]) == ("cycles/pixel", "cycles/pixel")


def test_both_thresholds_stand_in_the_detail():
    x = noise(96, 96)

    found = score(x, gaussian_filter(x, 1.2) + 0.05 * noise(96, 96, seed=5))

    half = found.detail["resolution_at_half"]
    assert half == found.value < found.detail["resolution_at_one_seventh"]


def test_with_a_region_its_box_is_compared():
    x, y = noise(60, 50), noise(60, 50) + noise(60, 50, seed=1)
    region = np.zeros((60, 50, 1), bool)
    region[10, 12] = region[39, 47] = True

    inside = score(x, y, region=region)

    assert inside.detail == score(x[10:40, 12:48], y[10:40, 12:48]).detail


def test_where_the_source_has_nothing_there_is_no_correlation():
    x = cut(noise(64, 64), (1.0, 1.0), 0.2)
    window = np.outer(tukey(64), tukey(64)) > 0.999
    assert window.any()

    found = FSC_RESOLUTION.function(
        Pair(np.zeros((1, 32, 32, 1)), x[None, :32, :32, None], None, 1)
    )

    assert math.isnan(found.value)


def test_what_cannot_be_transformed_says_what_to_give():
    x = noise(40, 40)
    holes = x.copy()
    holes[3, 3] = np.nan

    with pytest.raises(UnusablePixels, match="at least 16×16"):
        score(x[:10], x[:10])
    with pytest.raises(UnusablePixels, match="1 values are not finite"):
        score(x, holes)
    with pytest.raises(UnusablePixels, match="one that varies"):
        score(0 * x, x)
    region = np.zeros((40, 40, 1), bool)
    region[10:40, 10:40] = True
    assert score(x, holes, region=region).value > 0
