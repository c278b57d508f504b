"""Every real image that can be read goes through a codec and comes back to its own place."""

from pathlib import Path

import numpy as np
import pytest

import plica
from plica.codecs.catalogue import default_name, load
from plica.errors import AmbiguousSource, PlicaError
from plica.formats.sources import find_sources
from plica.image import Image

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


@pytest.mark.parametrize("room", ROOMS)
def test_every_readable_image_comes_back_on_its_grid_in_its_unit(shared: Path, room: str):
    sources, _ = find_sources([shared / "data" / room])
    codecs, refused, done = {}, [], 0
    for source in sources:
        try:
            image = _read(source)
        except PlicaError as error:
            refused.append((source.name, str(error)))
            continue
        name = default_name(image)
        codec = codecs.setdefault(name, load(name, fill_nonfinite=True))
        assert image.pixels.size <= LARGEST
        decoded = codec.decode(codec.encode(image))

        assert decoded.grid.agrees_with(image.grid, 1e-3), source.name
        assert decoded.pixels.shape == image.pixels.shape, source.name
        assert decoded.pixels.dtype == image.pixels.dtype.newbyteorder("="), source.name
        assert decoded.unit is image.unit, source.name
        assert image.count_nonfinite() == decoded.count_nonfinite(), source.name
        done += 1
    assert done, f"nothing in {room} could be read: {refused}"
    if room in ORDINARY:
        assert [name for name, _ in refused if name != UNEVEN] == []


def test_a_real_ct_is_kept_to_a_few_units_where_it_is_flat(shared: Path):
    image = plica.read(shared / "data/chest-ct/lidc-idri-0314/lidc_0314_slices090-177.nii.gz")
    codec = load("linear-4x1-3d")

    difference = codec.decode(codec.encode(image)).pixels.astype(float) - image.pixels

    assert np.median(np.abs(difference[image.pixels <= -1000])) < 6
    assert abs(difference.mean()) < 1
