"""A PACS export made in memory: two patients, a localizer, a report, and a viewer's files."""

import zipfile
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from tests.formats.dicom_scenes import COLUMNS, ROWS, make_slice, save

REPORT = "1.2.840.10008.5.1.4.1.1.88.11"


def make_export(folder: Path) -> Path:
    """EXPORT/… with SE0 (a chest of 4 slices), SE1 (a head of 3), SE2 (a scout), SE3 (a report)."""
    tree = folder / "EXPORT"
    for at, (name, slices) in enumerate({"Doe^Jane": 4, "Roe^Richard": 3}.items()):
        for k in range(slices):
            values = np.random.default_rng(k).integers(900, 1200, (ROWS, COLUMNS))
            save(
                make_slice(
                    position=(50.0 * at, 0.0, 2.0 * k), PatientName=name, PatientID=f"P{at}",
                    SeriesInstanceUID=f"1.2.{at}", StudyInstanceUID=f"1.3.{at}",
                    SeriesDescription=f"{name} follow-up", ImageType=["ORIGINAL", "PRIMARY"],
                    PixelData=values.astype(np.int16).tobytes(),
                ),
                tree / f"SE{at}/IM{k}",
            )  # fmt: skip
    scout = make_slice(0.0, PatientName="Roe^Richard", PatientID="P1", SeriesInstanceUID="1.2.8",
                       ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
    save(scout, tree / "SE2/IM0")
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = REPORT, "1.2.7.1", "SR"
    report.SeriesInstanceUID, report.PatientName = "1.2.7", "Roe^Richard"
    save(report, tree / "SE3/IM0")
    (tree / "AUTORUN.INF").write_text("[autorun]\nopen=viewer.exe\n")
    (tree / "viewer.exe").write_bytes(b"MZ" + bytes(500))
    return tree


def pack(tree: Path) -> Path:
    """The tree as a zip beside it."""
    path = tree.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(tree.rglob("*")):
            if file.is_file():
                packed.write(file, file.relative_to(tree.parent))
    return path
