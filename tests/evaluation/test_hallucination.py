"""The hallucination score: fakes are found, losses are not accused, on made and real images."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter, uniform_filter
from tests.evaluation.phantoms import body, make, shifted, smooth_noise

from plica.codecs.catalogue import load
from plica.errors import SettingsError, UnusablePixels
from plica.evaluation.accusation import self_test
from plica.evaluation.degradation import interpolate_bicubic
from plica.evaluation.fields import to_field, to_values
from plica.evaluation.hallucination import ACCUSED, Judge
from plica.evaluation.lesions import draw_ball
from plica.image import Unit

FACTOR = (4, 4, 1)
REAL = [
    "chest-ct/lidc-idri-0314/dicom/000154.dcm",
    "other-ct/ny-sbu-2d/A062055_axial_19001127-136.dcm",
    "cxr/hannover-covid19/5f619d7e.png",
    "mammo/cdd-cesm/flipped_P132_R_DM_MLO.jpg",
    "brain-mri/studyforrest-T1/dicom/N2D_0201.dcm",
    "msk-xray/jordan-ddh/331_DDH_10.dcm",
]


@pytest.fixture(scope="module")
def image():
    return body()


@pytest.fixture(scope="module")
def judge(image):
    return Judge(to_field(image), FACTOR)


def disc(shape, at, diameter):
    return draw_ball(shape, (1.0, 1.0, 1.0), (*at, 0.0), diameter)


def folded(values, kernel):
    """What a codec of four by four makes of it."""
    codec = load("linear-4x1-2d" if kernel == "linear" else f"{kernel}-4x-2d", device="cpu")
    image = make(values, dtype=np.float32)
    return to_values(codec.decode(codec.encode(image)))


# -- what is no invention ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [
    lambda x: x,
    lambda x: gaussian_filter(x, (1.5, 1.5, 0)),
    lambda x: interpolate_bicubic(x, FACTOR),
    lambda x: 0.7 * x + 0.3 * gaussian_filter(x, (2, 2, 0)),
    lambda x: shifted(x, (0.2, -0.1)),
], ids=["nothing", "blur", "bicubic", "attenuation", "shift"])  # fmt: skip
def test_losses_are_not_accused(image, judge, loss):
    found = judge.judge(loss(to_values(image)))

    assert found.places == 0
    assert found.peak < ACCUSED
    assert found.null_share < 0.05


@pytest.mark.parametrize("loss", [
    lambda x: gaussian_filter(x, (1.2, 1.2, 0)),
    lambda x: gaussian_filter(x, (2.4, 2.4, 0)),
    lambda x: uniform_filter(x, (3, 3, 1)),
    lambda x: median_filter(x, (3, 3, 1)),
    lambda x: folded(x, "bilinear"),
    lambda x: folded(x, "linear"),
], ids=["0.3 cells", "0.6 cells", "means", "medians", "bilinear", "fitted filters"])  # fmt: skip
def test_losses_the_allowance_was_not_made_from_are_not_accused(image, judge, loss):
    """Bicubic's acquittal is the allowance's own; these are evidence."""
    assert judge.judge(loss(to_values(image))).places == 0


def test_resampling_that_makes_blocks_is_accused(image, judge):
    assert judge.judge(folded(to_values(image), "nearest")).places > 0


@pytest.mark.parametrize("kernel", ["nearest", "area"])
def test_blocks_on_a_radiograph_are_accused(shared, kernel):
    """Block means are, on most images: not on the phantom, where they lose less than they make."""
    from plica.formats.doors import read

    field = to_field(read(shared / "data" / REAL[2]))

    assert Judge(field, FACTOR).judge(folded(field.values, kernel)).places > 0


def test_what_a_mixture_explains_exactly_leaves_nothing(image, judge):
    values = to_values(image)

    assert np.abs(judge.unexplained(values)).max() < 0.02 * np.ptp(values)
    assert judge.judge(values).kept_detail == pytest.approx(1.0)


def test_the_unexplained_part_is_linear_in_the_decoded_image(image, judge):
    values, fake = to_values(image), disc(image.grid.shape, (80, 100), 12)

    together = judge.unexplained(values + 30 * fake)

    parts = judge.unexplained(values) + 30 * judge.without_mixture(fake)
    assert np.abs(together - parts).max() < 1e-8


# -- what is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("contrast", [-100, 60, 100, 300])
def test_a_fake_lesion_is_found_where_it_is(image, judge, contrast):
    values = interpolate_bicubic(to_values(image), FACTOR)

    found = judge.judge(values + contrast * disc(image.grid.shape, (80, 100), 12))

    assert found.places >= 1
    assert found.peak > ACCUSED
    assert np.hypot(found.peak_at[0] - 80, found.peak_at[1] - 100) < 8


def test_two_fakes_are_two_places(image, judge):
    shape = image.grid.shape
    fakes = disc(shape, (80, 110), 12) + disc(shape, (80, 30), 12)

    assert judge.judge(to_values(image) + 150 * fakes).places == 2


def test_texture_that_was_made_up_is_invented_detail(image, judge):
    values = interpolate_bicubic(to_values(image), FACTOR)
    fresh = np.random.default_rng(9).normal(0, 12, values.shape)

    plain, noisy = judge.judge(values), judge.judge(values + fresh)

    assert noisy.null_energy > plain.null_energy + 0.8 * 12**2 * (15 / 16)
    assert noisy.null_energy < plain.null_energy + 1.1 * 12**2
    assert noisy.null_share > plain.null_share


def test_blocks_are_structure_without_a_source(image, judge):
    values = to_values(image)
    blocks = np.kron(values[::4, ::4, 0], np.ones((4, 4)))[:, :, None]

    assert judge.judge(blocks).places > 0


def test_a_fake_in_a_volume_is_found():
    image = body((48, 48, 24), noise=10.0)
    judge = Judge(to_field(image), (4, 4, 4))
    values = interpolate_bicubic(to_values(image), (4, 4, 4))
    ball = draw_ball(image.grid.shape, (1.0, 1.0, 1.0), (24.0, 34.0, 12.0), 10.0)

    assert judge.judge(values).places == 0
    found = judge.judge(values + 200 * ball)
    assert found.places == 1
    assert np.abs(np.array(found.peak_at) - (24, 34, 12)).max() <= 6


# -- the test of the test ------------------------------------------------------------------------


def test_the_self_test_passes_on_a_phantom(image):
    verdict = self_test(to_field(image), FACTOR)

    assert verdict.passed
    assert verdict.limit < verdict.contrast
    assert verdict.to_json()["passed"] is True


def test_the_limit_is_the_faintest_fake_that_is_found(image):
    field = to_field(image)
    judge = Judge(field, FACTOR)
    decoded = interpolate_bicubic(field.values, FACTOR)
    verdict = self_test(field, FACTOR, decoded=decoded)
    fake = disc(image.grid.shape, verdict.at[:2], verdict.diameter)

    below, above = (judge.score(judge.unexplained(decoded + share * verdict.limit * fake))
                    for share in (0.98, 1.02))  # fmt: skip

    assert below[fake > 0].max() < ACCUSED < above[fake > 0].max()


def test_where_a_decoded_image_is_accused_already_no_fake_is_too_faint(image):
    field = to_field(image)
    noise = np.random.default_rng(5).normal(0, 400, field.values.shape)

    assert self_test(field, FACTOR, decoded=field.values + noise).limit == 0.0


def test_a_score_that_sees_nothing_fails_the_self_test(image, monkeypatch):
    monkeypatch.setattr(Judge, "score", lambda self, rest: np.zeros_like(rest))

    assert not self_test(to_field(image), FACTOR).found


def test_a_score_that_accuses_everything_fails_the_self_test(image, monkeypatch):
    monkeypatch.setattr(Judge, "score", lambda self, rest: 2 + 0 * rest)

    assert not self_test(to_field(image), FACTOR).acquitted


@pytest.mark.parametrize("path", REAL)
@pytest.mark.parametrize("factor", [FACTOR, (8, 8, 1)])
def test_the_self_test_passes_on_real_images(shared, path, factor):
    from plica.formats.doors import read

    verdict = self_test(to_field(read(shared / "data" / path)), factor)

    assert verdict.acquitted, verdict
    assert verdict.found, verdict


def test_the_published_rule_fails_where_this_one_does_not(shared):
    """Errors above mean + 2 deviations of a reference's: the rule of the super-resolution paper."""
    from plica.formats.doors import read

    field = to_field(read(shared / "data" / REAL[2]))
    source = field.values
    reference = gaussian_filter(source, (0.7, 0.7, 0))
    error = np.abs(reference - source)
    threshold = error.mean() + 2 * error.std()
    plain = interpolate_bicubic(source, FACTOR)
    verdict = self_test(field, FACTOR)
    fake = reference + verdict.contrast * disc(source.shape, verdict.at[:2], verdict.diameter)

    accused_plain, accused_fake, accused_reference = (
        np.mean(decoded - source > threshold) for decoded in (plain, fake, reference)
    )

    assert accused_plain > 0.05  # bicubic "hallucinates"
    assert accused_fake - accused_reference < 0.002  # and a fake lesion hardly does
    assert verdict.passed


# -- what it refuses -----------------------------------------------------------------------------


def test_a_factor_of_one_is_refused(image):
    with pytest.raises(SettingsError, match="makes nothing coarser"):
        Judge(to_field(image), (1, 1, 1))
    with pytest.raises(SettingsError, match="whole numbers from 1"):
        Judge(to_field(image), (0, 4, 1))


def test_an_image_of_less_than_two_cells_is_refused():
    with pytest.raises(UnusablePixels, match="too small to judge"):
        Judge(to_field(make(smooth_noise((40, 12, 1), 1))), (8, 8, 1))


def test_values_far_from_zero_lose_no_digits():
    image = make(1e6 + smooth_noise((64, 64, 1), 3), unit=Unit.RELATIVE, dtype=np.float64)
    judge = Judge(to_field(image), FACTOR)

    assert judge.judge(interpolate_bicubic(to_values(image), FACTOR)).places == 0
