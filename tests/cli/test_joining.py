"""Decoded DICOM joins the study it was made of, and no other patient's."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.formats.dicom_scenes import COLUMNS, ROWS, make_slice, save
from typer.testing import CliRunner

from plica.cli.joining import _say_doubt
from plica.cli.main import app
from plica.formats.doors import read, write

PEOPLE = {
    "Doe^Jane": {"PatientID": "A1", "StudyInstanceUID": "1.2.1", "x": -10.0, "number": 3},
    "Roe^Richard": {"PatientID": "B2", "StudyInstanceUID": "1.2.2", "x": 40.0, "number": 3},
}


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def write_series(
    folder: Path, name: str, *, more: str = "", x: float | None = None, **stated: object
) -> None:
    """Four slices of one patient; `more` makes another series of the same one."""
    known = dict(PEOPLE[name])
    place, number = known.pop("x") if x is None else x, known.pop("number")
    for k in range(4):
        values = np.random.default_rng(k + len(name)).integers(0, 900, (ROWS, COLUMNS))
        save(
            make_slice(
                position=(place, -20.0, 2.0 * k),
                PatientName=name,
                SeriesInstanceUID=f"{known['StudyInstanceUID']}.9{more}",
                FrameOfReferenceUID=f"{known['StudyInstanceUID']}.8",
                InstanceNumber=k + 1,
                PixelData=values.astype(np.int16).tobytes(),
                **{"SeriesNumber": number, **known, **stated},
            ),
            folder / f"IM{k}",
        )


@pytest.fixture
def export(tmp_path):
    """Two patients' series as a folder and as a zip, and the latents of both."""
    tree = tmp_path / "export"
    for n, name in enumerate(PEOPLE):
        write_series(tree / f"SE{n}", name)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as packed:
        for file in sorted(tree.rglob("IM*")):
            packed.write(file, file.relative_to(tmp_path))
    done = run("encode", tree, "-o", tmp_path / "latents", "-c", "identity", "-q")
    assert done.exit_code == 0, done.output
    return tree


def whose(folder: Path) -> set[tuple[str, str, str]]:
    found = [pydicom.dcmread(file) for file in sorted(folder.glob("*.dcm"))]
    return {(str(d.PatientName), str(d.StudyInstanceUID), str(d.FrameOfReferenceUID))
            for d in found}  # fmt: skip


@pytest.mark.parametrize("like", ["export", "export.zip"])
def test_each_decoded_series_joins_its_own_patient(export, tmp_path, like):
    done = run("decode", tmp_path / "latents", "-o", tmp_path / "out", "--like", tmp_path / like)
    assert done.exit_code == 0, done.output
    assert whose(tmp_path / "out/SE0.dcm") == {("Doe^Jane", "1.2.1", "1.2.1.8")}
    assert whose(tmp_path / "out/SE1.dcm") == {("Roe^Richard", "1.2.2", "1.2.2.8")}


def test_the_series_of_one_command_have_numbers_of_their_own_and_name_the_codec(export, tmp_path):
    run("decode", tmp_path / "latents", "-o", tmp_path / "out", "--like", export)
    firsts = [pydicom.dcmread(tmp_path / f"out/SE{n}.dcm/000001.dcm") for n in (0, 1)]
    assert [one.SeriesNumber for one in firsts] == [1003, 1004]
    assert {one.SeriesDescription for one in firsts} == {"Decoded by identity, not for diagnosis"}


def test_a_number_is_free_in_the_study_and_the_same_in_each_command(tmp_path):
    tree, numbers = tmp_path / "export", (4, 4, 5, 1006)
    for n, number in enumerate(numbers):
        write_series(tree / f"SE{n}", "Doe^Jane", more=str(n), x=30.0 * n, SeriesNumber=number)
    run("encode", tree, "-o", tmp_path / "latents", "-c", "identity", "-q")
    run("decode", tmp_path / "latents", "-o", tmp_path / "at-once", "--like", tree)
    for n in (3, 2, 1, 0):
        latent = tmp_path / f"latents/SE{n}.latent"
        run("decode", latent, "-o", tmp_path / f"alone/SE{n}.dcm", "--like", tree)
    firsts = [[pydicom.dcmread(tmp_path / f"{how}/SE{n}.dcm/000001.dcm") for n in range(4)]
              for how in ("at-once", "alone")]  # fmt: skip
    written = [[int(one.SeriesNumber) for one in some] for some in firsts]
    assert written[0] == written[1]
    assert sorted(written[0]) == [1004, 1005, 1007, 2006]


