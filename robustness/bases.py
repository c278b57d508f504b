"""What commands are tried on: a small study, cohorts, a run, a store, reports; markers in all."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import nrrd
import numpy as np
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from pydicom.data import get_testdata_file

from robustness.markers import TEXTS, mark_dicom

PROTOCOL = "reconstruction.toml"
CODEC = "linear-4x3-2d"
SIDES = (40, 36, 4)


def say_recipe(*, steps: int, every: int) -> str:
    """A small recipe for pictures, judged every so many steps."""
    return f"""
name = "small"
summary = "A small network for pictures."
steps = {steps}
batch = 2
evaluate_every = {every}
checkpoint_every = 2
log_every = 2
tolerance = 100.0
licence = "CC0-1.0"
notes = "Learned nothing."

[network]
kind = "kl"
dims = 2
in_channels = 1
code_channels = 2
widths = [32, 32]
blocks = 1

[objective]
kl = 1e-6

[data]
crop = 16
validation_crop = 32
"""


def make(base: Path) -> None:
    """Write what people would bring; what commands make of it is made by `sweep`."""
    base.mkdir(parents=True)
    _write_study(base / "study")
    _write_volumes(base / "volumes")
    _write_pictures(base / "pictures")
    _write_labelled(base / "labelled")
    for part in ("study", "volumes", "pictures"):
        shutil.copytree(base / part, base / "archive" / part)
    (base / "recipe.toml").write_text(say_recipe(steps=12, every=4))
    root = Path(__file__).resolve().parent.parent
    shutil.copy(root / "protocols" / PROTOCOL, base / "protocol.toml")


def _write_study(folder: Path) -> None:
    folder.mkdir()
    slice_ = Path(get_testdata_file("CT_small.dcm", download=False))
    for number in range(4):
        mark_dicom(slice_, folder / f"{number}.dcm", number)


def _values(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(SIDES[0]) * 25, np.arange(SIDES[1]) * 20)[..., None]
    return (ramp - 900 + 40 * seed + rng.normal(0, 30, SIDES)).astype(np.int16)


def _write_volumes(folder: Path) -> None:
    folder.mkdir()
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    for number in range(4):
        _save(folder / f"v{number}.nii.gz", _values(number), affine)
    header = {"space": "left-posterior-superior", "space directions": np.diag([1.0, 1.0, 3.0]),
              "comment": TEXTS["NRRD key"]}  # fmt: skip
    nrrd.write(str(folder / "v4.nrrd"), _values(4), header)


def _save(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, affine)
    for name in ("descrip", "aux_file", "db_name"):
        image.header[name] = TEXTS[name].encode()
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _write_pictures(folder: Path) -> None:
    folder.mkdir()
    rows = []
    for number in range(12):
        values = np.clip(np.abs(_values(number)[:, :, 0] // 8), 0, 255).astype(np.uint8)
        texts = PngInfo()
        texts.add_text("Patient", TEXTS["PNG text"])
        texts.add_text("Packed", TEXTS["PNG text"], zip=True)
        picture = Pillow.fromarray(values)
        if number == 11:
            picture.save(folder / "11.tif", description=TEXTS["TIFF description"])
        else:
            picture.save(folder / f"{number}.png", pnginfo=texts)
        split = "dev-test" if number % 3 == 2 else "train"
        name = "11.tif" if number == 11 else f"{number}.png"
        rows.append((name, f"p{number}", split, "drawn", "CC0-1.0", "ab"[number % 2]))
    with (folder / "images.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "patient", "split", "source", "licence", "class"))
        writer.writerows(rows)


def _write_labelled(folder: Path) -> None:
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    for number in range(4):
        values = _values(number)
        _save(folder / "imagesTr" / f"c{number}_0000.nii.gz", values, affine)
        _save(folder / "labelsTr" / f"c{number}.nii.gz", (values > 0).astype(np.uint8), affine)
    record = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "bright": 1},
              "numTraining": 4, "file_ending": ".nii.gz"}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(record))
