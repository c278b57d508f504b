from functools import partial

import numpy as np
import pytest
from tests.preparation.conftest import make, there_and_back

from plica.boxes import Box, read_slabs
from plica.errors import LatentError, SettingsError
from plica.latent import Record, Trail
from plica.preparation.channels import LARGEST_COUNT, Channels, count_voxels
from plica.preparation.view import View


def test_one_channel_is_repeated_without_a_copy():
    image = make(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    prepared, _, back = there_and_back(Channels(3), image)

    assert prepared.channels == 3
    assert np.shares_memory(prepared.pixels, image.pixels)
    assert (prepared.pixels == image.pixels).all()
    np.testing.assert_array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize(("has", "wanted"), [(1, 1), (3, 3), (3, 1), (2, 3), (4, 3)])
def test_other_images_are_left_as_they_are(has, wanted):
    image = make(np.arange(has * 24, dtype=np.float32).reshape(has, 2, 3, 4))
    prepared, record, back = there_and_back(Channels(wanted), image)

    assert prepared.pixels is image.pixels
    assert prepared.grid is image.grid
    assert back.pixels is image.pixels
    assert record.undo == {"repeated": 1, "dtype": "float32"}


@pytest.mark.parametrize(("has", "wanted"), [(3, 1), (3, 3), (2, 1), (4, 3)])
def test_grey_stored_as_colour_is_one_channel_and_comes_back_as_it_was(has, wanted):
    grey = np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)
    image = make(np.repeat(grey, has, axis=0))
    prepared, record, back = there_and_back(Channels(wanted), image)
    alone, _ = Channels(wanted).apply(make(grey))

    assert prepared.channels == wanted
    assert np.shares_memory(prepared.pixels, image.pixels)
    np.testing.assert_array_equal(prepared.pixels, alone.pixels)
    np.testing.assert_array_equal(back.pixels, image.pixels)
    assert back.pixels.dtype == np.uint8
    assert record.undo["equal"] == has
    assert f"{has} equal channels taken as one" in prepared.provenance.steps


@pytest.mark.parametrize(("equal", "counted"), [(True, 24), (False, 72)])
def test_equal_channels_count_once_where_voxels_are_compared_with_codes(equal, counted):
    image = make(np.arange(72, dtype=np.uint8).reshape(3, 2, 3, 4) % (24 if equal else 72))
    _, record = Channels(1).apply(image)

    assert count_voxels(image, Trail((Record("window"), record))) == counted


def test_a_strangers_number_of_channels_is_not_divided_by():
    trail = Trail((Record("channels", {"equal": 0}),))
    with pytest.raises(LatentError, match="channels"):
        count_voxels(make(np.zeros((1, 2, 3, 4))), trail)


@pytest.mark.parametrize("at", [0, -1])
def test_one_value_that_differs_keeps_all_channels(at):
    pixels = np.zeros((3, 2, 3, 4), np.uint8)
    pixels[1].flat[at] = 1
    prepared, record = Channels(1).apply(make(pixels))

    assert prepared.channels == 3
    assert "equal" not in record.undo


def test_more_equal_channels_than_a_record_may_ask_for_stay_as_they_are():
    image = make(np.zeros((LARGEST_COUNT + 1, 1, 2, 1), np.uint8))
    prepared, record, back = there_and_back(Channels(1), image)

    assert prepared.channels == back.channels == LARGEST_COUNT + 1
    assert "equal" not in record.undo


def test_colour_is_read_no_further_than_to_its_first_slab_that_differs(monkeypatch):
    pixels = np.zeros((3, 1, 1, 9), np.uint8)
    pixels[2, 0, 0, 4] = 1
    read: list[Box] = []

    class Watched:
        shape, dtype, slowest_axis = pixels.shape, pixels.dtype, 3

        def __getitem__(self, box: Box):
            read.append(box)
            return pixels[box]

    slabs = partial(read_slabs, most_bytes=3)
    monkeypatch.setattr("plica.preparation.channels.read_slabs", slabs)
    view, _ = Channels(1).foresee(View(Watched(), make(pixels).grid))

    assert view.channels == 3
    assert [box[3].start for box in read] == [0, 1, 2, 3, 4]


def test_latents_of_before_come_back_channel_by_channel():
    image = make(np.zeros((3, 2, 3, 4), np.uint8))
    before = Record("channels", {"repeated": 1, "dtype": "uint8"})

    assert Channels.revert(image, before).pixels is image.pixels


@pytest.mark.parametrize("equal", [None, True, 0, 1, -3, 65, 10**30, 2.0, "3", [3]])
def test_a_strangers_number_of_equal_channels_is_refused(equal):
    record = Record("channels", {"repeated": 1, "dtype": "uint8", "equal": equal})

    with pytest.raises(LatentError, match="equal"):
        Channels.revert(make(np.zeros((2, 3, 4), np.uint8)), record)


def test_channels_that_differ_are_not_each_several():
    record = Record("channels", {"repeated": 1, "dtype": "uint8", "equal": 3})

    with pytest.raises(LatentError, match="3 equal channels as one, but 2 came back"):
        Channels.revert(make(np.zeros((2, 2, 3, 4), np.uint8)), record)


def test_the_copies_are_averaged():
    prepared, record = Channels(3).apply(make(np.zeros((1, 1, 1), np.float32)))
    decoded = prepared.with_pixels(np.array([1, 2, 6], np.float32).reshape(3, 1, 1, 1))

    assert Channels.revert(decoded, record).pixels.ravel().tolist() == [3]


def test_another_number_of_copies_is_not_averaged():
    prepared, record = Channels(3).apply(make(np.zeros((2, 2, 2), np.float32)))

    with pytest.raises(LatentError, match="3 channels, but 2"):
        Channels.revert(prepared.with_pixels(prepared.pixels[:2]), record)


def test_no_channel_is_refused():
    with pytest.raises(SettingsError, match="channels"):
        Channels(0)
