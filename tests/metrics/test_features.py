"""Features come from the network that is named, of pictures prepared as is said."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from tests.networks.published import make_weights_dir

from plica.codecs import weights
from plica.codecs.catalogue import load
from plica.errors import InputError, SettingsError, UnknownName, UnusablePixels, WeightsError
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.distribution import compare_sets
from plica.metrics.features import FEATURES, extract, extract_one, load_extractor, pool
from plica.metrics.pictures import Sample, Window

WIDTHS = {"inception": 2048, "clip": 512, "biomedclip": 512, "radimagenet": 2048,
          "radimagenet-lab-rasool": 2048}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_hub_and_no_cache(monkeypatch, tmp_path):
    def refuse(source, given, *, name):
        if given is not None and Path(given).is_file():  # those of our own lie in the package
            return Path(given)
        raise WeightsError("it is not here") from OSError("The hub does not answer")

    monkeypatch.setattr(weights, "resolve", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_weights_dir(tmp_path_factory.mktemp("weights"), WIDTHS)


def make_sample(shape=(40, 50, 1), *, seed=0, patient="p", channels=1) -> Sample:
    chance = np.random.default_rng(seed)
    slow = chance.normal(size=(channels, *shape)).cumsum(axis=1).cumsum(axis=2)
    pixels = 255 * (slow - slow.min()) / np.ptp(slow)
    image = Image(pixels.astype(np.uint8), Grid.from_spacing(shape), Unit.DISPLAY)
    return Sample(image, patient, f"image {seed}")


# -- networks for pictures -----------------------------------------------------------------------


@pytest.mark.parametrize("name", FEATURES)
def test_every_extractor_makes_rows_of_its_width_and_says_what_it_is(folder, name):
    extractor = load_extractor(name, weights_dir=folder, device="cpu", slices=2)
    flat, volume = make_sample(), make_sample((24, 24, 5), seed=1)

    one, two = (extract_one(sample, extractor) for sample in (flat, volume))

    assert one.rows.shape == (1, WIDTHS[name])
    assert two.rows.shape == (2, WIDTHS[name])
    assert two.names == ("image 1 slice 1", "image 1 slice 3")
    assert np.abs(two.rows[0] - two.rows[1]).max() > 0
    record = extractor.record
    assert record["name"] == name
    assert "sha256:" in record["weights"]
    assert record["slices"] == 2
    assert "antialiasing" in record["preparation"]


def test_the_record_holds_the_file_s_own_sum(folder):
    extractor = load_extractor("inception", weights_dir=folder, device="cpu")
    file = folder / "pt_inception-2015-12-05-6726825d.pth"

    assert hashlib.sha256(file.read_bytes()).hexdigest() in extractor.record["weights"]
    assert "not the file that is known as published" in extractor.record["weights"]


def test_inception_sees_pictures_resized_as_pillow_does(folder):
    """Which is how clean-fid prepares them; a resize that aliases gives another number."""
    extractor = load_extractor("inception", weights_dir=folder, device="cpu")
    sample = make_sample((640, 500, 1))
    rows = np.asarray(sample.image.pixels[0, :, :, 0].T, np.float32)

    resized = Pillow.fromarray(rows).resize((299, 299), Pillow.Resampling.BICUBIC)
    seen = extractor.prepare(torch.from_numpy(rows / 255)[None, None])

    np.testing.assert_allclose(255 * seen[0, 0].numpy(), np.asarray(resized), atol=0.05)


def test_radimagenet_sees_blue_first_less_the_mean(folder):
    extractor = load_extractor("radimagenet", weights_dir=folder, device="cpu")
    red = torch.tensor([0.9, 0.5, 0.1])[None, :, None, None].expand(1, 3, 224, 224)

    seen = extractor.prepare(red)[0, :, 0, 0]

    torch.testing.assert_close(seen, torch.tensor([0.1 - 0.406, 0.5 - 0.456, 0.9 - 0.485]))


def test_grey_and_colour_of_equal_channels_are_one(folder):
    extractor = load_extractor("radimagenet", weights_dir=folder, device="cpu")
    grey = make_sample()
    pixels = np.repeat(grey.image.pixels, 3, axis=0)
    colour = Sample(Image(pixels, grey.image.grid, Unit.DISPLAY), "p", "c")

    np.testing.assert_allclose(
        extractor.see(grey)[0], extractor.see(colour)[0], rtol=1e-4, atol=1e-4
    )


def test_slices_stay_with_their_patient(folder):
    extractor = load_extractor("radimagenet", weights_dir=folder, device="cpu", slices=3)
    samples = [make_sample((32, 32, 9), seed=n, patient=f"p{n // 2}") for n in range(4)]
    told = []

    features = extract(samples, extractor, tell=told.append)

    assert features.patients == ("p0",) * 6 + ("p1",) * 6
    assert len(set(features.names)) == 12
    assert told == [1, 2, 3, 4]


@pytest.mark.parametrize("name", FEATURES)
def test_missing_weights_say_where_they_were_looked_for_and_what_to_do(tmp_path, name):
    with pytest.raises(WeightsError, match="weights-dir") as caught:
        load_extractor(name, weights_dir=tmp_path, device="cpu")

    assert str(tmp_path) in str(caught.value)
    assert "etch " in str(caught.value)


# -- codecs --------------------------------------------------------------------------------------


def test_latents_are_pooled_to_mean_and_deviation_of_each_cell():
    codec = load("compact-4x4-3d", device="cpu")
    image = make_sample((40, 32, 24)).image
    latent = codec.encode(image)

    pooled = pool(latent, 2, flat=False)

    assert pooled.shape == (2 * 4 * 8,)
    corner = latent.codes[:, :5, :4, :3].astype(np.float64)
    np.testing.assert_allclose(pooled[:4], corner.mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(pooled[32:36], corner.std(axis=(1, 2, 3)))


@pytest.mark.parametrize(
    ("name", "shape", "width"),
    [
        ("codec:compact-4x1-3d", (24, 24, 16), 16),
        ("codec:compact-4x3-2d", (40, 50, 1), 24),
        ("codec:compact-4x3-2d", (40, 50, 6), 24),
        ("codec:linear-4x1-2d", (40, 50, 1), 8),
    ],
)
def test_a_codec_gives_one_row_for_each_image(name, shape, width):
    extractor = load_extractor(name, device="cpu")

    features = extract([make_sample(shape, seed=n, patient=str(n)) for n in range(2)], extractor)

    assert features.rows.shape == (2, width)
    assert extractor.name == name
    assert features.extractor["weights"].startswith("sha256:")


def test_which_way_a_volume_is_stored_changes_nothing():
    extractor = load_extractor("codec:linear-4x1-3d", device="cpu")
    pixels = make_sample((16, 20, 24)).image.pixels
    there = Image(pixels, Grid((16, 20, 24), np.eye(4)))
    turned = Image(
        np.moveaxis(pixels, 3, 1)[:, ::-1],
        Grid((24, 16, 20), np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 23], [0, 0, 0, 1.0]])),
    )

    rows = [extract_one(Sample(image, "p", "n"), extractor).rows for image in (there, turned)]

    np.testing.assert_allclose(rows[0], rows[1], atol=1e-4)


def test_a_frechet_distance_over_volumes_sees_what_a_codec_changed():
    """The way of FVD: one row for each volume, and a distance between the sets of rows."""
    extractor = load_extractor("codec:linear-4x1-3d", device="cpu", cells=1)
    samples = [make_sample((16, 16, 16), seed=n, patient=str(n)) for n in range(12)]
    blurred = [
        Sample(s.image.with_pixels((s.image.pixels // 64 * 64).astype(np.uint8)), s.patient, s.name)
        for s in samples
    ]
    real, same, other = (extract(one, extractor) for one in (samples, samples, blurred))

    assert compare_sets(real, same, "fid").value == pytest.approx(0, abs=1e-10)
    assert compare_sets(real, other, "fid").value > 1e-6


def test_codecs_that_cannot_be_pooled_are_refused():
    with pytest.raises(SettingsError, match="stream of bytes"):
        load_extractor("codec:jpeg2000")
    with pytest.raises(UnusablePixels, match="folds volumes"):
        load_extractor("codec:compact-4x1-3d", device="cpu").see(make_sample())
    with pytest.raises(UnusablePixels, match="fewer cells"):
        load_extractor("codec:linear-4x1-2d", device="cpu", cells=40).see(make_sample())


# -- what is refused -----------------------------------------------------------------------------


def test_an_unknown_extractor_is_refused_with_those_there_are():
    with pytest.raises(UnknownName, match="codec:NAME"):
        load_extractor("vgg")
    with pytest.raises(UnknownName, match="compact"):
        load_extractor("codec:compact-4x9-3d")
    with pytest.raises(SettingsError, match="1 or more"):
        load_extractor("inception", slices=0)


def test_an_empty_set_and_one_of_nan_are_refused():
    extractor = load_extractor("codec:linear-4x1-2d", device="cpu")
    broken = Image(np.full((1, 16, 16, 1), np.nan, np.float32), Grid.from_spacing((16, 16, 1)))

    with pytest.raises(InputError, match="no images"):
        extract([], extractor)
    with pytest.raises(UnusablePixels):
        extract([Sample(broken, "p", "n", Window(0, 1))], extractor)


def test_two_settings_of_one_extractor_are_not_compared():
    samples = [make_sample(seed=n, patient=str(n)) for n in range(3)]
    two = [
        extract(samples, load_extractor("codec:linear-4x1-2d", device="cpu", cells=n))
        for n in (1, 2)
    ]

    with pytest.raises(InputError, match="differently set"):
        compare_sets(*two, "fid")


def test_a_stream_of_bytes_has_no_codes_to_pool():
    image = Image(np.zeros((1, 16, 16, 1), np.uint8), Grid.from_spacing((16, 16, 1)))
    latent = load("jpeg2000").encode(image)
    with pytest.raises(SettingsError, match="jpeg2000 makes a stream of bytes"):
        pool(latent, flat=True)
