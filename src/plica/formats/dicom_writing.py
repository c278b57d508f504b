"""Write an image as a derived secondary DICOM series, one file a slice."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from plica.errors import OutputError
from plica.formats.atomic import new_folder
from plica.formats.dicom_assembly import LOSSY_BEFORE
from plica.formats.dicom_file import Header
from plica.formats.dicom_series import LOCALIZERS
from plica.formats.dicom_stored import Stored, ds, to_stored
from plica.formats.dicom_template import SERIES_STEP, Template, Templates
from plica.formats.terms import BURNED_IN, known_modality
from plica.grid import Grid
from plica.image import Display, Image, Unit

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"
CAPTURE_CLASS = "1.2.840.10008.5.1.4.1.1.7"
BYTE_FRAMES_CLASS = f"{CAPTURE_CLASS}.2"
WORD_FRAMES_CLASS = f"{CAPTURE_CLASS}.3"
COLOUR_FRAMES_CLASS = f"{CAPTURE_CLASS}.4"
RESCALE_TYPES = {
    Unit.HU: "HU",
    Unit.SUV: "GML",
    Unit.BQML: "BQML",
    Unit.GRAY: "GY",
    Unit.HERTZ: "HZ",
    Unit.LABEL: "LABEL",
}
"""RescaleType by unit; "US" (unspecified) for the rest. `find_unit` reads them back."""

COPIED = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PatientPosition",
    "PatientOrientation",
    "BodyPartExamined",
    "Laterality",
    "ImageLaterality",
    "ViewPosition",
)
IMAGE_TERMS = {
    "AXIAL": frozenset(
        {"AXIAL", "VMI", "MAT_SPECIFIC", "MAT_REMOVED", "MAT_FRACTIONAL", "EFF_ATOMIC_NUM"}
        | {"ELECTRON_DENSITY", "MAT_MODIFIED", "MAT_VALUE_BASED"}
    ),
    "OTHER": frozenset(
        {"OTHER", "DENSITY MAP", "DIFFUSION MAP", "IMAGE ADDITION", "MODULUS SUBTRACT", "MPR"}
        | {"PHASE MAP", "PHASE SUBTRACT", "PROJECTION IMAGE", "T1 MAP", "T2 MAP", "VELOCITY MAP"}
    ),
}
"""ImageType's defined terms of CT (PS3.3 C.8.2.1.1.1) and MR (C.8.3.1.1.1), by its usual one."""
RIGHT_ANGLE_TOLERANCE = 1e-4
MOST_LETTERS = 34
"""Of a codec's name in a description, which has 64 (PS3.5, LO)."""


