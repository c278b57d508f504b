import gzip

import numpy as np
import pytest
from tests.formats.scenes import GRIDS, LANDMARK, SHAPE, find_mark, marked, numbers

from plica.errors import AmbiguousSource, PlicaError, TooLarge, UnreadableFile, UnsupportedFormat
from plica.formats import metaimage
from plica.image import Image, Unit


def save(path, pixels, **fields):
    header = {
        "ObjectType": "Image",
        "NDims": str(pixels.ndim),
        "BinaryData": "True",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": "1 1 1",
        "DimSize": " ".join(map(str, pixels.shape)),
        "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL",
    }
    last = fields.pop("ElementDataFile", "LOCAL")
    header = {**header, **fields}
    header.pop("ElementDataFile")
    lines = [f"{key} = {value}" for key, value in header.items() if value is not None]
    text = "\n".join([*lines, f"ElementDataFile = {last}"]) + "\n"
    path.write_bytes(text.encode() + pixels.astype("<i2").tobytes(order="F"))
    return path


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_marked_voxel_keeps_its_place_and_itk_finds_it_there(tmp_path, grid):
    sitk = pytest.importorskip("SimpleITK")
    metaimage.write(marked(grid), tmp_path / "a.mha")

    assert np.allclose(find_mark(metaimage.read(tmp_path / "a.mha")), grid.to_world(LANDMARK))
    itk = sitk.ReadImage(str(tmp_path / "a.mha"))
    at = np.argwhere(sitk.GetArrayFromImage(itk) == 100)[0][::-1].tolist()
    found = np.array(itk.TransformIndexToPhysicalPoint(at)) * [-1, -1, 1]
    assert np.allclose(found, grid.to_world(LANDMARK), atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_itk_writes_is_read_in_its_place(tmp_path, grid, name, compressed):
    sitk = pytest.importorskip("SimpleITK")
    image = Image(numbers("int16"), grid)
    sitk.WriteImage(image.to_sitk(), str(tmp_path / name), useCompression=compressed)

    read = metaimage.read(tmp_path / name)
    assert np.array_equal(read.pixels, image.pixels)
    assert read.grid.agrees_with(grid, 1e-4)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"]
)
def test_every_type_comes_back_bit_for_bit_and_itk_agrees(tmp_path, dtype):
    sitk = pytest.importorskip("SimpleITK")
    image = Image(numbers(dtype), GRIDS["oblique"], Unit.HU)
    metaimage.write(image, tmp_path / "a.mha")

    read = metaimage.read(tmp_path / "a.mha")
    assert read.pixels.dtype == dtype
    assert np.array_equal(read.pixels, image.pixels)
    assert read.unit is Unit.HU
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha")))
    assert np.array_equal(array.transpose(2, 1, 0), image.pixels[0])


def test_channels_come_back(tmp_path):
    image = Image(numbers("float32", 4), GRIDS["oblique"], Unit.NORMALISED)
    metaimage.write(image, tmp_path / "a.mha")
    assert np.array_equal(metaimage.read(tmp_path / "a.mha").pixels, image.pixels)


def test_big_endian_and_text_values_are_read(tmp_path):
    array = numbers("int16")[0]
    path = save(tmp_path / "a.mha", array.astype(">i2").view("<i2"), BinaryDataByteOrderMSB="True")
    assert np.array_equal(metaimage.read(path).pixels[0], array)
    path = save(tmp_path / "b.mha", array, BinaryData="False")
    head = path.read_bytes()[: -array.nbytes]
    path.write_bytes(head + " ".join(map(str, array.ravel("F"))).encode())
    assert np.array_equal(metaimage.read(path).pixels[0], array)


def test_what_is_not_said_is_noted(tmp_path):
    path = save(tmp_path / "a.mha", np.zeros(SHAPE), TransformMatrix=None, ElementSpacing=None)
    image = metaimage.read(path)
    assert not image.grid.calibrated
    assert len(image.provenance.notes) == 2


