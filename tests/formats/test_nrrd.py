import gzip

import numpy as np
import pytest
from tests.formats.scenes import GRIDS, LANDMARK, SHAPE, SHEARED, find_mark, marked, numbers

from plica.errors import (
    AmbiguousSource,
    PlicaError,
    TooLarge,
    UnreadableFile,
    UnsupportedFormat,
)
from plica.formats import metaimage, nrrd
from plica.image import Display, Image, Unit

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"]


def save(path, pixels, **fields):
    """A raw NRRD file with a header of these fields; a field of None is left out."""
    header = {
        "type": "int16",
        "dimension": str(pixels.ndim),
        "sizes": " ".join(map(str, pixels.shape)),
        "endian": "little",
        "encoding": "raw",
        "space": "left-posterior-superior",
        "space directions": "(1,0,0) (0,1,0) (0,0,1)",
        "space origin": "(0,0,0)",
    } | {key.replace("_", " "): value for key, value in fields.items()}
    lines = [f"{key}: {value}" for key, value in header.items() if value is not None]
    text = "NRRD0004\n" + "\n".join(lines) + "\n\n"
    path.write_bytes(text.encode() + pixels.astype("<i2").tobytes(order="F"))
    return path


@pytest.mark.parametrize("grid", [*GRIDS.values(), SHEARED], ids=[*GRIDS, "sheared"])
def test_a_marked_voxel_keeps_its_place_and_itk_finds_it_there(tmp_path, grid):
    sitk = pytest.importorskip("SimpleITK")
    nrrd.write(marked(grid), tmp_path / "a.nrrd")

    assert np.allclose(find_mark(nrrd.read(tmp_path / "a.nrrd")), grid.to_world(LANDMARK))
    assert nrrd.read(tmp_path / "a.nrrd").grid.agrees_with(grid, 1e-9)
    if grid is SHEARED:
        return  # ITK cannot hold it
    itk = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    at = np.argwhere(sitk.GetArrayFromImage(itk) == 100)[0][::-1].tolist()
    found = np.array(itk.TransformIndexToPhysicalPoint(at)) * [-1, -1, 1]
    assert np.allclose(found, grid.to_world(LANDMARK), atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_itk_writes_is_read_in_its_place(tmp_path, grid, name, compressed):
    sitk = pytest.importorskip("SimpleITK")
    image = Image(numbers("int16"), grid)
    sitk.WriteImage(image.to_sitk(), str(tmp_path / name), useCompression=compressed)

    read = nrrd.read(tmp_path / name)
    assert np.array_equal(read.pixels, image.pixels)
    assert read.grid.agrees_with(grid, 1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_comes_back_bit_for_bit_and_pynrrd_agrees(tmp_path, dtype):
    image = Image(numbers(dtype), GRIDS["oblique"], Unit.HU, display=Display(50.0, 350.0))
    nrrd.write(image, tmp_path / "a.nrrd")

    read = nrrd.read(tmp_path / "a.nrrd")
    assert read.pixels.dtype == dtype
    assert np.array_equal(read.pixels, image.pixels)
    assert (read.unit, read.display) == (Unit.HU, image.display)
    other = pytest.importorskip("nrrd").read(str(tmp_path / "a.nrrd"))[0]
    assert np.array_equal(other, image.pixels[0])


@pytest.mark.parametrize(("channels", "unit"), [(3, Unit.DISPLAY), (4, Unit.NORMALISED)])
def test_channels_are_a_vector_axis(tmp_path, channels, unit):
    sitk = pytest.importorskip("SimpleITK")
    dtype = "uint8" if unit is Unit.DISPLAY else "float32"
    image = Image(numbers(dtype, channels), GRIDS["oblique"], unit)
    nrrd.write(image, tmp_path / "a.nrrd")

    assert np.array_equal(nrrd.read(tmp_path / "a.nrrd").pixels, image.pixels)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nrrd")))
    assert np.array_equal(array.transpose(3, 2, 1, 0), image.pixels)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("LPS", (-1, -1, 1)),
    ],
)
def test_each_anatomical_space_becomes_ras(tmp_path, space, signs):
    path = save(tmp_path / "a.nrrd", np.zeros(SHAPE), space=space, space_origin="(1,2,3)")

    grid = nrrd.read(path).grid
    assert np.allclose(np.diag(grid.affine)[:3], signs)
    assert np.allclose(grid.origin_mm, np.array(signs) * [1, 2, 3])


def test_a_space_that_is_not_anatomical_is_noted(tmp_path):
    path = save(tmp_path / "a.nrrd", np.zeros(SHAPE), space="3D-right-handed")
    assert "not anatomical" in nrrd.read(path).provenance.notes[0]


