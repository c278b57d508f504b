"""Every real image that can be read goes through a codec and comes back to its own place."""

from pathlib import Path

import numpy as np
import pytest

import plica
from plica.codecs.catalogue import load
from plica.cohort import Cohort
from plica.errors import AmbiguousSource, PlicaError
from plica.formats.sources import Source, find_sources
from plica.image import Image, Unit

ROOMS = (
    "cxr", "mammo", "msk-xray", "chest-ct", "head-ct", "other-ct", "brain-mri", "other-mri",
    "odd-formats/pydicom", "odd-formats/pydicom-data", "odd-formats/highdicom", "odd-formats/nifti",
    "odd-formats/other-containers", "odd-formats/torchio-small-series",
    "odd-formats/lungmask-min-tags", "odd-formats/dicom-4d-series",
)  # fmt: skip
# Folders of ordinary images: there nothing may be refused, but one head scanned in thin slices at
# its base and thick ones above, which is no regular grid.
ORDINARY = ROOMS[:8]
UNEVEN = "dcm-qa-ct-ge/dcm_qa_ct_ge"
LARGEST = 2**24  # voxels: one CT of 512 × 512 × 64


def _read(source) -> Image:
    try:
        return plica.read(source.path, series=source.series, volume=source.volume)
    except AmbiguousSource:
        return plica.read(source.path, series=source.series, volume=0)


def _check_way_back(image: Image, name: str) -> None:
    assert image.pixels.size <= LARGEST
    if image.unit is Unit.LABEL:
        codec = load("identity")
    else:
        codec = load("linear-4x1-3d" if image.is_volume else "linear-4x3-2d", fill_nonfinite=True)
    decoded = codec.decode(codec.encode(image))

    assert decoded.grid.agrees_with(image.grid, 1e-3), name
    assert decoded.pixels.shape == image.pixels.shape, name
    assert decoded.pixels.dtype == image.pixels.dtype.newbyteorder("="), name
    assert decoded.unit is image.unit, name
    assert image.count_nonfinite() == decoded.count_nonfinite(), name


@pytest.mark.parametrize("room", ROOMS)
def test_every_readable_image_comes_back_on_its_grid_in_its_unit(shared: Path, room: str):
    sources, _ = find_sources([shared / "data" / room])
    refused, done = [], 0
    for source in sources:
        try:
            image = _read(source)
        except PlicaError as error:
            refused.append((source.name, str(error)))
            continue
        _check_way_back(image, source.name)
        done += 1
    assert done, f"nothing in {room} could be read: {refused}"
    if room in ORDINARY:
        assert [name for name, _ in refused if name != UNEVEN] == []


@pytest.mark.parametrize(
    ("room", "least"), [("pydicom", 56), ("pydicom-data", 39), ("highdicom", 21)]
)
def test_files_that_stack_with_no_others_come_back_one_by_one(shared: Path, room: str, least: int):
    """A folder of odd files may be refused as a series; each of its files is an image still."""
    done = 0
    for path in sorted((shared / "data/odd-formats" / room).glob("*.dcm")):
        try:
            image = _read(Source(path.name, path))
        except PlicaError:  # which, and why, is in tests/formats/dicom_outcomes.tsv
            continue
        _check_way_back(image, path.name)
        done += 1
    assert done >= least


@pytest.mark.parametrize(
    ("name", "bicubic"), [("linear-4x3-2d", "bicubic-4x-2d"), ("linear-8x4-2d", "bicubic-8x-2d")]
)
def test_several_channels_are_worth_two_and_a_half_decibels(shared: Path, name: str, bicubic: str):
    """Through files, steps and rounding; docs/quality.md has the networks alone."""
    cohort = Cohort.from_manifest(shared / "data/MANIFEST.csv").of_split("dev-test")
    codecs = [load(name), load(bicubic)]
    gains = []
    for source in ("hannover-covid19", "cdd-cesm", "jordan-ddh"):
        for case in cohort.where(source=source):
            image = plica.read(case.path)
            errors = [
                np.square(codec.decode(codec.encode(image)).pixels - image.pixels.astype(float))
                for codec in codecs
            ]
            gains.append(10 * np.log10(errors[1].mean() / errors[0].mean()))

    assert len(gains) >= 30
    assert np.mean(gains) >= 2.5


def test_a_real_ct_is_kept_to_a_few_units_where_it_is_flat(shared: Path):
    image = plica.read(shared / "data/chest-ct/lidc-idri-0314/lidc_0314_slices090-177.nii.gz")
    codec = load("linear-4x1-3d")

    difference = codec.decode(codec.encode(image)).pixels.astype(float) - image.pixels

    assert np.median(np.abs(difference[image.pixels <= -1000])) < 6
    assert abs(difference.mean()) < 1
