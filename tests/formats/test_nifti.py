import gzip
import struct
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.scenes import GRIDS, LANDMARK, SHAPE, SHEARED, find_mark, marked, numbers

from plica.errors import (
    AmbiguousSource,
    InputError,
    OutputError,
    PlicaError,
    TooLarge,
    UnreadableFile,
    UnsupportedFormat,
    UnusablePixels,
)
from plica.formats import nifti
from plica.formats.nifti_header import layout
from plica.formats.nifti_writing import write
from plica.grid import Grid
from plica.image import Display, Image, Provenance, Unit

nibabel = pytest.importorskip("nibabel")

WHOLE = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


def save_with_nibabel(path, array, affine=None, **fields):
    """A file by an independent writer; `fields` are put into its header as they are."""
    image = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    if fields:
        patch(path, **fields)
    return path


def patch(path, **fields):
    raw = bytearray(path.read_bytes())
    record = np.frombuffer(raw, layout(1, "<"), count=1)
    for name, value in fields.items():
        record[name] = value
    path.write_bytes(raw)


# -- place ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_marked_voxel_keeps_its_place_and_nibabel_and_itk_find_it_there(tmp_path, grid, ending):
    sitk = pytest.importorskip("SimpleITK")
    image = marked(grid)
    path = tmp_path / f"a{ending}"
    write(image, path)

    place = grid.to_world(LANDMARK)
    assert np.allclose(find_mark(nifti.read(path)), place, atol=1e-4)
    other = nibabel.load(path)
    at = np.argwhere(np.asanyarray(other.dataobj) == 100)[0]
    for affine in (other.get_sform(), other.get_qform()):
        assert np.allclose(affine[:3] @ [*at, 1], place, atol=1e-4)
    itk = sitk.ReadImage(str(path))
    at = np.argwhere(sitk.GetArrayFromImage(itk) == 100)[0][::-1].tolist()
    assert np.allclose(
        np.array(itk.TransformIndexToPhysicalPoint(at)) * [-1, -1, 1], place, atol=1e-4
    )


