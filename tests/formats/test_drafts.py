"""A file that grows box by box is the file that is written at once; nothing half-done is left."""

import dataclasses

import numpy as np
import pytest

from plica.boxes import count_held, release
from plica.errors import OutputError
from plica.formats import drafts
from plica.formats.doors import read, write
from plica.formats.drafts import Draft
from plica.grid import Grid
from plica.image import Image, Unit

AFFINE = np.array([[0.9, 0.3, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 2.1, 11], [0, 0, 0, 1.0]])


def make_image(dtype: str = "int16", channels: int = 1, unit: Unit = Unit.HU) -> Image:
    pixels = np.random.default_rng(0).integers(0, 100, (channels, 13, 9, 7)).astype(dtype)
    return Image(pixels, Grid((13, 9, 7), AFFINE), unit)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def outline_of(image: Image) -> Image:
    zeros = np.broadcast_to(np.zeros((), image.pixels.dtype), image.pixels.shape)
    return dataclasses.replace(image, pixels=zeros)


def lay(image: Image, path, **how):
    """Slice by slice, each given back."""
    with Draft(lambda _: path, small_bytes=0, **how) as draft:
        pixels = draft.begin(outline_of(image))
        held = count_held(pixels)
        for k in range(image.grid.shape[2]):
            pixels[..., k] = image.pixels[..., k]
            release(pixels)
        draft.finish(dataclasses.replace(image, pixels=pixels))
    return held


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".npy", ".npz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    ("dtype", "channels", "unit"),
    [("int16", 1, Unit.HU), ("float32", 2, Unit.RELATIVE), ("uint8", 3, Unit.DISPLAY),
     ("float64", 1, Unit.SUV), ("bool", 1, Unit.LABEL), ("float16", 1, Unit.RELATIVE)],
)  # fmt: skip
def test_a_draft_becomes_the_file_that_is_written_at_once(tmp_path, ending, dtype, channels, unit):
    image = make_image(dtype, channels, unit)
    write(image, tmp_path / f"whole{ending}")

    held = lay(image, tmp_path / f"laid{ending}")

    whole, laid = (tmp_path / f"{name}{ending}" for name in ("whole", "laid"))
    assert laid.read_bytes() == whole.read_bytes()
    assert held == 0
    assert names(tmp_path) == sorted([whole.name, laid.name])


def test_small_images_stay_in_memory(tmp_path):
    image = make_image()
    with Draft(lambda _: tmp_path / "a.nii") as draft:
        pixels = draft.begin(outline_of(image))
        pixels[...] = image.pixels
        assert count_held(pixels) == pixels.nbytes
        assert names(tmp_path) == []
        draft.finish(dataclasses.replace(image, pixels=pixels))
    np.testing.assert_array_equal(read(tmp_path / "a.nii").pixels, image.pixels)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_what_fails_leaves_nothing_and_what_was_there(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"old")

    with (
        pytest.raises(ZeroDivisionError),
        Draft(lambda _: path, overwrite=True, small_bytes=0) as draft,
    ):
        draft.begin(outline_of(make_image()))[0, 0, 0, 0] = 1 // 0
    with Draft(lambda _: path, overwrite=True, small_bytes=0) as draft:
        draft.begin(outline_of(make_image()))  # and never finished

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [path.name]


def test_an_existing_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"old")
    with (
        pytest.raises(OutputError, match="exists"),
        Draft(lambda _: tmp_path / "a.nii", small_bytes=0) as draft,
    ):
        draft.begin(outline_of(make_image()))


@pytest.mark.parametrize("ending", [".nii", ".mha"])
def test_a_full_disk_is_a_sentence_and_no_crash(tmp_path, ending, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drafts.os, "posix_fallocate", full)
    with (
        pytest.raises(OutputError, match="No space left"),
        Draft(lambda _: tmp_path / f"a{ending}", small_bytes=0) as draft,
    ):
        draft.begin(outline_of(make_image()))
    assert names(tmp_path) == []


@pytest.mark.parametrize("ending", [".nii", ".npy", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("slope", [None, 2])
def test_a_mapped_image_is_the_one_that_is_read(tmp_path, ending, slope):
    path = tmp_path / f"a{ending}"
    write(make_image("int16" if slope is None else "float32", unit=Unit.RELATIVE), path)
    spacing = {"spacing_mm": (1.0, 1.0, 2.0)} if ending == ".npy" else {}

    mapped, whole = (read(path, mapped=one, unit="HU", **spacing) for one in (True, False))

    np.testing.assert_array_equal(mapped.pixels, whole.pixels)
    assert mapped.provenance == whole.provenance
    assert mapped.pixels.dtype == whole.pixels.dtype
    packed = ending in {".nii.gz", ".nrrd"}
    assert count_held(mapped.pixels) == (mapped.pixels.nbytes if packed else 0)
    assert not mapped.pixels.flags.writeable


def test_raw_pixels_of_nrrd_and_metaimage_are_mapped(tmp_path):
    pixels = make_image().pixels[0]
    (tmp_path / "p.raw").write_bytes(pixels.tobytes(order="F"))
    (tmp_path / "a.nhdr").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 13 9 7\nendian: little\nencoding: raw\n"
        "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        "space origin: (0,0,0)\ndata file: p.raw\n\n"
    )
    (tmp_path / "a.mhd").write_text(
        "NDims = 3\nDimSize = 13 9 7\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
        "ElementDataFile = p.raw\n"
    )
    for name in ("a.nhdr", "a.mhd"):
        image = read(tmp_path / name, mapped=True)
        np.testing.assert_array_equal(image.pixels[0], pixels)
        assert count_held(image.pixels) == 0


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd", "a.npy", "a.nii"])
def test_a_truncated_file_is_refused_and_not_mapped(tmp_path, name):
    """Reading past the end of a mapped file would end the process."""
    pixels = make_image().pixels[0]
    write(make_image(unit=Unit.RELATIVE), tmp_path / "a.nii")
    np.save(tmp_path / "a.npy", pixels)
    (tmp_path / "p.raw").write_bytes(pixels.tobytes(order="F")[:-2])
    (tmp_path / "a.nhdr").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 13 9 7\nendian: little\nencoding: raw\n"
        "data file: p.raw\n\n"
    )
    (tmp_path / "a.mhd").write_text(
        "NDims = 3\nDimSize = 13 9 7\nElementType = MET_SHORT\nElementDataFile = p.raw\n"
    )
    path = tmp_path / name
    if path.suffix in {".npy", ".nii"}:
        path.write_bytes(path.read_bytes()[:-2])
    spacing = {"spacing_mm": (1.0, 1.0, 2.0)} if name == "a.npy" else {}

    with pytest.raises(Exception, match=r"truncated|cannot hold"):
        read(path, mapped=True, **spacing)