def test_four_axes_ask_for_a_volume(tmp_path):
    array = numbers("int16", shape=(*SHAPE, 2))[0]
    path = save(tmp_path / "a.mha", array, TransformMatrix=" ".join(map(str, np.eye(4).ravel())),
                Offset="1 2 3 0", ElementSpacing="1 2 3 1")  # fmt: skip
    with pytest.raises(AmbiguousSource):
        metaimage.read(path)
    image = metaimage.read(path, volume=1)
    assert np.array_equal(image.pixels[0], array[..., 1])
    assert image.grid.spacing_mm == (1, 2, 3)


def test_two_axes_are_one_slice(tmp_path):
    array = numbers("int16", shape=(5, 6))[0]
    path = save(tmp_path / "a.mha", array, TransformMatrix="1 0 0 1", Offset="1 2",
                ElementSpacing="0.5 2")  # fmt: skip
    image = metaimage.read(path)
    assert np.array_equal(image.pixels[0, ..., 0], array)
    assert image.grid.spacing_mm == (0.5, 2, 1)
    assert np.allclose(image.grid.origin_mm, (-1, -2, 0))


@pytest.mark.parametrize(("skip", "before"), [("3", b"xyz"), ("-1", b"of any length")])
def test_what_stands_before_the_pixels_is_passed_over(tmp_path, skip, before):
    array = numbers("int16")[0]
    (tmp_path / "a.raw").write_bytes(before + array.astype("<i2").tobytes(order="F"))
    path = save(tmp_path / "a.mhd", array, HeaderSize=skip, ElementDataFile="a.raw")
    assert np.array_equal(metaimage.read(path).pixels[0], array)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_that_is_packed_as_a_whole_is_read(tmp_path, mapped):
    path = save(tmp_path / "a.mha", np.zeros(SHAPE))
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert not metaimage.read(path, mapped=mapped).pixels.any()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"HeaderSize": "many"}, UnreadableFile),
        ({"HeaderSize": "-2"}, UnreadableFile),
        ({"NDims": "5", "DimSize": "1 1 1 1 1"}, UnsupportedFormat),
        ({"Offset": "a b c"}, UnreadableFile),
        ({"DimSize": "900 900 900"}, UnreadableFile),
        ({"DimSize": "90000 90000 90000"}, TooLarge),
        ({"DimSize": "5 6 0"}, UnreadableFile),
        ({"DimSize": None}, UnreadableFile),
        ({"NDims": "2"}, UnreadableFile),
        ({"ElementType": "MET_BIT"}, UnsupportedFormat),
        ({"ElementNumberOfChannels": "zero"}, UnreadableFile),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, UnreadableFile),
        ({"TransformMatrix": "1 0 0"}, UnreadableFile),
        ({"ElementSpacing": "0 1 1"}, UnreadableFile),
        ({"Offset": "nan 0 0"}, UnreadableFile),
        ({"ElementDataFile": "../a.raw"}, UnreadableFile),
        ({"ElementDataFile": "LIST"}, UnsupportedFormat),
        ({"CompressedData": "True"}, UnreadableFile),
    ],
)
def test_damaged_headers_are_refused(tmp_path, fields, error):
    path = save(tmp_path / "a.mha", numbers("int16")[0], **fields)
    with pytest.raises(error):
        metaimage.read(path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    metaimage.write(Image(numbers("int16"), GRIDS["oblique"]), tmp_path / "a.mha")
    whole = (tmp_path / "a.mha").read_bytes()
    for kept in range(0, len(whole) - 8, 29):
        (tmp_path / "b.mha").write_bytes(whole[:kept])
        with pytest.raises(PlicaError):
            metaimage.read(tmp_path / "b.mha")


def test_packed_pixels_are_refused_without_their_checksum_or_with_a_wrong_one(tmp_path):
    metaimage.write(Image(numbers("int16"), GRIDS["oblique"]), tmp_path / "a.mha")
    whole = (tmp_path / "a.mha").read_bytes()
    assert b"CompressedData = True" in whole
    for damaged in (whole[:-1], whole[:-4], whole[:-1] + bytes([whole[-1] ^ 1])):
        (tmp_path / "b.mha").write_bytes(damaged)
        with pytest.raises(UnreadableFile):
            metaimage.read(tmp_path / "b.mha")
