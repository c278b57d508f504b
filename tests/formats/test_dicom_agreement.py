"""Real series agree voxel by voxel, in the patient's space, with other readers and conversions."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from plica.formats import dicom
from plica.image import Image


def lattice_index(nifti: nibabel.Nifti1Image, image: Image) -> np.ndarray:
    """Where all our voxels are on the NIfTI's lattice, by its own affine; (n, 3) whole numbers."""
    world = image.grid.to_world(np.indices(image.grid.shape).reshape(3, -1).T)
    there = np.linalg.solve(nifti.affine[:3, :3], (world - nifti.affine[:3, 3]).T).T
    nearest = np.rint(there).astype(int)
    assert np.abs(there - nearest).max() < 0.02, "the lattices do not coincide"
    return nearest


def test_a_series_equals_its_nifti_conversion(shared: Path) -> None:
    folder = shared / "data" / "brain-mri" / "studyforrest-T1"
    image = dicom.read(folder / "dicom")
    (path,) = folder.glob("*.nii.gz")
    nifti = nibabel.load(path)
    index = lattice_index(nifti, image)
    assert (index >= 0).all()
    assert (index < nifti.shape[:3]).all()
    values = np.asarray(nifti.dataobj)[tuple(index.T)]
    assert np.array_equal(image.pixels[0], values.reshape(image.grid.shape))


def test_a_chest_ct_stands_on_the_lattice_of_its_nifti_conversion(shared: Path) -> None:
    # The conversion is kept for other slices of the same scan: places can agree, values cannot.
    folder = shared / "data" / "chest-ct" / "lidc-idri-0314"
    image = dicom.read(folder / "dicom")
    (path,) = folder.glob("*.nii.gz")
    index = lattice_index(nibabel.load(path), image).reshape(*image.grid.shape, 3)
    assert np.array_equal(index[..., 0, :2], np.indices((512, 512)).transpose(1, 2, 0))
    assert np.diff(index[0, 0, :, 2]).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "series",
    [
        "chest-ct/lidc-idri-0314/dicom",
        "brain-mri/studyforrest-T1/dicom",
        "odd-formats/dicom-4d-series",
        "odd-formats/torchio-small-series",
        "odd-formats/lungmask-min-tags",
    ],
)
def test_simpleitk_sees_the_same_values_at_the_same_places(shared: Path, series: str) -> None:
    folder = shared / "data" / series
    image = dicom.read(folder)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    seen = reader.Execute()
    assert np.array_equal(SimpleITK.GetArrayFromImage(seen).transpose(2, 1, 0), image.pixels[0])
    corner = [side - 1 for side in image.grid.shape]
    for index in ([0, 0, 0], corner):
        there = np.array(seen.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        assert np.allclose(there, image.grid.to_world(index), atol=1e-2)