def test_lengths_in_micrometres_become_millimetres(tmp_path):
    path = save(tmp_path / "a.nrrd", np.zeros(SHAPE), space_units='"um" "um" "um"')
    assert np.allclose(nrrd.read(path).grid.spacing_mm, 0.001)


def test_lengths_in_units_that_are_not_known_are_taken_for_millimetres_and_noted(tmp_path):
    path = save(tmp_path / "a.nrrd", np.zeros(SHAPE), space_units='"inch" "inch" "inch"')
    image = nrrd.read(path)
    assert image.grid.spacing_mm == (1, 1, 1)
    assert "units of length are not known" in image.provenance.notes[-1]


def test_a_list_axis_asks_for_a_volume_wherever_it_stands(tmp_path):
    array = numbers("int16", shape=SHAPE)[0]
    four = np.stack([array, array + 1])
    directions = "(1,0,0) (0,1,0) (0,0,1)"
    first = save(tmp_path / "a.nrrd", four, space_directions=f"none {directions}",
                 kinds="list domain domain domain")  # fmt: skip
    last = save(tmp_path / "b.nrrd", np.moveaxis(four, 0, 3), space_directions=f"{directions} none",
                kinds="domain domain domain list")  # fmt: skip

    for path in (first, last):
        with pytest.raises(AmbiguousSource, match="2 volumes"):
            nrrd.read(path)
        assert np.array_equal(nrrd.read(path, volume=1).pixels[0], four[1])


def test_spacings_alone_are_read_and_noted(tmp_path):
    path = save(tmp_path / "a.nrrd", np.zeros(SHAPE), space=None, space_directions=None,
                space_origin=None, spacings="0.5 0.6 2")  # fmt: skip
    image = nrrd.read(path)

    assert np.allclose(image.grid.spacing_mm, (0.5, 0.6, 2))
    assert image.grid.calibrated
    assert "orientation" in image.provenance.notes[0]


def test_without_spacing_the_grid_is_not_calibrated(tmp_path):
    path = save(tmp_path / "a.nrrd", np.zeros((5, 6)), space=None, space_directions=None,
                space_origin=None)  # fmt: skip
    assert not nrrd.read(path).grid.calibrated
    assert nrrd.read(path).grid.shape == (5, 6, 1)