def test_what_is_decoded_twice_from_one_series_has_two_numbers(export, tmp_path):
    for name in ("a", "b"):
        run("encode", export / "SE0", "-o", tmp_path / f"two/{name}.latent", "-c", "identity")
    run("decode", tmp_path / "two", "-o", tmp_path / "out", "--like", export)
    numbers = [pydicom.dcmread(tmp_path / f"out/{name}.dcm/000001.dcm").SeriesNumber
               for name in ("a", "b")]  # fmt: skip
    assert numbers == [1003, 1005]  # 1004 is for the other series, whose number is 3, too


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        (["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"], ["LOCALIZER"]),
        (["ORIGINAL", "PRIMARY", "AXIAL", "VMI"], ["AXIAL", "VMI"]),
        (["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"], ["AXIAL"]),
        (["ORIGINAL", "PRIMARY"], ["AXIAL"]),
    ],
)
def test_a_localizer_stays_one(tmp_path, stated, kept):
    write_series(tmp_path / "scout", "Doe^Jane", ImageType=stated)
    latent = tmp_path / "a.latent"
    run("encode", tmp_path / "scout", "-o", latent, "-c", "identity", "-q")
    run("decode", latent, "-o", tmp_path / "a.dcm", "--like", tmp_path / "scout")
    written = pydicom.dcmread(tmp_path / "a.dcm/000001.dcm")
    assert list(written.ImageType) == ["DERIVED", "SECONDARY", *kept]


def test_a_stranger_among_several_is_refused_before_anything_is_decoded(export, tmp_path):
    write_series(tmp_path / "other", "Roe^Richard", more="1", x=99.0)
    run("encode", tmp_path / "other", "-o", tmp_path / "latents/zz.latent", "-c", "identity", "-q")
    done = run("decode", tmp_path / "latents", "-o", tmp_path / "out", "--like", export)
    assert done.exit_code == 1
    said = str(done.exception)
    assert "export holds 2 series of 2 patients, and none is the one this latent" in said
    assert said.startswith("zz: ")
    assert said.endswith("; nothing was written: decode what has none without --like")
    assert not (tmp_path / "out").exists()
    shutil.copy(tmp_path / "latents/zz.latent", tmp_path / "latents/zzz.latent")
    done = run("decode", tmp_path / "latents", "-o", tmp_path / "out", "--like", export)
    assert "; 1 more of 4 has none there; nothing was written" in str(done.exception)


def test_a_damaged_latent_is_said_to_be_one_and_the_others_join(export, tmp_path):
    (tmp_path / "latents/zz.latent").write_bytes(b"\0" * 100)
    done = run("decode", tmp_path / "latents", "-o", tmp_path / "out", "--like", export)
    assert done.exit_code == 1
    assert "error: zz" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["SE0.dcm", "SE1.dcm"]


@pytest.mark.parametrize(("x", "why"), [(99.0, "its voxels lie elsewhere"), (-10.0, "its mark is")])
def test_a_single_series_that_is_not_the_source_is_refused(export, tmp_path, x, why):
    write_series(tmp_path / "other", "Roe^Richard", more="1", x=x)
    latent = tmp_path / "latents/SE0.latent"
    done = run("decode", latent, "-o", tmp_path / "out.dcm", "--like", tmp_path / "other")
    assert done.exit_code == 1
    assert why in str(done.exception)
    assert not (tmp_path / "out.dcm").exists()


def test_a_latent_of_a_nifti_copy_finds_the_series_it_is_a_copy_of(export, tmp_path):
    write(read(export / "SE1"), tmp_path / "copy.nii.gz")
    run("encode", tmp_path / "copy.nii.gz", "-o", tmp_path / "copy.latent", "-c", "identity", "-q")
    done = run("decode", tmp_path / "copy.latent", "-o", tmp_path / "c.dcm", "--like", export)
    assert done.exit_code == 0, done.output
    assert {name for name, *_ in whose(tmp_path / "c.dcm")} == {"Roe^Richard"}