def test_a_sheared_grid_is_kept_in_the_sform_and_the_qform_stays_empty(tmp_path):
    write(marked(SHEARED), tmp_path / "a.nii")

    header = nibabel.load(tmp_path / "a.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    assert nifti.read(tmp_path / "a.nii").grid.agrees_with(SHEARED, 1e-4)


def test_the_sform_comes_first_and_a_qform_elsewhere_is_noted(tmp_path):
    image = nibabel.Nifti1Image(np.zeros(SHAPE, "i2"), None)
    image.set_sform(np.diag([2, 2, 2, 1]), 2)
    image.set_qform(np.diag([-2, -2, 2, 1]), 1)
    nibabel.save(image, tmp_path / "a.nii")

    read = nifti.read(tmp_path / "a.nii")
    assert np.array_equal(read.grid.affine, np.diag([2, 2, 2, 1]))
    assert any("mm apart" in note for note in read.provenance.notes)


def test_without_a_sform_the_qform_is_taken(tmp_path):
    affine = GRIDS["steep"].affine
    image = nibabel.Nifti1Image(np.zeros(SHAPE, "i2"), None)
    image.set_qform(affine, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "a.nii")

    assert np.allclose(nifti.read(tmp_path / "a.nii").grid.affine, affine, atol=1e-5)


def test_without_any_transform_spacings_alone_are_taken_and_noted(tmp_path):
    path = save_with_nibabel(tmp_path / "a.nii", np.zeros(SHAPE, "i2"))
    patch(path, sform_code=0, qform_code=0, pixdim=[1, 2, 3, 4, 1, 1, 1, 1])

    image = nifti.read(path)
    assert np.array_equal(image.grid.affine, np.diag([2.0, 3, 4, 1]))
    assert image.grid.calibrated
    assert any("no transform" in note for note in image.provenance.notes)


def test_without_transform_and_spacing_the_grid_is_not_calibrated(tmp_path):
    path = save_with_nibabel(tmp_path / "a.nii", np.zeros(SHAPE, "i2"))
    patch(path, sform_code=0, qform_code=0, pixdim=[1, 0, 0, 0, 0, 0, 0, 0])

    assert not nifti.read(path).grid.calibrated


def test_a_singular_sform_is_passed_over_for_the_qform(tmp_path):
    path = save_with_nibabel(tmp_path / "a.nii", np.zeros(SHAPE, "i2"), np.diag([2.0, 2, 2, 1]))
    patch(path, srow=np.zeros((3, 4)), qform_code=1)

    image = nifti.read(path)
    assert image.grid.spacing_mm == (2.0, 2.0, 2.0)
    assert any("singular" in note for note in image.provenance.notes)


@pytest.mark.parametrize(("code", "factor"), [(1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)])
def test_lengths_become_millimetres(tmp_path, code, factor):
    path = save_with_nibabel(tmp_path / "a.nii", np.zeros(SHAPE, "i2"), np.diag([2.0, 2, 2, 1]))
    patch(path, xyzt_units=code)

    image = nifti.read(path)
    assert np.allclose(image.grid.spacing_mm, 2 * factor)
    assert bool(image.provenance.notes) == (code != 2)


def test_a_flat_image_with_an_empty_third_column_has_a_slice_of_one_millimetre(tmp_path):
    affine = np.diag([2.0, 2.0, 0.0, 1.0])
    path = save_with_nibabel(tmp_path / "a.nii", np.zeros((5, 6, 1), "i2"))
    patch(path, srow=affine[:3], sform_code=1)

    assert nifti.read(path).grid.spacing_mm == (2.0, 2.0, 1.0)


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*WHOLE, "float32"])
def test_every_type_comes_back_bit_for_bit_and_nibabel_agrees(tmp_path, dtype):
    image = Image(numbers(dtype), GRIDS["oblique"])
    write(image, tmp_path / "a.nii.gz")

    read = nifti.read(tmp_path / "a.nii.gz")
    assert read.pixels.dtype == dtype
    assert np.array_equal(read.pixels, image.pixels)
    other = np.asanyarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    assert np.array_equal(other, image.pixels[0])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_both_byte_orders_and_versions_are_read(tmp_path, order, version):
    kind = {1: nibabel.Nifti1Image, 2: nibabel.Nifti2Image}[version]
    array = numbers("int16")[0]
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype("i2").newbyteorder(order))
    nibabel.save(kind(array, GRIDS["oblique"].affine, header), tmp_path / "a.nii")

    read = nifti.read(tmp_path / "a.nii")
    assert np.array_equal(read.pixels[0], array)
    assert read.grid.agrees_with(GRIDS["oblique"], 1e-4)
    assert read.pixels.dtype.isnative


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "expected"),
    [
        ("uint8", 1, -1024, "int16"),
        ("int16", 1, -1024, "int32"),
        ("uint16", 2, 0, "int32"),
        ("int16", 0, 5, "int16"),
        ("int16", np.nan, 0, "int16"),
        ("int16", 0.5, 0, "float32"),
        ("int16", 3e35, 0, "float64"),
        ("int32", 0.1, 0, "float64"),
        ("float32", 2, 1, "float32"),
    ],
)
def test_a_slope_gives_the_real_values_in_the_smallest_type_that_keeps_them(
    tmp_path, stored, slope, intercept, expected
):
    array = numbers(stored)[0]
    path = save_with_nibabel(tmp_path / "a.nii", array)
    patch(path, scl_slope=slope, scl_inter=intercept)

    read = nifti.read(path)
    true = nibabel.load(path).get_fdata()
    assert read.pixels.dtype == expected
    assert np.allclose(read.pixels[0], true, rtol=1e-6)


def test_reals_are_rounded_and_not_truncated_where_whole_numbers_are_asked_for(tmp_path):
    pixels = np.array([-1.6, -0.4, 0.6, 2.5, 1.5], np.float32).reshape(1, 5, 1, 1)
    write(Image(pixels, Grid.from_spacing((5, 1, 1))), tmp_path / "a.nii", dtype="int16")

    assert nifti.read(tmp_path / "a.nii").pixels.ravel().tolist() == [-2, 0, 1, 2, 2]


