import os
import pickle
import zipfile

import numpy as np
import pytest
from tests.formats.scenes import GRIDS, LANDMARK, find_mark, marked, numbers

from plica.errors import (
    InputError,
    PlicaError,
    TooLarge,
    UnreadableFile,
    UnsupportedFormat,
    UnusablePixels,
)
from plica.formats import array
from plica.formats.array import write_npy, write_npz
from plica.grid import Grid
from plica.image import Display, Image, Unit

ONE = (1.0, 1.0, 1.0)


class Evil:
    """Runs a command when unpickled."""

    def __reduce__(self):
        return os.system, ("touch pickles_ran",)


def save(path, values):
    np.save(path, values)
    return path


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_an_npz_keeps_values_place_unit_and_window(tmp_path, grid):
    image = Image(numbers("int16", 2), grid, Unit.SUV, display=Display(1.0, 2.0))
    write_npz(image, tmp_path / "a.npz")

    read = array.read(tmp_path / "a.npz")
    assert np.array_equal(read.pixels, image.pixels)
    assert (read.grid, read.unit, read.display) == (grid, Unit.SUV, image.display)
    write_npz(marked(grid), tmp_path / "b.npz")
    assert np.allclose(find_mark(array.read(tmp_path / "b.npz")), grid.to_world(LANDMARK))


def test_numpy_reads_what_is_written(tmp_path):
    image = Image(numbers("int16"), GRIDS["oblique"], Unit.HU)
    write_npz(image, tmp_path / "a.npz")
    write_npy(image, tmp_path / "a.npy")
    found = np.load(tmp_path / "a.npz", allow_pickle=False)
    assert np.array_equal(found["pixels"], image.pixels)
    assert np.array_equal(found["affine"], image.grid.affine)
    assert str(found["unit"]) == "HU"
    assert np.array_equal(np.load(tmp_path / "a.npy"), image.pixels[0])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32"])
def test_an_npy_keeps_values_and_needs_a_spacing(tmp_path, channels, dtype):
    pixels = numbers("int8" if dtype == "bool" else dtype, channels).astype(dtype)
    write_npy(Image(pixels, GRIDS["RAS"]), tmp_path / "a.npy")

    with pytest.raises(InputError, match="spacing_mm"):
        array.read(tmp_path / "a.npy")
    read = array.read(tmp_path / "a.npy", spacing_mm=(0.5, 0.6, 2.0))
    assert np.array_equal(read.pixels, pixels)
    assert read.pixels.dtype == dtype
    assert np.allclose(read.grid.spacing_mm, (0.5, 0.6, 2.0))


def test_both_memory_orders_and_byte_orders_are_read(tmp_path):
    values = numbers("int16")[0]
    for name, other in (("a", np.asfortranarray(values)), ("b", values.astype(">i2"))):
        read = array.read(save(tmp_path / f"{name}.npy", other), spacing_mm=ONE)
        assert np.array_equal(read.pixels[0], values)
        assert read.pixels.dtype.isnative


def test_two_axes_are_rows_and_columns_as_of_a_picture(tmp_path):
    rows = np.zeros((5, 7), np.uint8)
    rows[3, 1] = 9
    read = array.read(save(tmp_path / "a.npy", rows), spacing_mm=ONE)
    assert read.pixels[0, 1, 3, 0] == 9
    assert read.grid.orientation == "LPS"
    assert "row" in read.provenance.notes[0]


def test_an_npz_of_one_array_may_say_its_spacing(tmp_path):
    values = numbers("int16")[0]
    np.savez(tmp_path / "a.npz", ct=values, spacing_mm=[1.0, 2.0, 3.0], unit="HU")
    read = array.read(tmp_path / "a.npz")
    assert read.grid.spacing_mm == (1, 2, 3)
    assert read.unit is Unit.HU


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (-1.0, 1.0, 1.0), (np.nan, 1.0, 1.0)])
def test_a_spacing_that_is_none_is_refused(tmp_path, spacing):
    with pytest.raises(InputError, match="spacing"):
        array.read(save(tmp_path / "a.npy", np.zeros((2, 2, 2))), spacing_mm=spacing)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.zeros((2, 2, 2), complex), UnsupportedFormat),
        (np.zeros((2, 2, 2), "U3"), UnsupportedFormat),
        (np.zeros((2, 2, 2), [("a", "i2")]), UnsupportedFormat),
        (np.zeros((2, 2, 2), np.longdouble), UnsupportedFormat),
        (np.zeros(()), UnsupportedFormat),
        (np.zeros(3), UnsupportedFormat),
        (np.zeros((2, 2, 2, 2, 2)), UnsupportedFormat),
        (np.zeros((0, 2, 2)), UnusablePixels),
        (np.array([[Evil()]], object), UnreadableFile),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, values, error, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        array.read(save(tmp_path / "a.npy", values), spacing_mm=ONE)
    assert not (tmp_path / "pickles_ran").exists()


