import importlib.util

import numpy as np
import pytest

from plica.errors import MissingExtra, UnreadableFile
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