@pytest.mark.parametrize(
    ("value", "dtype"), [(40000.0, "int16"), (np.nan, "int16"), (-1.0, "uint8")]
)
def test_values_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, value, dtype):
    pixels = np.full((1, 2, 2, 2), value, np.float32)
    with pytest.raises(OutputError):
        write(Image(pixels, Grid.from_spacing((2, 2, 2))), tmp_path / "a.nii", dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_nan_and_infinity_are_read_and_counted(tmp_path):
    array = np.zeros(SHAPE, np.float32)
    array[0, 0, :3] = [np.nan, np.inf, -np.inf]
    read = nifti.read(save_with_nibabel(tmp_path / "a.nii", array))

    assert read.count_nonfinite() == 3


# -- unit ----------------------------------------------------------------------------------------


def test_unit_display_and_calibration_come_back_and_identity_does_not(tmp_path):
    image = Image(
        numbers("int16"),
        Grid(SHAPE, np.eye(4), calibrated=False),
        Unit.SUV,
        Provenance(modality="PT", identity={"PatientName": "Somebody^Else"}),
        Display(40.0, 400.0, "SIGMOID", inverted=True),
    )
    write(image, tmp_path / "a.nii")

    read = nifti.read(tmp_path / "a.nii")
    assert (read.unit, read.display, read.grid.calibrated) == (Unit.SUV, image.display, False)
    assert read.provenance.modality == "PT"
    assert b"Somebody" not in (tmp_path / "a.nii").read_bytes()
    header = nibabel.load(tmp_path / "a.nii").header
    assert (header["cal_min"], header["cal_max"]) == (-160, 240)


def test_values_like_a_ct_are_read_as_such_with_a_note_and_the_caller_may_object(tmp_path):
    array = np.linspace(-1000, 1500, 210).reshape(SHAPE).astype("i2")
    path = save_with_nibabel(tmp_path / "a.nii", array)

    assert nifti.read(path).unit is Unit.HU
    assert "unit='relative'" in nifti.read(path).provenance.notes[-1]
    objected = nifti.read(path, unit=Unit.RELATIVE)
    assert objected.unit is Unit.RELATIVE
    assert not objected.provenance.notes


@pytest.mark.parametrize(("low", "high"), [(0, 4000), (-4096, 4095), (-10, 10), (-1000, 0)])
def test_other_values_are_relative(tmp_path, low, high):
    array = np.linspace(low, high, 210).reshape(SHAPE).astype("i2")
    assert nifti.read(save_with_nibabel(tmp_path / "a.nii", array)).unit is Unit.RELATIVE


def test_a_label_intent_makes_labels(tmp_path):
    write(Image(numbers("uint8"), GRIDS["RAS"], Unit.LABEL), tmp_path / "a.nii")

    assert nibabel.load(tmp_path / "a.nii").header.get_intent()[0] == "label"
    path = save_with_nibabel(tmp_path / "b.nii", np.zeros(SHAPE, "u1"), intent_code=1002)
    assert nifti.read(path).unit is Unit.LABEL


# -- axes ----------------------------------------------------------------------------------------


def test_four_axes_need_a_choice_of_volume(tmp_path):
    array = numbers("int16", shape=(*SHAPE, 3))[0]
    path = save_with_nibabel(tmp_path / "a.nii", array)

    with pytest.raises(AmbiguousSource, match="3 volumes"):
        nifti.read(path)
    for volume in range(3):
        assert np.array_equal(nifti.read(path, volume=volume).pixels[0], array[..., volume])
    with pytest.raises(InputError, match="0 to 2"):
        nifti.read(path, volume=3)


def test_a_fifth_axis_is_channels(tmp_path):
    array = numbers("float32", shape=(*SHAPE, 2, 3))[0]
    path = save_with_nibabel(tmp_path / "a.nii", array)

    assert np.array_equal(nifti.read(path, volume=1).pixels, array[..., 1, :].transpose(3, 0, 1, 2))


def test_a_sixth_axis_is_refused(tmp_path):
    path = save_with_nibabel(tmp_path / "a.nii", np.zeros((2, 2, 2, 1, 1, 2), "i2"))
    with pytest.raises(UnsupportedFormat, match="five axes"):
        nifti.read(path)


@pytest.mark.parametrize("channels", [2, 4])
def test_code_channels_are_the_fourth_axis_and_come_back_as_channels(tmp_path, channels):
    image = Image(numbers("float32", channels), GRIDS["oblique"], Unit.NORMALISED)
    write(image, tmp_path / "a.nii.gz")

    assert nibabel.load(tmp_path / "a.nii.gz").shape == (*SHAPE, channels)
    assert np.array_equal(nifti.read(tmp_path / "a.nii.gz").pixels, image.pixels)


def test_colour_is_rgb_for_other_programs(tmp_path):
    image = Image(numbers("uint8", 3), GRIDS["oblique"], Unit.DISPLAY)
    write(image, tmp_path / "a.nii")

    other = np.asanyarray(nibabel.load(tmp_path / "a.nii").dataobj)
    assert np.array_equal(np.stack([other[c] for c in "RGB"]), image.pixels)
    assert np.array_equal(nifti.read(tmp_path / "a.nii").pixels, image.pixels)


def test_transparency_is_dropped_only_where_it_hides_nothing(tmp_path):
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
    colours["A"] = 255
    assert nifti.read(save_with_nibabel(tmp_path / "a.nii", colours)).channels == 3
    colours["A"][0] = 3
    with pytest.raises(UnusablePixels, match="transparent"):
        nifti.read(save_with_nibabel(tmp_path / "b.nii", colours))


def test_a_pair_is_read_from_either_name(tmp_path):
    array = numbers("int16")[0]
    nibabel.save(nibabel.Nifti1Pair(array, GRIDS["oblique"].affine), tmp_path / "a.img")

    for name in ("a.hdr", "a.img"):
        assert np.array_equal(nifti.read(tmp_path / name).pixels[0], array)
    (tmp_path / "a.img").unlink()
    with pytest.raises(UnreadableFile, match=r"\.img"):
        nifti.read(tmp_path / "a.hdr")


def test_sides_past_the_16_bit_limit_make_nifti_2(tmp_path):
    image = Image(np.zeros((1, 40000, 1, 1), "u1"), Grid.from_spacing((40000, 1, 1)))
    write(image, tmp_path / "a.nii")

    assert isinstance(nibabel.load(tmp_path / "a.nii"), nibabel.Nifti2Image)
    assert nifti.read(tmp_path / "a.nii").grid == image.grid


def test_equal_images_make_equal_files(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write(marked(GRIDS["oblique"]), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


# -- real files ----------------------------------------------------------------------------------


def test_every_real_nifti_file_reads_as_nibabel_reads_it(shared):
    files = [file for file in (shared / "data").rglob("*.nii*") if file.stat().st_size < 1_000_000]
    assert len(files) > 15
    for file in files:
        other = nibabel.load(file)
        volume = 1 if other.ndim > 3 and other.shape[3] > 1 else None
        image = nifti.read(file, volume=volume)
        true = np.asanyarray(other.dataobj)
        true = true if volume is None else true[..., volume]
        assert np.allclose(image.pixels[0], true, rtol=1e-6, atol=0, equal_nan=True), file.name
        assert np.allclose(image.grid.affine, other.affine, atol=1e-6), file.name


# -- bad files -----------------------------------------------------------------------------------


def header_bytes(**fields):
    record = np.zeros((), layout(1, "<"))
    record["sizeof_hdr"], record["magic"], record["vox_offset"] = 348, b"n+1\0", 352
    record["datatype"], record["sform_code"], record["srow"] = 4, 1, np.eye(4)[:3]
    record["dim"] = [3, 2, 2, 2, 1, 1, 1, 1]
    for name, value in fields.items():
        record[name] = value
    return record.tobytes() + bytes(4)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, TooLarge),
        ({"dim": [3, 900, 900, 900, 1, 1, 1, 1]}, UnreadableFile),
        ({"dim": [7] + [32767] * 7}, UnsupportedFormat),
        ({"dim": [5] + [32767] * 5 + [1, 1]}, TooLarge),
        ({"dim": [3, 0, 2, 2, 1, 1, 1, 1]}, UnreadableFile),
        ({"dim": [3, -2, 2, 2, 1, 1, 1, 1]}, UnreadableFile),
        ({"dim": [9, 2, 2, 2, 1, 1, 1, 1]}, UnreadableFile),
        ({"dim": [0] * 8}, UnreadableFile),
        ({"datatype": 32}, UnsupportedFormat),
        ({"datatype": 1536}, UnsupportedFormat),
        ({"datatype": 77}, UnsupportedFormat),
        ({"vox_offset": np.nan}, UnreadableFile),
        ({"vox_offset": 1e30}, UnreadableFile),
        ({"vox_offset": -5}, UnreadableFile),
        ({"magic": b"n+9\0"}, UnreadableFile),
        ({"magic": b"\0\0\0\0"}, UnsupportedFormat),
        ({"sizeof_hdr": 349}, UnreadableFile),
    ],
)
def test_damaged_headers_are_refused_before_memory_is_taken(tmp_path, fields, error):
    (tmp_path / "a.nii").write_bytes(header_bytes(**fields) + bytes(16))
    with pytest.raises(error):
        nifti.read(tmp_path / "a.nii")