def write(
    image: Image,
    folder: Path,
    *,
    like: Path | Template | None = None,
    method: str = "",
    ratio: float | None = None,
    number: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a series that says it is derived and not for diagnosis; decoded, that it is lossy.

    A CT in Hounsfield units becomes CT Image Storage, an MR image MR Image Storage, everything
    else Secondary Capture. Slices are single files with their own position, so that a tilted
    gantry is kept; frames without millimetres become one multi-frame file. Whole numbers that
    fit 16 bits are exact; others are spread over 16 bits and rounded.

    Args:
        image: One channel, or three of uint8.
        folder: Where the files go; made if it is not there.
        like: A DICOM file, folder or zip that holds the image's own series, whose patient, study
            and frame of reference it joins, whose slices it names as its source and are as thick;
            or what `Templates` found there. Without it patient and study are new and empty.
        method: The codec the pixels were decoded by, for DerivationDescription; "" where there
            was none: then only what was lossy before is called so.
        ratio: Its compression ratio, for LossyImageCompressionRatio.
        number: SeriesNumber; where it is None, the smallest from the source's and a thousand on
            that no series of `like` has, nor what is made of another one of them.
        overwrite: Whether a folder that is there may be replaced, with all that is in it.

    Raises:
        OutputError: The folder is not empty, or DICOM has no place for such an image.
        UnreadableFile: `like` cannot be read.
        AmbiguousSource: None of its series is the one the image was made of.

    Examples:
        >>> len(write(plica.read("study/ct"), Path("decoded"), like=Path("study/ct")))
        5
    """
    stored = to_stored(image)
    _check_grid(image.grid)
    with _found_template(like, image) as template, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a source's own odd values are copied, not judged
        header = None if template is None else template.header
        base = _base(image, header, stored, method=method, ratio=ratio)
        usual = SERIES_STEP if template is None else template.next_number
        base.SeriesNumber = usual if number is None else number
        base.ImageType = _keep_terms(list(base.ImageType), header)
        datasets = _datasets(image, base, stored)
        if template is not None:
            for k, dataset in enumerate(datasets):
                template.add_source(dataset, image.grid, k)
        with new_folder(folder, overwrite=overwrite) as part:
            names = [f"{number:06d}.dcm" for number in range(1, len(datasets) + 1)]
            for name, dataset in zip(names, datasets, strict=True):
                _save(dataset, part / name)
    return [folder / name for name in names]


def _save(dataset: Dataset, path: Path) -> None:
    """One file, composed in memory: where a disk is full, pydicom's error is a page long."""
    composed = io.BytesIO()
    dataset.save_as(composed, enforce_file_format=True)
    path.write_bytes(composed.getbuffer())


def _check_grid(grid: Grid) -> None:
    directions = grid.affine[:3, :2] / np.linalg.norm(grid.affine[:3, :2], axis=0)
    if abs(float(directions[:, 0] @ directions[:, 1])) > RIGHT_ANGLE_TOLERANCE:
        raise OutputError(
            "the image's rows and columns are not perpendicular, which DICOM cannot say: "
            "resample it first, or write NIfTI"
        )


@contextmanager
def _found_template(like: Path | Template | None, image: Image) -> Iterator[Template | None]:
    """The image's own series, as long as what holds it is unpacked."""
    if like is None or isinstance(like, Template):
        yield like
        return
    with Templates(like) as templates:
        yield templates.find(image.provenance, image.grid)


def _class_of(image: Image, modality: str) -> str:
    frames = image.grid.shape[2] > 1 and not image.grid.calibrated
    if image.channels == 3:
        return COLOUR_FRAMES_CLASS if frames else CAPTURE_CLASS
    if frames:
        return BYTE_FRAMES_CLASS if image.pixels.dtype == np.uint8 else WORD_FRAMES_CLASS
    is_ct = image.unit is Unit.HU or (modality == "CT" and image.unit is Unit.RELATIVE)
    if is_ct and image.grid.calibrated:
        return CT_CLASS
    if modality == "MR" and image.grid.calibrated:
        return MR_CLASS
    return CAPTURE_CLASS


def _base(
    image: Image, template: Header | None, stored: Stored, *, method: str, ratio: float | None
) -> Dataset:
    """What all files of the series have in common."""
    modality = known_modality(template.text("Modality")) if template is not None else ""
    modality = (
        modality
        or known_modality(image.provenance.modality)
        or ("CT" if image.unit is Unit.HU else "OT")
    )
    if modality == "SEG":
        modality = "OT"  # a segmentation object is another kind of file than we write
    dataset = Dataset()
    dataset.SOPClassUID = _class_of(image, modality)
    dataset.Modality = modality
    _add_patient_and_study(dataset, template)
    _add_series(dataset)
    _add_derivation(dataset, image, method, ratio)
    _add_class_attributes(dataset)
    _add_pixel_description(dataset, image, stored)
    if image.channels == 1:
        _add_display(dataset, image.display)
    return dataset


def _add_patient_and_study(dataset: Dataset, template: Header | None) -> None:
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        setattr(dataset, keyword, "")
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        setattr(dataset, keyword, "")
    dataset.ReferringPhysicianName = ""
    dataset.StudyInstanceUID = generate_uid(prefix=None)
    dataset.FrameOfReferenceUID = generate_uid(prefix=None)
    dataset.PositionReferenceIndicator = ""
    dataset.Laterality = ""
    if template is None:
        return
    for keyword in COPIED:
        if keyword in template:
            dataset[keyword] = template.dataset[keyword]


def _add_series(dataset: Dataset) -> None:
    now = datetime.now().astimezone()
    dataset.SeriesInstanceUID = generate_uid(prefix=None)
    dataset.Manufacturer = "plica"
    dataset.SoftwareVersions = version("plica")
    dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = now.strftime("%H%M%S")
    dataset.ContentDate, dataset.ContentTime = (
        dataset.InstanceCreationDate,
        dataset.InstanceCreationTime,
    )
    dataset.ImageType = ["DERIVED", "SECONDARY"]


def _add_derivation(dataset: Dataset, image: Image, method: str, ratio: float | None) -> None:
    """What was done to the pixels; once lossy, an image stays so (PS3.3 C.7.6.1.1.5).

    Text burnt into them stays, too, and legible or not, it is said.
    """
    if BURNED_IN in image.provenance.notes:
        dataset.BurnedInAnnotation = "YES"
    if not method:
        dataset.SeriesDescription = "Written by plica, not for diagnosis"
        dataset.DerivationDescription = "Written by plica; not for diagnosis"
        if LOSSY_BEFORE in image.provenance.notes:
            dataset.LossyImageCompression = "01"
        return
    dataset.SeriesDescription = f"Decoded by {method[:MOST_LETTERS]}, not for diagnosis"
    dataset.DerivationDescription = f"Decoded from a latent by {method}; not for diagnosis"[:1024]
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = "PLICA_LATENT"
    if ratio is not None:
        dataset.LossyImageCompressionRatio = ds(ratio)


def _add_class_attributes(dataset: Dataset) -> None:
    """Attributes the class asks for and a derived image has no value of.

    How thick slices are is no more than the source can tell: they may overlap.
    """
    if dataset.SOPClassUID in {CT_CLASS, MR_CLASS}:
        dataset.SliceThickness = None
    if dataset.SOPClassUID == CT_CLASS:
        dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        dataset.KVP = None
        dataset.AcquisitionNumber = None
    elif dataset.SOPClassUID == MR_CLASS:
        dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        dataset.ScanningSequence = "RM"
        dataset.SequenceVariant = "NONE"
        dataset.ScanOptions = ""
        dataset.MRAcquisitionType = ""
        dataset.EchoTime = None
        dataset.EchoTrainLength = None
        dataset.RepetitionTime = None
    else:
        dataset.ConversionType = "WSD"
        if "PatientOrientation" not in dataset:
            dataset.PatientOrientation = ""
    if "PatientPosition" not in dataset:
        dataset.PatientPosition = ""


def _keep_terms(own: list[str], source: Header | None) -> list[str]:
    """ImageType with what the source's says from its third value on, as far as it is defined.

    A localizer stays one (PS3.3 C.7.6.1.1.2); vendors' own words are left out.
    """
    stated = [] if source is None else [word.upper() for word in source.texts("ImageType")]
    if LOCALIZERS & set(stated):
        return [*own[:2], "LOCALIZER"]
    defined = IMAGE_TERMS.get(own[2], frozenset()) if len(own) > 2 else frozenset()
    third = [word for word in stated[2:3] if word in defined] or own[2:]
    return [*own[:2], *third, *(word for word in stated[3:] if word in defined)]


def _add_pixel_description(dataset: Dataset, image: Image, stored: Stored) -> None:
    colour = image.channels == 3
    dataset.SamplesPerPixel = image.channels
    grey = "MONOCHROME1" if image.display.inverted else "MONOCHROME2"
    dataset.PhotometricInterpretation = "RGB" if colour else grey
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.Columns, dataset.Rows = image.grid.shape[:2]
    bits = 8 * stored.pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.pixels.dtype.kind == "i")
    if colour:
        return
    dataset.RescaleIntercept = ds(stored.intercept)
    dataset.RescaleSlope = ds(stored.slope)
    dataset.RescaleType = RESCALE_TYPES.get(image.unit, "US")
    if dataset.Modality == "PT" and image.unit in {Unit.SUV, Unit.BQML}:
        dataset.Units = RESCALE_TYPES[image.unit]
    if not dataset.SOPClassUID.startswith((CT_CLASS, MR_CLASS)):
        dataset.PresentationLUTShape = "INVERSE" if image.display.inverted else "IDENTITY"


