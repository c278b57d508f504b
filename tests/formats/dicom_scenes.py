"""Small DICOM files made in memory, whose truth is known: a ramp in the patient's space."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ROWS, COLUMNS = 6, 5
SPACING = (0.5, 0.75)  # between rows, between columns


def packaged(name: str) -> Path:
    """A file inside the pydicom package; nothing is downloaded."""
    path = get_testdata_file(name, download=False)
    assert path is not None, name
    return Path(str(path))


def make_slice(
    z: float = 0.0, *, position: tuple[float, float, float] | None = None, **attributes: Any
) -> Dataset:
    """A CT slice at `z` (LPS) of random size ROWS × COLUMNS; attributes overrule."""
    dataset = Dataset()
    dataset.SOPClassUID = CT
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.SeriesInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.PatientName = "Doe^Jane"
    dataset.PatientID = "secret-7"
    dataset.Modality = "CT"
    dataset.InstanceNumber = 1
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.PixelSpacing = list(SPACING)
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = list(position or (-10.0, -20.0, z))
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.SliceThickness = 2
    dataset.PixelData = np.full((ROWS, COLUMNS), round(10 * z), np.int16).tobytes()
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write it as explicit little endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path, enforce_file_format=True)
    return path


def save_all(datasets: list[Dataset], folder: Path) -> Path:
    """Write them as 0.dcm, 1.dcm, …"""
    for number, dataset in enumerate(datasets):
        save(dataset, folder / f"{number}.dcm")
    return folder


def marked(dataset: Dataset, row: int, column: int, value: int = 3000) -> Dataset:
    """The same slice with one pixel set."""
    pixels = np.frombuffer(dataset.PixelData, np.int16).reshape(dataset.Rows, dataset.Columns)
    pixels = pixels.copy()
    pixels[row, column] = value
    dataset.PixelData = pixels.tobytes()
    return dataset
