"""One image under one codec: all parts together, and what they refuse."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.evaluation.phantoms import body, make, mapped, smooth_noise

from plica.errors import InputError, MissingExtra, SettingsError, UnusablePixels
from plica.evaluation import fields
from plica.evaluation.faithfulness import PARTS, judge_faithfulness
from plica.evaluation.retention import Plan
from plica.grid import Grid
from plica.image import Image, Unit

FACTOR = (4, 4, 1)
BLUR = mapped(lambda x: gaussian_filter(x, (1.2, 1.2, 0)))


@pytest.fixture(scope="module")
def blurred():
    return judge_faithfulness(body(), BLUR, factor=FACTOR, seed=4)


def test_all_parts_are_answered(blurred):
    assert blurred.refused == {}
    assert {tissue.name for tissue in blurred.tissues} >= {"air", "lung", "fat", "soft tissue"}
    assert {lesion.kind for lesion in blurred.lesions} == {"planted", "removed"}
    assert blurred.edges.blur == pytest.approx(1.2 * 0.8, rel=0.25)
    assert blurred.residual.anatomy > 0.1
    assert blurred.invention.places == 0
    assert blurred.verdict.passed
    assert (blurred.unit, blurred.length, blurred.factor) == ("HU", "mm", FACTOR)


def test_the_record_is_json(blurred):
    record = json.loads(json.dumps(blurred.to_json(), allow_nan=False))

    assert record["edges"]["n"] == blurred.edges.n
    assert record["verdict"]["passed"] is True
    assert len(record["lesions"]) == 10


def test_the_same_seed_gives_the_same_answer(blurred):
    again = judge_faithfulness(body(), BLUR, factor=FACTOR, seed=4)

    assert again.to_json() == blurred.to_json()


def test_what_is_at_hand_is_not_decoded_again():
    image, calls = body(), []

    def codec(one):
        calls.append(one)
        return one

    found = judge_faithfulness(image, codec, factor=FACTOR, parts=["tissues"], decoded=image)

    assert not calls
    assert found.edges is None
    assert all(tissue.mae_all == 0 for tissue in found.tissues)


def test_a_part_that_cannot_be_answered_says_why():
    lung = make(-800 + 30 * np.random.default_rng(0).normal(size=(96, 96, 1)))

    found = judge_faithfulness(lung, lambda image: image, factor=FACTOR)

    assert "no homogeneous place" in found.refused["planted"]
    assert found.tissues[0].name == "lung"


def test_other_lesions_can_be_asked_for():
    found = judge_faithfulness(
        body(), BLUR, factor=FACTOR, plan=Plan((8.0,), (50.0,)), parts=["planted"]
    )

    assert [(one.diameter, one.contrast) for one in found.lesions] == [(8.0, 50.0)]


def test_a_volume_is_judged_in_three_dimensions():
    image = body((64, 64, 20), (1.0, 1.0, 2.0))

    found = judge_faithfulness(
        image, mapped(lambda x: gaussian_filter(x, 0.8)), factor=(4, 4, 4),
        plan=Plan((6.0,), (60.0,)),
    )  # fmt: skip

    assert found.invention.places == 0
    assert found.refused.keys() <= {"removed"}
    assert 0.5 < found.lesions[0].retention < 1


# -- what it refuses -----------------------------------------------------------------------------


def judge(image, codec=lambda image: image, **options):
    return judge_faithfulness(image, codec, **{"factor": FACTOR, **options})


def test_another_grid_is_refused():
    moved = Grid.from_spacing((160, 144, 1), (0.8, 0.8, 1.0), origin_mm=(5.0, 0.0, 0.0))

    with pytest.raises(InputError, match="not on its source's grid"):
        judge(body(), lambda image: Image(image.pixels, moved, image.unit))


def test_a_codec_that_leaves_the_grid_later_is_refused_too():
    image = body()

    def codec(one):
        return one if one is image else make(np.zeros((10, 10, 1)))

    with pytest.raises(InputError, match="not on its source's grid"):
        judge(image, codec)


def test_another_unit_is_refused():
    with pytest.raises(InputError, match=r"has 1 channel.* in relative"):
        judge(body(), lambda image: image.with_pixels(image.pixels, unit=Unit.RELATIVE))


def test_what_is_not_finite_is_refused():
    pixels = body().pixels.copy()
    pixels[0, 3, 3, 0] = np.nan

    with pytest.raises(UnusablePixels, match="source has 1 values that are NaN"):
        judge(body().with_pixels(pixels))
    with pytest.raises(UnusablePixels, match="decoded image has 1 values"):
        judge(body(), lambda image: image.with_pixels(pixels))


def test_labels_and_constants_are_refused():
    with pytest.raises(UnusablePixels, match="class labels"):
        judge(make(np.ones((64, 64, 1)), unit=Unit.LABEL, dtype=np.uint8))
    with pytest.raises(UnusablePixels, match="constant"):
        judge(make(np.ones((64, 64, 1))))


def test_an_image_too_small_for_anything_is_refused():
    with pytest.raises(UnusablePixels, match="too small"):
        judge(make(smooth_noise((6, 6, 1), 1)))


def test_an_image_too_small_for_most_parts_keeps_the_rest():
    found = judge(make(10 * smooth_noise((20, 20, 1), 1)))

    assert found.tissues
    assert {"edges", "residual"} <= found.refused.keys()


def test_an_unknown_part_is_refused():
    with pytest.raises(SettingsError, match="no part of faithfulness is called 'beauty'"):
        judge(body(), parts=["beauty"])
    for part in ("beauty", "plan"):  # the latter is an attribute of what is judged
        with pytest.raises(SettingsError, match=f"called '{part}'"):
            judge(body(), parts=iter(["tissues", part]))
    assert len(PARTS) == 6


def test_a_missing_package_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(fields.importlib, "import_module", absent)

    with pytest.raises(MissingExtra, match=r"'scipy'.*pip install 'plica\[eval\]'"):
        judge(body())


# -- real images ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "unit"), [
    ("other-ct/ny-sbu-2d/A062055_axial_19001127-136.dcm", "HU"),
    ("cxr/hannover-covid19/5f619d7e.png", "display"),
    ("brain-mri/studyforrest-T1/dicom/N2D_0201.dcm", "relative"),
])  # fmt: skip
def test_real_images_under_bicubic(shared, path, unit):
    from plica.codecs.catalogue import load
    from plica.formats.doors import read

    image, codec = read(shared / "data" / path), load("bicubic-4x-2d", device="cpu")

    found = judge_faithfulness(image, lambda x: codec.decode(codec.encode(x)), factor=FACTOR)

    assert found.unit == unit
    assert found.refused == {}
    assert found.invention.places == 0
    assert found.verdict.passed
    kept = [one.retention for one in found.lesions if one.kind == "planted"]
    assert 0.2 < min(kept) < max(kept) < 1.0
    assert found.edges.blur > 0


def test_an_image_of_which_nothing_can_be_told_is_refused():
    speck = make(smooth_noise((12, 12, 1), 1))
    with pytest.raises(UnusablePixels, match="nothing can be told of this image"):
        judge(speck, parts=["edges", "residual"])