def _add_display(dataset: Dataset, display: Display) -> None:
    if display.center is not None and display.width is not None:
        dataset.WindowCenter = ds(display.center)
        dataset.WindowWidth = ds(display.width)
        if display.function != "LINEAR":
            dataset.VOILUTFunction = display.function
    if not display.table:
        return
    count, first = len(display.table), display.table_first
    if count > 65536 or not -32768 <= first <= 65535:
        raise OutputError(
            f"the image's VOI table has {count} entries from {first} on, and DICOM allows 65536 "
            "from -32768 to 65535: leave the table out"
        )
    item = Dataset()
    kind = "SS" if first < 0 else "US"
    shape = [count % 65536, first, 16]
    item.add_new("LUTDescriptor", kind, shape if kind == "US" or count < 32768 else [0, first, 16])
    outputs = np.rint(np.array(display.table) * 65535).astype("<u2")
    item.add_new("LUTData", "OW", outputs.tobytes())
    dataset.VOILUTSequence = [item]


def _datasets(image: Image, base: Dataset, stored: Stored) -> list[Dataset]:
    """One dataset a slice; or one for all frames where there are no millimetres."""
    frames = stored.pixels.transpose(3, 2, 1, 0)  # (k, rows, columns, samples)
    if not image.grid.calibrated:
        return [_uncalibrated(base, image.grid, frames)]
    return [
        _slice(base, image, frames[k], k, place=not _is_plain_picture(image))
        for k in range(image.grid.shape[2])
    ]