def test_the_smallest_sound_file_is_read(tmp_path):
    (tmp_path / "a.nii").write_bytes(header_bytes() + bytes(16))
    assert nifti.read(tmp_path / "a.nii").grid.shape == (2, 2, 2)


def test_a_packed_bomb_is_refused_by_what_it_declares(tmp_path):
    # 1.5 GB of zeros in 1.5 MB.
    head = header_bytes(dim=[3, 1024, 1024, 750, 1, 1, 1, 1])
    with gzip.open(tmp_path / "a.nii.gz", "wb", compresslevel=9) as file:
        file.write(head)
        for _ in range(20):
            file.write(bytes(1 << 20))
    with pytest.raises((TooLarge, UnreadableFile)):
        nifti.read(tmp_path / "a.nii.gz")
    with pytest.raises(TooLarge, match="max_bytes"):
        nifti.read(tmp_path / "a.nii.gz", max_bytes=1 << 20)


@pytest.mark.parametrize("kept", [0, 10, 347, 400, 600])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_truncated_files_are_refused(tmp_path, kept, ending):
    write(Image(numbers("int16"), GRIDS["RAS"]), tmp_path / f"a{ending}")
    whole = (tmp_path / f"a{ending}").read_bytes()
    (tmp_path / f"b{ending}").write_bytes(whole[: min(kept, len(whole) - 9)])
    with pytest.raises(UnreadableFile):
        nifti.read(tmp_path / f"b{ending}")


