"""Stored values are decoded as independent readers decode them; truncation is never filled."""

import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import MPEG2MPML, DeflatedExplicitVRLittleEndian, RLELossless
from tests.formats.dicom_scenes import make_slice, packaged, save

from plica.errors import MissingExtra, TooLarge, UnreadableFile, UnsupportedFormat
from plica.formats import dicom
from plica.formats.dicom_file import Header
from plica.formats.dicom_packbits import unpack_one_bit_frame, unpack_runs
from plica.formats.dicom_pixels import decode_frames, read_layout

SAME_MR = (
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_padded.dcm",
)
SEEN_BY_BOTH = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "JPEG2000.dcm",
    "693_J2KI.dcm",
    "SC_rgb_rle.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_small_odd.dcm",
    "ExplVR_BigEnd.dcm",
    "examples_rgb_color.dcm",
)


@pytest.mark.parametrize("name", SAME_MR)
def test_every_encoding_of_one_image_has_the_same_values(name: str) -> None:
    plain = dicom.read(packaged("MR_small.dcm"))
    other = dicom.read(packaged(name))
    assert np.array_equal(plain.pixels, other.pixels)
    assert plain.provenance.content == other.provenance.content
    assert plain.grid == other.grid


@pytest.mark.parametrize("name", SEEN_BY_BOTH)
def test_simpleitk_reads_the_same_values(name: str) -> None:
    ours = dicom.read(packaged(name)).pixels
    theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(packaged(name))))
    theirs = theirs if theirs.ndim == 4 else theirs[..., None]
    theirs = theirs.transpose(3, 2, 1, 0)
    if name == "JPEG2000.dcm":  # lossy wavelet: decoders may round apart
        assert np.abs(ours.astype(int) - theirs).max() <= 1
    else:
        assert np.array_equal(ours, theirs)


def test_deflated_files_are_read_whole_and_not_beyond_the_limit(tmp_path: Path) -> None:
    assert dicom.read(packaged("image_dfl.dcm")).pixels.shape == (1, 512, 512, 1)
    with pytest.raises(TooLarge):
        dicom.read(packaged("image_dfl.dcm"), max_bytes=1000)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(packaged("image_dfl.dcm").read_bytes()[:-500])
    with pytest.raises(UnreadableFile, match="truncated"):
        dicom.read(cut)


def test_a_file_that_only_speaks_of_deflating_is_not_deflated(tmp_path: Path) -> None:
    said = f"not {DeflatedExplicitVRLittleEndian}"
    plain = save(make_slice(0, ImageComments=said), tmp_path / "plain.dcm")
    told = dicom.read(plain).pixels
    assert np.array_equal(told, dicom.read(save(make_slice(0), tmp_path / "mute.dcm")).pixels)


@pytest.mark.parametrize(
    "name",
    ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_jpeg_gdcm.dcm"],
)
@pytest.mark.parametrize("lost", [40, 400])
def test_truncated_pixels_are_an_error_and_never_filled(
    tmp_path: Path, name: str, lost: int
) -> None:
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(packaged(name).read_bytes()[: -lost - 140])
    with pytest.raises(UnreadableFile):
        dicom.read(cut)