def _is_plain_picture(image: Image) -> bool:
    """A radiograph or picture on the grid readers give to one without a place in the patient."""
    si, sj, _ = image.grid.spacing_mm
    plain = np.diag([-si, -sj, 1.0, 1.0])
    alone = image.grid.shape[2] == 1 and image.unit is not Unit.HU
    return alone and bool(np.array_equal(image.grid.affine, plain))


def _slice(base: Dataset, image: Image, frame: Any, k: int, *, place: bool) -> Dataset:
    dataset = _new_instance(base, k + 1)
    si, sj, _ = image.grid.spacing_mm
    dataset.PixelSpacing = [ds(sj), ds(si)]
    if place:
        _add_place(dataset, image.grid, k)
    else:
        del dataset.FrameOfReferenceUID
    dataset.PixelData = _padded(frame)
    dataset["PixelData"].VR = "OW" if frame.dtype.itemsize > 1 else "OB"
    return dataset


def _add_place(dataset: Dataset, grid: Grid, k: int) -> None:
    to_lps = np.array([-1.0, -1.0, 1.0])
    right, down = (grid.affine[:3, axis] / grid.spacing_mm[axis] for axis in (0, 1))
    position = grid.to_world((0, 0, k))
    step = abs(float(np.cross(right, down) @ grid.affine[:3, 2]))
    dataset.ImageOrientationPatient = _numbers([*(right * to_lps), *(down * to_lps)])
    dataset.ImagePositionPatient = _numbers(position * to_lps)
    dataset.SliceLocation = ds(float(np.cross(right, down) @ position))
    dataset.SpacingBetweenSlices = ds(step)


def _numbers(values: Iterable[Any]) -> list[str]:
    return [ds(float(value) + 0.0) for value in values]


def _uncalibrated(base: Dataset, grid: Grid, frames: Any) -> Dataset:
    dataset = _new_instance(base, 1)
    del dataset.FrameOfReferenceUID
    si, sj, _ = grid.spacing_mm
    if abs(si - sj) > 1e-6 * si:
        dataset.PixelAspectRatio = [str(round(1000 * sj)), str(round(1000 * si))]
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
        dataset.PageNumberVector = list(range(1, len(frames) + 1))
        dataset.FrameIncrementPointer = 0x00182001
    dataset.PixelData = _padded(frames)
    dataset["PixelData"].VR = "OW" if frames.dtype.itemsize > 1 else "OB"
    return dataset


def _new_instance(base: Dataset, number: int) -> Dataset:
    dataset = Dataset()
    dataset.update(base)
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.InstanceNumber = number
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    return dataset


def _padded(frames: Any) -> bytes:
    little = frames.astype(frames.dtype.newbyteorder("<"))
    data = little.tobytes(order="C")
    return data + b"\0" * (len(data) % 2)