def test_a_flipped_bit_in_a_packed_file_is_found_by_its_checksum(tmp_path):
    with gzip.open(tmp_path / "a.nii.gz", "wb") as file:
        file.write(header_bytes() + bytes(range(16)))
    raw = bytearray((tmp_path / "a.nii.gz").read_bytes())
    raw[-8:-4] = struct.pack("<I", 12345)
    (tmp_path / "a.nii.gz").write_bytes(raw)
    with pytest.raises(UnreadableFile, match="CRC"):
        nifti.read(tmp_path / "a.nii.gz")


def test_a_packed_file_is_checked_to_its_end_whichever_volume_is_read(tmp_path):
    raw = bytearray(gzip.compress(header_bytes(dim=[4, 2, 2, 2, 3, 1, 1, 1]) + bytes(24 * 2)))
    raw[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(raw)
    for volume in range(3):
        with pytest.raises(UnreadableFile, match="CRC"):
            nifti.read(tmp_path / "a.nii.gz", volume=volume)


FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    cut=st.none() | st.integers(0, 10**6),
    packed=st.booleans(),
    version=st.sampled_from([1, 2]),
)
def test_flipped_and_cut_files_give_an_image_or_our_own_error(
    tmp_path, flips, cut, packed, version
):
    shape = (3, 4, 5) if version == 1 else (40000, 1, 1)
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    image = Image(np.zeros((1, *shape), "i2"), Grid.from_spacing(shape, (1, 2, 3)), Unit.HU)
    write(image, path, overwrite=True)
    raw = bytearray(path.read_bytes())
    for at, byte in flips:
        raw[at % min(len(raw), 900)] = byte
    path.write_bytes(raw if cut is None else raw[: cut % len(raw)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read = nifti.read(path, volume=None, max_bytes=1 << 26)
        except PlicaError:
            return
    assert read.pixels.size
    assert np.isfinite(read.grid.affine).all()


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), b""),
        (("encoded by a", "decoded by linear-4x1-3d", "cropped"),
         b"decoded by plica, linear-4x1-3d"),
        ((f"decoded by é\n{'x' * 99}",), b"decoded by plica, ? " + b"x" * 59),
    ],
)  # fmt: skip
def test_a_decoded_image_says_by_which_codec(tmp_path, steps, said):
    image = Image(np.zeros((1, 3, 3, 3), np.int16), Grid.from_spacing((3, 3, 3)))
    write(replace(image, provenance=Provenance(steps=steps)), tmp_path / "a.nii")
    assert nibabel.load(tmp_path / "a.nii").header["descrip"].item() == said


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        nifti.read(tmp_path / "gone.nii")


