"""Views: what a probe is shown is made once, and found again by content and codec."""

import dataclasses
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture
from tests.training.checks import as_case, draw

import plica
from plica.errors import InputError, SettingsError
from plica.training.views import Sight, Subject, Views, kind_for, list_subjects


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "one.png"
    Picture.fromarray(draw(True, np.random.default_rng(0))).save(path)
    return path


@pytest.fixture
def volume(tmp_path):
    path = tmp_path / "one.nii.gz"
    values = np.broadcast_to(np.arange(10, dtype=np.int16), (16, 12, 10)).copy()
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1.0, 2.0, 1.0])), path)
    return path


class Counting:
    """A codec that counts how often it is asked."""

    def __init__(self, codec):
        self.codec, self.asked = codec, 0

    card = property(lambda self: self.codec.card)
    fingerprint = property(lambda self: self.codec.fingerprint)

    def encode(self, image, *, kind=None, seed=None):
        self.asked += 1
        return self.codec.encode(image, kind=kind, seed=seed)

    def decode(self, latent):
        return self.codec.decode(latent)


def test_an_image_is_shown_in_the_range_of_networks(picture, tmp_path):
    view = Views(Sight(2), tmp_path / "cache").of_image(Subject(as_case(picture)))

    pixels = np.asarray(Picture.open(picture)).T[None, :, :, None]
    assert view.shape == (1, 32, 32, 1)
    assert np.allclose(view.open(), pixels / 127.5 - 1, atol=1e-6)


def test_a_size_is_rows_and_columns(picture, tmp_path):
    view = Views(Sight(2, (16, 24)), tmp_path / "cache").of_image(Subject(as_case(picture)))

    assert view.shape == (1, 24, 16, 1)  # channel, i = column, j = row


def test_codes_are_made_once_for_one_content_wherever_its_file_lies(picture, tmp_path):
    codec = Counting(plica.load("bicubic-4x-2d"))
    elsewhere = tmp_path / "another name.png"
    shutil.copyfile(picture, elsewhere)

    first = Views(Sight(2), tmp_path / "cache").of_codec(Subject(as_case(picture)), codec)
    again = Views(Sight(2), tmp_path / "cache").of_codec(Subject(as_case(picture)), codec)
    moved = Views(Sight(2), tmp_path / "cache").of_codec(Subject(as_case(elsewhere)), codec)

    assert codec.asked == 1
    assert first == again == moved
    assert first.shape == (1, 8, 8, 1)
    image = plica.read(picture)
    assert np.array_equal(first.open(), codec.codec.encode(image).codes)


def test_other_codecs_sizes_and_contents_have_views_of_their_own(picture, tmp_path):
    views = Views(Sight(2), tmp_path / "cache")
    small = Views(Sight(2, (16, 16)), tmp_path / "cache")
    subject, codec = Subject(as_case(picture)), plica.load("bicubic-4x-2d")
    paths = {
        views.of_image(subject).path,
        small.of_image(subject).path,
        views.of_codec(subject, codec).path,
        small.of_codec(subject, codec).path,
        views.of_codec(subject, plica.load("area-4x-2d")).path,
        Views(Sight(2, decoded=True), tmp_path / "cache").of_codec(subject, codec).path,
    }

    assert len(paths) == 6


def test_a_codec_of_bytes_is_shown_by_what_it_gives_back(picture, tmp_path):
    views = Views(Sight(2), tmp_path / "cache")
    subject = Subject(as_case(picture))

    shown = views.of_codec(subject, plica.load("identity"))

    assert np.array_equal(shown.open(), views.of_image(subject).open())


def test_classifiers_take_the_projected_latent_where_there_is_one():
    codec = plica.load("bicubic-4x-2d")

    assert kind_for(codec) == "raw"
    card = dataclasses.replace(codec.card, latents=("raw", "projected"))
    assert kind_for(dataclasses.replace(codec, card=card)) == "projected"


# -- slices ------------------------------------------------------------------------------------


def test_slices_of_a_volume_are_subjects_of_their_own_from_its_middle(volume, tmp_path):
    sight = Sight(2, slices=4)
    views, case = Views(sight, tmp_path / "cache"), as_case(volume)
    subjects = list_subjects([case], sight)

    shown = [views.show(subject).pixels for subject in subjects]

    assert len({subject.key for subject in subjects}) == 4
    assert {subject.key[0] for subject in subjects} == {"p"}
    assert [int(pixels.mean()) for pixels in shown] == [2, 4, 6, 8]
    assert all(pixels.shape == (1, 16, 12, 1) for pixels in shown)


def test_a_whole_volume_is_shown_to_probes_of_volumes(volume, tmp_path):
    view = Views(Sight(3, (8, 8, 8)), tmp_path / "cache").of_image(Subject(as_case(volume)))

    assert view.shape == (1, 8, 8, 8)


def test_what_is_not_of_the_probes_kind_is_refused(picture, volume, tmp_path):
    with pytest.raises(InputError, match="--slices"):
        Views(Sight(2), tmp_path / "cache").of_image(Subject(as_case(volume)))
    with pytest.raises(InputError, match="choose a 2d one"):
        Views(Sight(3), tmp_path / "cache").of_image(Subject(as_case(picture)))


@pytest.mark.parametrize("changes", [{"size": (4, 4, 4)}, {"size": (0, 4)}])
def test_a_size_that_is_none_is_refused(changes):
    with pytest.raises(SettingsError, match="needs a size of as many sides"):
        Sight(2, **changes)
    with pytest.raises(SettingsError, match="leave them out"):
        Sight(3, slices=2)