def test_a_compressed_frame_cut_short_inside_its_item_is_an_error(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(packaged("MR_small_jpeg_ls_lossless.dcm"))
    whole = next(iter(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)))
    dataset.PixelData = encapsulate([whole[: len(whole) // 2]])
    dataset.save_as(tmp_path / "cut.dcm")
    with pytest.raises(UnreadableFile, match="truncated"):
        dicom.read(tmp_path / "cut.dcm")


def test_a_codestream_of_another_size_than_the_header_is_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(packaged("MR_small_jp2klossless.dcm"))
    dataset.Rows = 32
    dataset.save_as(tmp_path / "small.dcm")
    with pytest.raises(UnreadableFile, match=r"64×32 pixels .* 64×64"):
        dicom.read(tmp_path / "small.dcm")


def test_a_huge_size_in_the_header_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    huge = make_slice(0, Rows=65535, Columns=65535)
    with pytest.raises(TooLarge, match="GiB"):
        dicom.read(save(huge, tmp_path / "huge.dcm"))
    with pytest.raises(UnreadableFile, match="truncated"):
        dicom.read(tmp_path / "huge.dcm", max_bytes=1 << 40)
    frames = make_slice(0, NumberOfFrames=60000)
    with pytest.raises(UnreadableFile):
        dicom.read(save(frames, tmp_path / "frames.dcm"))


@pytest.mark.parametrize("value", [0, 3, 7])
def test_an_absurd_number_of_bits_is_refused(tmp_path: Path, value: int) -> None:
    with pytest.raises(UnreadableFile, match="BitsAllocated"):
        dicom.read(save(make_slice(0, BitsAllocated=value), tmp_path / "bits.dcm"))


def test_twelve_bit_jpeg_shows_what_jpeg_2000_shows_of_the_same_image() -> None:
    twelve, other = (dicom.read(packaged(name)) for name in ("JPGExtended.dcm", "JPEG2000.dcm"))

    assert twelve.pixels.max() > 255
    # both are lossy, of counts that are mostly noise
    assert np.corrcoef(twelve.pixels.ravel(), other.pixels.ravel())[0, 1] > 0.94
    assert abs(twelve.pixels.mean() - other.pixels.mean()) < 1


def test_twelve_bit_jpeg_names_the_extra_that_decodes_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(MissingExtra, match=r"twelve bits needs .*imagecodecs.*plica\[codecs\]"):
        dicom.read(packaged("JPGExtended.dcm"))


def test_a_palette_becomes_rgb() -> None:
    image = dicom.read(packaged("examples_palette.dcm"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(packaged("examples_palette.dcm"))
        stored = dataset.pixel_array
    red = np.frombuffer(dataset.RedPaletteColorLookupTableData, "<u2")
    assert np.array_equal(image.pixels[0, :, :, 0].T, red[stored])


def test_luma_and_chroma_become_rgb_by_the_full_range_formula() -> None:
    image = dicom.read(packaged("SC_ybr_full_422_uncompressed.dcm"))
    red = image.pixels[:, 10, 5, 0]
    assert image.channels == 3
    assert red[0] > 250
    assert red[1:].max() < 5


def test_runs_are_unpacked_and_a_missing_end_is_refused() -> None:
    assert unpack_runs(bytes([1, 5, 6, 254, 9, 128, 0, 7]), 6) == bytes([5, 6, 9, 9, 9, 7])
    with pytest.raises(UnreadableFile, match="truncated"):
        unpack_runs(bytes([1, 5, 6]), 3)


def test_one_bit_frames_coded_in_runs_equal_the_plain_ones(shared: Path) -> None:
    folder = shared / "data" / "odd-formats" / "pydicom-data"
    plain, coded = dicom.read(folder / "liver.dcm"), dicom.read(folder / "liver_rle.dcm")
    assert np.array_equal(plain.pixels, coded.pixels)
    assert plain.pixels.sum() > 1000


def one_bit_runs(bits: bytes) -> bytes:
    """A run-length coded frame of one segment, whose bytes are as they are."""
    return struct.pack("<16I", 1, 64, *[0] * 14) + bytes([len(bits) - 1]) + bits


def test_of_frames_that_were_asked_for_only_these_are_decoded(tmp_path: Path) -> None:
    bits = make_slice(0, Rows=8, Columns=8, BitsAllocated=1, BitsStored=1, HighBit=0)
    save(bits, tmp_path / "a.dcm")
    bits.file_meta.TransferSyntaxUID = RLELossless
    coded = {"a.dcm": (bits, one_bit_runs(bytes(range(8))))}
    for name in ("MR_small_jp2klossless.dcm", "JPGExtended.dcm"):
        dataset = pydicom.dcmread(packaged(name))
        coded[name] = dataset, next(iter(generate_frames(dataset.PixelData, number_of_frames=1)))
    for name, (dataset, stream) in coded.items():
        dataset.NumberOfFrames = 3
        dataset.PixelData = encapsulate([b"not this", stream, b"nor this"])
        header = Header(dataset, name, tmp_path)
        (frame,) = decode_frames(header, read_layout(header), [1], max_bytes=1 << 30)
        if name != "a.dcm":
            alone = dicom.read(packaged(name)).pixels[..., 0]
            assert np.array_equal(frame.transpose(2, 1, 0), alone)
        else:
            assert np.packbits(frame, bitorder="little").tobytes() == bytes(range(8))


def test_frames_are_found_by_an_extended_table_of_offsets(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(packaged("MR_small_jp2klossless.dcm"))
    stream = next(iter(generate_frames(dataset.PixelData, number_of_frames=1)))
    dataset.NumberOfFrames = 2
    dataset.PixelData, offsets, lengths = encapsulate_extended([stream, stream])
    dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    dataset.save_as(tmp_path / "two.dcm")
    plain = dicom.read(packaged("MR_small.dcm")).pixels
    assert np.array_equal(dicom.read(tmp_path / "two.dcm").pixels, np.repeat(plain, 2, axis=3))


def test_fewer_compressed_frames_than_announced_are_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(packaged("MR_small_RLE.dcm"))
    dataset.NumberOfFrames = 2
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableFile, match="announces 2 frames and holds 1; fetch"):
        dicom.read(tmp_path / "a.dcm")


@pytest.mark.parametrize("allocated", [8, 16])
def test_more_bits_in_the_data_than_the_header_allows_are_refused(
    tmp_path: Path, allocated: int
) -> None:
    dataset = pydicom.dcmread(packaged("JPGExtended.dcm"))
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, 8, 7
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableFile, match="allows 8 bits a value, its compressed data have 12"):
        dicom.read(tmp_path / "a.dcm")


@pytest.mark.parametrize("frames", [1, 30])
def test_a_video_is_called_what_it_is(tmp_path: Path, frames: int) -> None:
    dataset = make_slice(0, NumberOfFrames=frames)
    save(dataset, tmp_path / "a.dcm")
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    dataset.PixelData = encapsulate([b"\0\0\1\xb3" * 8])  # all frames are one stream
    dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(
        UnsupportedFormat, match=r"no decoder knows .*, MPEG2 Main Profile.*convert"
    ):
        dicom.read(tmp_path / "a.dcm")


def test_pixels_that_are_kept_elsewhere_are_said_to_be(tmp_path: Path) -> None:
    dataset = make_slice(0, PixelData=None, PixelDataProviderURL="https://example.org/pixels")
    with pytest.raises(UnsupportedFormat, match="on a server, not in the file: fetch them first"):
        dicom.read(save(dataset, tmp_path / "a.dcm"))


def test_a_damaged_frame_is_refused_with_the_first_decoders_reason(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(packaged("MR_small_jpeg_ls_lossless.dcm"))
    stream = bytearray(next(iter(generate_frames(dataset.PixelData, number_of_frames=1))))
    stream[200:260] = b"\xff" * 60
    dataset.PixelData = encapsulate([bytes(stream)])
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableFile, match=r"a\.dcm is damaged: decoding frame 1 .*pyjpegls"):
        dicom.read(tmp_path / "a.dcm")


@pytest.mark.parametrize("stream", [b"\1\0\0\0", struct.pack("<16I", 2, 64, *[0] * 14)])
def test_one_bit_frames_of_no_or_several_segments_are_refused(stream: bytes) -> None:
    with pytest.raises(UnreadableFile, match="no header of one segment"):
        unpack_one_bit_frame(stream, 8, 8)