def test_a_packed_file_that_ends_before_the_volume_asked_for_is_refused(tmp_path):
    head = header_bytes(dim=[4, 2, 2, 2, 3, 1, 1, 1])
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(head + bytes(16)))
    with pytest.raises(UnreadableFile, match="ends before its pixels"):
        nifti.read(tmp_path / "a.nii.gz", volume=2)


def test_axes_of_one_are_none(tmp_path):
    (tmp_path / "a.nii").write_bytes(header_bytes(dim=[5, 2, 2, 2, 1, 1, 1, 1]) + bytes(16))
    assert nifti.read(tmp_path / "a.nii").pixels.shape == (1, 2, 2, 2)


def test_a_quaternion_that_is_no_number_is_passed_over_for_the_spacings(tmp_path):
    head = header_bytes(
        sform_code=0, qform_code=1, quatern=[np.nan, 0, 0], pixdim=[1, 2, 3, 4, 1, 1, 1, 1]
    )
    (tmp_path / "a.nii").write_bytes(head + bytes(16))
    image = nifti.read(tmp_path / "a.nii")
    assert image.grid.spacing_mm == (2, 3, 4)
    assert any("not finite" in note for note in image.provenance.notes)


def test_spacings_that_no_voxel_has_are_refused(tmp_path):
    head = header_bytes(sform_code=0, pixdim=[1, *[1e-7] * 3, 1, 1, 1, 1], xyzt_units=3)
    (tmp_path / "a.nii").write_bytes(head + bytes(16))
    with pytest.raises(UnreadableFile, match="no lengths of voxels"):
        nifti.read(tmp_path / "a.nii")


@pytest.mark.parametrize("size", [0, 7, 1 << 30])
def test_a_comment_of_a_length_that_cannot_be_is_left_alone(tmp_path, size):
    comment = b"\1\0\0\0" + struct.pack("<ii", size, 6) + bytes(24)
    head = header_bytes(vox_offset=384)[:348]
    (tmp_path / "a.nii").write_bytes(head + comment + bytes(16))
    assert nifti.read(tmp_path / "a.nii").grid.shape == (2, 2, 2)


def test_a_place_past_32_bits_is_refused_and_nothing_is_written(tmp_path):
    far = np.eye(4)
    far[0, 3] = 1e39
    with pytest.raises(OutputError, match="32-bit"):
        write(Image(numbers("int16"), Grid(SHAPE, far)), tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


def test_a_comment_cut_off_in_the_header_of_a_pair_is_left_alone(tmp_path):
    head = header_bytes(magic=b"ni1\0", vox_offset=0)[:348]
    (tmp_path / "a.hdr").write_bytes(head + b"\1\0\0\0" + b"\x20\0\0")
    (tmp_path / "a.img").write_bytes(bytes(16))
    assert nifti.read(tmp_path / "a.hdr").grid.shape == (2, 2, 2)


def test_of_extensions_only_comments_are_looked_for_our_record_in(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.eye(4))
    for code, text in ((4, b"<AFNI/>"), (6, b"someone's comment")):
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(code, text))
    nibabel.save(image, tmp_path / "a.nii")
    assert nifti.read(tmp_path / "a.nii").grid.shape == (2, 3, 4)
