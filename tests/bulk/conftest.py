"""Archives to encode: real DICOM that travels with pydicom, and made volumes and pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from plica.bulk.engine import open_store
from plica.bulk.task import Order
from plica.bulk.worker import load_codec
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image, Unit

CODEC = "bicubic-4x-2d"
REAL = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm")


def make_archive(folder: Path, volumes: int = 12) -> Path:
    """Series of several kinds, and files that are none; one series cannot be encoded."""
    rng = np.random.default_rng(5)
    for number in range(volumes):
        pixels = rng.normal(0, 100, (1, 16 + number, 12, 3)).astype(np.float32)
        image = Image(pixels, Grid.from_spacing(pixels.shape[1:], (1, 1, 2)), unit=Unit.HU)
        write(image, folder / f"ward{number % 3}" / f"ct{number}.nii")
    for name in REAL:
        source = get_testdata_file(name)
        if source:
            (folder / "pacs" / Path(name).stem).mkdir(parents=True)
            shutil.copy(source, folder / "pacs" / Path(name).stem / name)
    (folder / "notes.txt").write_text("no image")
    (folder / "broken.nii").write_bytes(b"\x5c\x01\x00\x00" + b"\x00" * 400)
    return folder


@pytest.fixture(scope="session")
def made_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("made") / "archive")


@pytest.fixture
def archive(made_archive: Path, tmp_path: Path) -> Path:
    """One to change."""
    return Path(shutil.copytree(made_archive, tmp_path / "archive"))


@pytest.fixture
def order(archive: Path, tmp_path: Path) -> Callable[..., Order]:
    """An order for the archive, with a store made for it."""

    def make(name: str = "store", **changes: object) -> Order:
        order = Order(archive, tmp_path / name, CODEC, device="cpu", **changes)  # type: ignore[arg-type]
        open_store(order.store, load_codec(order), "float16", {})
        return order

    return make