def test_a_re_export_under_other_marks_is_known_by_its_pixels(export, tmp_path):
    write_series(tmp_path / "again", "Doe^Jane", more="7")
    latent = tmp_path / "latents/SE0.latent"
    done = run("decode", latent, "-o", tmp_path / "a.dcm", "--like", tmp_path / "again")
    assert done.exit_code == 0, done.output


def test_reconstruct_joins_each_to_its_own_too(export, tmp_path):
    done = run("reconstruct", export, "-o", tmp_path / "out", "-c", "identity", "--like", export)
    assert done.exit_code == 0, done.output
    assert {name for name, *_ in whose(tmp_path / "out/SE1.dcm")} == {"Roe^Richard"}


def test_an_output_that_is_no_dicom_is_refused_before_the_work(export, tmp_path):
    latent = tmp_path / "latents/SE0.latent"
    done = run("decode", latent, "-o", tmp_path / "a.nii.gz", "--like", export)
    assert done.exit_code == 1
    assert "only DICOM is written --like another" in str(done.exception)


def test_each_slice_names_the_slice_it_was_made_of(export, tmp_path):
    run("decode", tmp_path / "latents/SE0.latent", "-o", tmp_path / "a.dcm", "--like", export)
    sources = {
        float(d.ImagePositionPatient[2]): d
        for d in (pydicom.dcmread(file) for file in (export / "SE0").iterdir())
    }
    written = [pydicom.dcmread(file) for file in (tmp_path / "a.dcm").iterdir()]
    assert len(written) == 4
    for one in written:
        source = sources[float(one.ImagePositionPatient[2])]
        named = one.SourceImageSequence[0]
        assert named.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert named.ReferencedSOPClassUID == source.SOPClassUID
        assert named.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        series = one.ReferencedSeriesSequence[0]
        assert series.SeriesInstanceUID == source.SeriesInstanceUID
        instance = series.ReferencedInstanceSequence[0]
        assert instance.ReferencedSOPInstanceUID == source.SOPInstanceUID


def decode_like(tmp_path: Path, like: str, *words: str) -> str:
    """What is said of a latent of `own.dcm` that joins the study of another file."""
    made = run("encode", tmp_path / "own.dcm", "-o", tmp_path / "a.latent", "-c", "identity", "-q",
               "--overwrite", *words)  # fmt: skip
    assert made.exit_code == 0, made.output
    done = run("decode", tmp_path / "a.latent", "-o", tmp_path / "out.dcm", "--overwrite",
               "--like", tmp_path / like)  # fmt: skip
    assert done.exit_code == 0, done.output
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("placed", [True, False])
def test_that_the_grid_alone_was_compared_is_said(tmp_path, placed):
    where = {} if placed else {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    save(make_slice(**where), tmp_path / "own.dcm")
    values = np.arange(ROWS * COLUMNS, dtype=np.int16).tobytes()
    save(make_slice(PatientName="Roe^Richard", StudyInstanceUID="1.2.7", SeriesInstanceUID="1.2.8",
                    PixelData=values, **where), tmp_path / "other.dcm")  # fmt: skip
    alone = "voxels that lie in the same places" if placed else "as many voxels (it has no place)"
    said = decode_like(tmp_path, "other.dcm", "--no-marks")
    assert "a: neither a series' mark nor equal pixels say that the source given is its" in said
    assert f"only {alone}: another patient's image may have these too" in said
    assert "neither a series' mark" not in decode_like(tmp_path, "own.dcm")


def test_equal_pixels_of_another_series_are_the_source_without_a_doubt(tmp_path):
    save(make_slice(), tmp_path / "own.dcm")
    save(make_slice(StudyInstanceUID="1.2.7", SeriesInstanceUID="1.2.8"), tmp_path / "copy.dcm")
    assert "neither a series' mark" not in decode_like(tmp_path, "copy.dcm")


def test_of_many_without_marks_some_are_named_and_all_counted():
    said = _say_doubt(["a", "b", "c", "d", "e"], "as many voxels")
    assert said.startswith("a, b, c and 2 more: neither")