def test_a_pickle_under_the_name_of_an_array_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Evil()))
    np.savez(tmp_path / "b.npz", pixels=np.array([[Evil()]], object))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(UnreadableFile):
            array.read(tmp_path / name, spacing_mm=ONE)
    assert not (tmp_path / "pickles_ran").exists()


def npy_with_header(path, header, data=b""):
    text = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (90000, 90000, 90)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2, 2)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 'large'}",
        "{'descr': '<f9', 'fortran_order': False, 'shape': (2, 2, 2)}",
        "{'descr': '<f8', 'shape': (2, 2, 2)}",
        "__import__('os').system('touch pickles_ran')",
        "((((((((((((((((((((",
        "",
    ],
)
def test_damaged_headers_are_refused(tmp_path, header, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableFile):
        array.read(npy_with_header(tmp_path / "a.npy", header, bytes(64)), spacing_mm=ONE)
    assert not (tmp_path / "pickles_ran").exists()


def test_truncated_files_are_refused(tmp_path):
    image = Image(numbers("int16"), GRIDS["RAS"])
    write_npy(image, tmp_path / "a.npy")
    write_npz(image, tmp_path / "a.npz")
    for name in ("a.npy", "a.npz"):
        whole = (tmp_path / name).read_bytes()
        for kept in range(0, len(whole) - 1, 61):
            (tmp_path / f"cut{name}").write_bytes(whole[:kept])
            with pytest.raises(PlicaError):
                array.read(tmp_path / f"cut{name}", spacing_mm=ONE)


def test_a_zip_bomb_is_refused_by_what_it_declares(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("pixels.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(400):
            member.write(bytes(1 << 20))
    with pytest.raises(TooLarge):
        array.read(tmp_path / "a.npz", spacing_mm=ONE)


def test_several_arrays_need_a_name(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.zeros((2, 2, 2)), two=np.zeros((2, 2, 2)))
    with pytest.raises(UnsupportedFormat, match="'pixels'"):
        array.read(tmp_path / "a.npz", spacing_mm=ONE)


@pytest.mark.parametrize(
    "entries",
    [{"affine": np.array("x")}, {"affine": np.zeros((4, 4))}, {"affine": np.eye(3)},
     {"spacing_mm": np.array([1.0, 2.0])}, {"spacing_mm": np.array(["a", "b", "c"])},
     {"spacing_mm": np.ones(3), "unit": np.array("parsec")}],
)  # fmt: skip
def test_an_npz_that_says_nonsense_is_refused(tmp_path, entries):
    np.savez(tmp_path / "a.npz", pixels=np.zeros((2, 2, 2)), **entries)
    with pytest.raises(InputError):
        array.read(tmp_path / "a.npz")


def test_an_uncalibrated_grid_stays_so(tmp_path):
    image = Image(numbers("int16"), Grid.from_spacing((5, 6, 7), calibrated=False))
    write_npz(image, tmp_path / "a.npz")
    assert not array.read(tmp_path / "a.npz").grid.calibrated


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"volume": 0}, InputError, "has no volumes"),
        ({"spacing_mm": ONE}, InputError, "has its own affine; leave spacing_mm out"),
    ],
)
def test_what_an_array_knows_itself_or_never_has_is_not_taken(tmp_path, how, error, words):
    write_npz(Image(numbers("int16"), GRIDS["RAS"]), tmp_path / "a.npz")
    with pytest.raises(error, match=words):
        array.read(tmp_path / "a.npz", **how)


def test_an_array_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        array.read(tmp_path / "gone.npy", spacing_mm=ONE)


def test_a_version_of_npy_that_is_not_known_is_named(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\3\0" + bytes(64))
    with pytest.raises(UnsupportedFormat, match=r"version \(3, 0\)"):
        array.read(tmp_path / "a.npy", spacing_mm=ONE)


def test_an_array_of_nothing_is_refused_where_it_should_be_mapped(tmp_path):
    path = save(tmp_path / "a.npy", np.zeros((0, 2, 2)))
    with pytest.raises(UnusablePixels, match="holds no values"):
        array.read(path, spacing_mm=ONE, mapped=True)