@pytest.mark.parametrize("encoding", ["ascii", "gzip", "bzip2"])
def test_other_encodings_are_read(tmp_path, encoding):
    import bz2

    array = numbers("int16")[0]
    raw = array.astype("<i2").tobytes(order="F")
    packed = {
        "ascii": " ".join(map(str, array.ravel("F"))).encode(),
        "gzip": gzip.compress(raw),
        "bzip2": bz2.compress(raw),
    }[encoding]
    path = save(tmp_path / "a.nrrd", array, encoding=encoding)
    head = path.read_bytes()[: -len(raw)]
    path.write_bytes(head + packed)

    assert np.array_equal(nrrd.read(path).pixels[0], array)
    path.write_bytes(head + packed[: len(packed) // 2])
    with pytest.raises(UnreadableFile):
        nrrd.read(path)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("value", [0, 7])
def test_a_file_that_is_packed_as_a_whole_is_read(tmp_path, mapped, value):
    array = numbers("int16")[0] * value
    path = save(tmp_path / "a.nrrd.gz", array)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(nrrd.read(path, mapped=mapped).pixels[0], array)


@pytest.mark.parametrize("format_", [nrrd, metaimage])
def test_a_packed_file_that_is_packed_as_a_whole_once_more_is_read(tmp_path, format_):
    image = nrrd.read(save(tmp_path / "a.nrrd", numbers("int16")[0]))
    path = tmp_path / "b.packed"
    format_.write(image, path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(format_.read(path).pixels, image.pixels)


def test_real_numbers_written_as_text_are_read(tmp_path):
    path = save(tmp_path / "a.nrrd", np.zeros((2, 2, 1)), type="float", encoding="ascii")
    head = path.read_bytes()[: -2 * 4]
    path.write_bytes(head + b"0.5 -1e3 nan 2")
    assert np.array_equal(
        nrrd.read(path).pixels.ravel("F"), [0.5, -1000, np.nan, 2], equal_nan=True
    )


@pytest.mark.parametrize("word", ["70000", "one", "1.5"])
def test_text_that_is_no_number_of_the_type_is_refused(tmp_path, word):
    path = save(tmp_path / "a.nrrd", np.zeros((2, 2, 1)), encoding="ascii")
    path.write_bytes(path.read_bytes()[: -2 * 4] + f"1 2 3 {word}".encode())
    with pytest.raises(UnreadableFile, match="is no int16"):
        nrrd.read(path)


def test_skipped_lines_and_bytes_are_skipped(tmp_path):
    array = numbers("int16")[0]
    raw = b"one\ntwo\nxyz" + array.astype("<i2").tobytes(order="F")
    (tmp_path / "a.raw").write_bytes(raw)
    path = save(tmp_path / "a.nhdr", array, data_file="a.raw", line_skip="2", byte_skip="3")
    assert np.array_equal(nrrd.read(path).pixels[0], array)
    path = save(tmp_path / "a.nhdr", array, data_file="a.raw", byte_skip="-1")
    assert np.array_equal(nrrd.read(path).pixels[0], array)


@pytest.mark.parametrize(
    "name", ["../a.raw", "/etc/passwd", "x/../../a.raw", "C:\\a.raw", "..\\a.raw", "gone.raw", ""]
)
def test_a_header_cannot_point_outside_its_folder(tmp_path, name):
    (tmp_path / "a.raw").write_bytes(bytes(1000))
    (tmp_path / "in").mkdir()
    path = save(tmp_path / "in" / "a.nhdr", np.zeros(SHAPE), data_file=name)
    with pytest.raises(UnreadableFile, match="points to"):
        nrrd.read(path)


def test_a_link_cannot_lead_out_either(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(1000))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.raw").symlink_to(tmp_path / "a.raw")
    path = save(tmp_path / "in" / "a.nhdr", np.zeros(SHAPE), data_file="b.raw")
    with pytest.raises(UnreadableFile, match="points to"):
        nrrd.read(path)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"sizes": "900 900 900"}, UnreadableFile),
        ({"sizes": "90000 90000 90000"}, TooLarge),
        ({"sizes": "5 6 0"}, UnreadableFile),
        ({"sizes": "5 6 -7"}, UnreadableFile),
        ({"sizes": "5 6"}, UnreadableFile),
        ({"sizes": "a b c"}, UnreadableFile),
        ({"type": "block"}, UnsupportedFormat),
        ({"encoding": "hex"}, UnsupportedFormat),
        ({"endian": None}, UnreadableFile),
        ({"endian": "middle"}, UnreadableFile),
        ({"sizes": "5 6 7 1", "dimension": "4", "space directions": None}, UnsupportedFormat),
        ({"space_directions": "(1,0,0,0) (0,1,0,0) (0,0,1,0)"}, UnsupportedFormat),
        ({"space_directions": "(1,0,0) (0,one,0) (0,0,1)"}, UnreadableFile),
        ({"data_file": "short.raw", "line_skip": "99"}, UnreadableFile),
        ({"type": None}, UnreadableFile),
        ({"space_directions": "(1,0,0) (1,0,0) (0,0,1)"}, UnreadableFile),
        ({"space_directions": "(1,0,0) (0,nan,0) (0,0,1)"}, UnreadableFile),
        ({"space_directions": "(1,0,0) (0,1,0)"}, UnreadableFile),
        ({"space_origin": "(1,2)"}, UnreadableFile),
        ({"byte_skip": "many"}, UnreadableFile),
        ({"data_file": "LIST"}, UnsupportedFormat),
        ({"data_file": "slice%03d.raw 1 7 1"}, UnsupportedFormat),
    ],
)
def test_damaged_headers_are_refused(tmp_path, fields, error):
    (tmp_path / "short.raw").write_bytes(b"one line\n" * 60)
    path = save(tmp_path / "a.nrrd", np.zeros(SHAPE), **fields)
    with pytest.raises(error):
        nrrd.read(path)


def test_a_header_of_many_lines_is_refused_before_it_fills_memory(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\n" + b"# a comment of some length\n" * (1 << 16))
    with pytest.raises(UnreadableFile, match="header of more than"):
        nrrd.read(tmp_path / "a.nrrd")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    nrrd.write(Image(numbers("int16"), GRIDS["oblique"]), tmp_path / "a.nrrd")
    whole = (tmp_path / "a.nrrd").read_bytes()
    for kept in range(0, len(whole) - 8, 29):
        (tmp_path / "b.nrrd").write_bytes(whole[:kept])
        with pytest.raises(PlicaError):
            nrrd.read(tmp_path / "b.nrrd")


def test_real_files_read_as_itk_reads_them(shared):
    sitk = pytest.importorskip("SimpleITK")
    files = sorted((shared / "data").rglob("*.nrrd"))
    assert files
    for file in files:
        ours, other = nrrd.read(file).to_sitk(), sitk.ReadImage(str(file))
        assert np.array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(other))
        for facts in ("GetOrigin", "GetSpacing", "GetDirection"):
            assert np.allclose(getattr(ours, facts)(), getattr(other, facts)(), atol=1e-6)
