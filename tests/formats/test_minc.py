import importlib.util

import numpy as np
import pytest

from plica.errors import AmbiguousSource, MissingExtra, UnreadableFile, UnsupportedFormat
from plica.formats import minc

nibabel = pytest.importorskip("nibabel")


@pytest.mark.parametrize("name", ["nibabel_small.mnc", "nibabel_minc2_1_scale.mnc"])
def test_real_files_have_the_place_and_values_nibabel_gives(shared, name):
    pytest.importorskip("h5py")
    file = shared / "data/odd-formats/other-containers" / name
    image, other = minc.read(file), nibabel.load(file)

    assert np.allclose(image.pixels[0], other.get_fdata(), rtol=1e-6)
    assert np.allclose(image.grid.affine, other.affine)


def test_a_spacing_that_would_be_guessed_is_refused(shared):
    pytest.importorskip("h5py")
    with pytest.raises(UnreadableFile, match="spacing"):
        minc.read(shared / "data/bad-input/nibabel/minc2_baddim.mnc")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "a.mnc").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(MissingExtra, match="h5py"):
        minc.read(tmp_path / "a.mnc")


@pytest.mark.parametrize("start", [b"CDF\1", b"\x89HDF\r\n\x1a\n"])
def test_damaged_files_are_refused(tmp_path, start):
    pytest.importorskip("h5py")
    (tmp_path / "a.mnc").write_bytes(start + bytes(200))
    with pytest.raises(UnreadableFile):
        minc.read(tmp_path / "a.mnc")


def test_scales_that_contradict_each_other_are_refused(shared, tmp_path):
    h5py = pytest.importorskip("h5py")
    damaged = tmp_path / "a.mnc"
    damaged.write_bytes(
        (shared / "data/odd-formats/other-containers/nibabel_small.mnc").read_bytes()
    )
    with h5py.File(damaged, "r+") as file:
        least = file["minc-2.0/image/0/image-min"]
        values = least[()]
        del file["minc-2.0/image/0/image-min"]
        file["minc-2.0/image/0"].create_dataset("image-min", data=values[:1])

    with pytest.raises(UnreadableFile, match="do not have the same dimensions"):
        minc.read(damaged)


def save_minc_1(path, array, axes, cosines):
    """A MINC 1 file of this array, along axes such as "zspace"."""
    netcdf = pytest.importorskip("scipy.io").netcdf_file
    with netcdf(path, "w") as file:
        for axis, side in zip(axes, array.shape, strict=True):
            file.createDimension(axis, side)
            along = file.createVariable(axis, "d", ())
            along.step, along.start, along.spacing = 2.0, -3.0, b"regular__"
            if axis in cosines:
                along.direction_cosines = np.array(cosines[axis], float)
        image = file.createVariable("image", "h", axes)
        image.signtype, image.valid_range = b"signed__", np.array([-1000.0, 1000.0])
        image[:] = array
        for name, value in (("image-min", -1000.0), ("image-max", 1000.0)):
            file.createVariable(name, "d", ())[...] = value
    return path


SPACE = ("zspace", "yspace", "xspace")
UPRIGHT = {"xspace": [1, 0, 0], "yspace": [0, 1, 0], "zspace": [0, 0, 1]}


def test_one_of_several_volumes_is_chosen(tmp_path):
    array = np.arange(48, dtype="i2").reshape(2, 4, 3, 2)
    path = save_minc_1(tmp_path / "a.mnc", array, ("time", *SPACE), UPRIGHT)
    with pytest.raises(AmbiguousSource, match="2 volumes"):
        minc.read(path)
    image = minc.read(path, volume=1)
    assert np.array_equal(image.pixels[0], array[1])
    assert image.grid.spacing_mm == (2, 2, 2)


def test_a_fifth_axis_is_refused(tmp_path):
    five = np.zeros((2, 2, 4, 3, 2), "i2")
    path = save_minc_1(tmp_path / "a.mnc", five, ("vector_dimension", "time", *SPACE), UPRIGHT)
    with pytest.raises(UnsupportedFormat, match="5 axes, and plica reads three or four"):
        minc.read(path)


def test_axes_that_point_the_same_way_are_refused(tmp_path):
    flat = UPRIGHT | {"yspace": [1, 0, 0]}
    path = save_minc_1(tmp_path / "a.mnc", np.zeros((4, 3, 2), "i2"), SPACE, flat)
    with pytest.raises(UnreadableFile, match="singular"):
        minc.read(path)
