"""Zips and DICOMDIR give their series, and nothing they claim is trusted."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.formats.dicom_scenes import make_slice, packaged, save, save_all

from plica.errors import AmbiguousSource, NotAnImage, NotAVolume, TooLarge, UnreadableFile
from plica.formats import dicom, dicom_archive

PLACES = (0.0, 2.0, 4.0)


def zipped(folder: Path, target: Path, prefix: str = "study/") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, prefix + path.name)
        archive.writestr("notes.txt", "not an image")
    return target


def test_a_zip_reads_as_its_folder(tmp_path: Path) -> None:
    folder = save_all([make_slice(z) for z in PLACES], tmp_path / "a")
    image, packed = dicom.read(folder), dicom.read(zipped(folder, tmp_path / "a.zip"))
    assert np.array_equal(image.pixels, packed.pixels)
    assert image.grid == packed.grid
    assert image.provenance.series == packed.provenance.series


def test_members_cannot_leave_the_folder(tmp_path: Path) -> None:
    folder = save_all([make_slice(z) for z in PLACES], tmp_path / "a")
    (tmp_path / "deep").mkdir()
    packed = zipped(folder, tmp_path / "deep" / "a.zip", "../../escaped_")
    assert dicom.read(packed).grid.shape[2] == 3
    assert not list(tmp_path.rglob("escaped_*"))


def test_files_of_a_zip_are_called_as_the_zip_calls_them(tmp_path: Path) -> None:
    folder = save_all([make_slice(z, InstanceNumber=9) for z in (0, 2, 4, 8)], tmp_path / "a")
    gap = r"between instance 9 \(study/2\.dcm\) and instance 9 \(study/3\.dcm\): slices"
    with pytest.raises(NotAVolume, match=gap):
        dicom.read(zipped(folder, tmp_path / "a.zip"))
    (folder / "1.dcm").write_bytes(b"\0" * 128 + b"DICM\x02\0\0\0UL\x04")
    packed = zipped(folder, tmp_path / "b.zip", "../\x1b[31mstudy/")
    with pytest.raises(UnreadableFile, match=r"series: \?\[31mstudy/1\.dcm holds no"):
        dicom.read(packed)
    ((_, why),) = dicom.look_inside(packed).scan.damaged
    assert why.startswith("?[31mstudy/1.dcm holds no")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", b"\0" * 128 + b"DICM" + b"\0" * (1 << 26))
    with pytest.raises(TooLarge):
        dicom.read(bomb, max_bytes=1 << 25)


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    folder = save_all([make_slice(z) for z in PLACES], tmp_path / "a")
    packed = zipped(folder, tmp_path / "a.zip")
    packed.write_bytes(packed.read_bytes()[:-60])
    with pytest.raises(UnreadableFile, match="zip"):
        dicom.read(packed)


def test_a_dicomdir_lists_its_series_and_one_is_read() -> None:
    with pytest.raises(AmbiguousSource, match="24 series"):
        dicom.read(packaged("dicomdirtests/DICOMDIR"))
    image = dicom.read(packaged("dicomdirtests/DICOMDIR"), series="7")
    assert image.grid.shape == (16, 16, 5)
    assert image.unit.value == "HU"
    with pytest.raises((NotAnImage, UnreadableFile)):
        dicom.read(packaged("dicomdirtests/DICOMDIR-empty.dcm"))


def test_a_dicomdir_whose_files_are_gone_says_how_many(tmp_path: Path) -> None:
    shutil.copy(packaged("dicomdirtests/DICOMDIR"), tmp_path / "DICOMDIR")
    with pytest.raises(UnreadableFile, match=r"are not there, such as"):
        dicom.read(tmp_path / "DICOMDIR")


def test_a_damaged_file_among_slices_is_not_passed_over(tmp_path: Path) -> None:
    folder = save_all([make_slice(z) for z in PLACES], tmp_path)
    whole = (folder / "2.dcm").read_bytes()
    (folder / "2.dcm").write_bytes(whole[: len(whole) - 30])
    with pytest.raises(UnreadableFile):
        dicom.read(folder)
    (folder / "2.dcm").write_bytes(b"\0" * 128 + b"DICM\x02\0\0\0UL\x04")
    with pytest.raises(UnreadableFile, match="damaged"):
        dicom.read(folder)


def test_what_is_not_an_image_is_counted_and_left_out(tmp_path: Path) -> None:
    folder = save_all([make_slice(z) for z in PLACES], tmp_path)
    shutil.copy(packaged("rtplan.dcm"), folder / "plan.dcm")
    (folder / "notes.txt").write_text("hello")
    found = dicom.scan(sorted(folder.iterdir()))
    assert (len(found.series), len(found.others), found.foreign) == (1, 1, 1)
    assert dicom.read(folder).grid.shape[2] == 3
    assert "axial" in found.series[0].description


def test_a_folder_of_reports_says_what_is_there(tmp_path: Path) -> None:
    shutil.copy(packaged("rtplan.dcm"), tmp_path / "plan.dcm")
    with pytest.raises(NotAnImage, match="RT Plan"):
        dicom.read(tmp_path)


def test_the_real_head_with_two_spacings_is_refused_and_its_upper_half_is_tilted(
    shared: Path, tmp_path: Path
) -> None:
    packed = shared / "data" / "head-ct" / "dcm-qa-ct-ge" / "dcm_qa_ct_ge.zip"
    told = (
        r"instance 1 \(GE/01\.dcm\) to instance 14 \(GE/14\.dcm\) lie 4\.220 mm apart, then one "
        r"step is 1\.140 mm, then instance 15 \(GE/15\.dcm\) to instance 28 \(GE/28\.dcm\) lie 7\."
    )
    with pytest.raises(NotAVolume, match=told):
        dicom.read(packed)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    half = sorted(tmp_path.rglob("*.dcm"))[:14]
    image = dicom.read_series(half)
    assert image.grid.spacing_mm[2] == pytest.approx(4.22)
    assert any("18.50 degrees" in note for note in image.provenance.notes)


def test_a_single_file_answers_to_its_own_series_only(tmp_path: Path) -> None:
    path = save(make_slice(0), tmp_path / "a.dcm")
    own = dicom.read(path).provenance.series
    assert dicom.read(path, series=own[:6]).grid.shape[2] == 1
    with pytest.raises(AmbiguousSource):
        dicom.read(path, series="ffff")


def test_a_zip_of_too_many_files_is_refused(tmp_path: Path, monkeypatch) -> None:
    folder = save_all([make_slice(z) for z in PLACES], tmp_path / "a")
    monkeypatch.setattr(dicom_archive, "MEMBERS_ALLOWED", 2)
    with pytest.raises(TooLarge, match="has 4 files; at most 2 are read from a zip"):
        dicom.read(zipped(folder, tmp_path / "a.zip"))


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS:UserWarning")
@pytest.mark.parametrize("name", [["..", "a.dcm"], ["x/../../a.dcm"], [".."]])
def test_a_dicomdir_cannot_list_what_lies_outside(tmp_path: Path, name: list[str]) -> None:
    save(make_slice(0), tmp_path / "a.dcm")
    medium = pydicom.dcmread(packaged("dicomdirtests/DICOMDIR"))
    files = (one for one in medium.DirectoryRecordSequence if "ReferencedFileID" in one)
    next(files).ReferencedFileID = name
    (tmp_path / "medium").mkdir()
    medium.save_as(tmp_path / "medium" / "DICOMDIR")
    with pytest.raises(UnreadableFile, match="DICOMDIR lists a file outside of its folder"):
        dicom.read(tmp_path / "medium" / "DICOMDIR")


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="absent cannot be listed: No such file"):
        dicom.read_folder(tmp_path / "absent")
    with pytest.raises(NotAnImage, match="no files"):
        dicom.read_series([])
