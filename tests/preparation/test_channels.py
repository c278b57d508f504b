import numpy as np
import pytest
from tests.preparation.conftest import make, there_and_back

from plica.errors import LatentError, SettingsError
from plica.preparation.channels import Channels


def test_one_channel_is_repeated_without_a_copy():
    image = make(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    prepared, _, back = there_and_back(Channels(3), image)

    assert prepared.channels == 3
    assert np.shares_memory(prepared.pixels, image.pixels)
    assert (prepared.pixels == image.pixels).all()
    np.testing.assert_array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize(("has", "wanted"), [(1, 1), (3, 3), (3, 1), (2, 3), (4, 3)])
def test_other_images_are_left_as_they_are(has, wanted):
    image = make(np.zeros((has, 2, 3, 4), np.float32))
    prepared, _, back = there_and_back(Channels(wanted), image)

    assert prepared.pixels is image.pixels
    assert prepared.grid is image.grid
    assert back.pixels is image.pixels


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
