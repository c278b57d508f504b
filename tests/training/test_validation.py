"""What is judged is the same every time, in whole codes, and spread over the split."""

import numpy as np
import pytest
from tests.training.pictures_made import prepare, write_picture, write_table, write_volume

from plica.cohort import Cohort


def cohort_of(folder, judged):
    write_picture(folder / "t.png")
    rows = [("t.png", "t", "train"), *((name, name, "dev-test") for name in judged)]
    return Cohort.from_table(write_table(folder, rows))


def judge_pictures(folder, count=1, rows=24, columns=32, **settings):
    for n in range(count):
        write_picture(folder / f"{n}.png", rows, columns, seed=n)
    judged = cohort_of(folder, [f"{n}.png" for n in range(count)])
    return prepare(folder, judged, **settings).validation


def test_whole_pictures_are_judged_but_for_incomplete_codes(tmp_path):
    pixels = write_picture(tmp_path / "0.png", 26, 31)
    ((name, x),) = prepare(tmp_path, cohort_of(tmp_path, ["0.png"])).validation
    assert name == "0.png"
    assert x.dtype == np.float32
    assert np.allclose(x[0], pixels[1:25, 1:29] * (2 / 255) - 1, atol=1e-6)


@pytest.mark.parametrize(("crop", "shape"), [(16, (16, 16)), (28, (24, 28)), (400, (24, 32))])
def test_a_crop_is_the_middle_of_what_there_is(tmp_path, crop, shape):
    ((_, x),) = judge_pictures(tmp_path, validation_crop=crop)
    ((_, whole),) = judge_pictures(tmp_path)
    rows, columns = shape
    top, left = (24 - rows) // 2, (32 - columns) // 2
    assert np.array_equal(x, whole[:, top : top + rows, left : left + columns])


def test_what_is_smaller_than_a_code_is_filled_with_its_border(tmp_path):
    ((_, x),) = judge_pictures(tmp_path, rows=5, columns=40, factor=8)
    assert x.shape == (1, 8, 40)
    assert (x[:, 5:] == x[:, 4:5]).all()


def test_a_volume_counts_by_its_middle_slice_across_the_first_plane(tmp_path):
    pixels = np.zeros((24, 20, 16), np.int16)
    pixels[:, :, 8] = np.arange(20) + 10
    pixels[11:13, 0, 0] = 90  # the middle of 24, whichever way they are counted
    write_volume(tmp_path / "0.nii", pixels=pixels)
    cohort = cohort_of(tmp_path, ["0.nii"])
    ((_, axial),) = prepare(tmp_path, cohort, planes=(2, 0)).validation
    ((_, sagittal),) = prepare(tmp_path, cohort, planes=(0, 2)).validation
    assert axial.shape == (1, 20, 24)
    assert np.allclose(np.diff(axial[0], axis=0), 2 / 90)  # rows go down the patient's front
    assert sagittal.shape == (1, 16, 20)
    assert sagittal.max() == 1


def test_volumes_are_judged_whole_by_networks_of_volumes(tmp_path):
    pixels = write_volume(tmp_path / "0.nii", shape=(21, 16, 17))
    write_volume(tmp_path / "t.nii")
    rows = [("t.nii", "t", "train"), ("0.nii", "v", "dev-test")]
    cohort = Cohort.from_table(write_table(tmp_path, rows))
    ((_, x),) = prepare(tmp_path, cohort, dims=3, crop=16).validation
    wanted = pixels[:20, :, :16] * (2 / pixels.max()) - 1
    assert np.allclose(x[0], wanted, atol=1e-5)


def test_some_cases_are_spread_evenly_and_always_the_same(tmp_path):
    for count, wanted in ((0, range(10)), (99, range(10)), (2, (2, 7)), (3, (1, 5, 8)), (1, (5,))):
        validation = judge_pictures(tmp_path, count=10, validation_cases=count)
        assert [name for name, _ in validation] == [f"{n}.png" for n in wanted]
        assert len(validation) == len(wanted)


def test_grey_is_judged_in_as_many_channels_as_the_network_takes(tmp_path):
    ((_, x),) = judge_pictures(tmp_path, in_channels=3)
    assert x.shape == (3, 24, 32)
    assert (x == x[:1]).all()
