"""`plica inspect` says what a latent tells of its source, and whether it is whole."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from tests.formats.dicom_scenes import make_slice, packaged, save, save_all
from typer.testing import CliRunner

from plica.cli import inspect as command
from plica.cli.main import app
from plica.formats import latents
from plica.formats.dicom_series import pseudonym
from plica.formats.doors import read, write


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def scan(tmp_path):
    """A series of three slices with text burnt into it."""
    for k in range(3):
        save(
            make_slice(2.0 * k, InstanceNumber=k + 1, BurnedInAnnotation="YES"),
            tmp_path / "ct" / f"{k}.dcm",
        )
    return tmp_path / "ct"


@pytest.fixture
def latent(scan, tmp_path):
    """The latent of it."""
    done = run("encode", scan, "-o", tmp_path / "ct.latent", "-c", "identity")
    assert done.exit_code == 0, done.output
    assert "text is burnt into its pixels" in done.output
    return tmp_path / "ct.latent"


def facts(path, *words):
    done = run("inspect", path, "--json", *words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_what_concerns_identity_is_on_the_screen(latent):
    said = " ".join(run("inspect", latent).stdout.split())
    provenance = facts(latent)["provenance"]

    assert f"series mark {provenance['series']}" in said
    assert provenance["content"].startswith("sha256:")
    for part in ("content hash sha256:", "modality CT", "identity none", "burnt into its pixels",
                 "checksums header right, numbers right"):  # fmt: skip
        assert part in said


def test_damaged_numbers_are_an_error_and_so_is_a_damaged_header(latent):
    whole = latent.read_bytes()
    for at in (len(whole) - 5, 200):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        latent.write_bytes(damaged)
        done = run("inspect", latent)
        assert done.exit_code == 1
        assert "damaged" in str(done.exception)


def test_a_large_latent_is_checked_when_asked_for(latent, monkeypatch):
    monkeypatch.setattr(command, "_CHECKED_BELOW", 100)
    assert facts(latent)["checksums"] == {"header": "right", "numbers": "not checked"}
    assert facts(latent, "--check")["checksums"]["numbers"] == "right"
    latent.write_bytes(latent.read_bytes()[:-1] + b"\7")
    assert run("inspect", latent).exit_code == 0
    assert run("inspect", latent, "--check").exit_code == 1


def test_without_marks_nothing_links_a_latent_to_its_source(scan, latent, tmp_path):
    done = run("encode", scan, "-o", tmp_path / "bare.latent", "-c", "identity", "--no-marks", "-q")
    assert done.exit_code == 0, done.output
    marked, bare = facts(latent)["provenance"], facts(tmp_path / "bare.latent")["provenance"]

    assert (bare["series"], bare["content"]) == ("", "")
    content = (tmp_path / "bare.latent").read_bytes()
    for mark in (marked["series"], marked["content"].partition(":")[2]):
        assert mark.encode() in latent.read_bytes()
        assert mark.encode() not in content
    assert "series mark none" in " ".join(run("inspect", tmp_path / "bare.latent").stdout.split())
    codes = [latents.read(path).codes for path in (latent, tmp_path / "bare.latent")]
    np.testing.assert_array_equal(*codes)


def test_a_latent_without_marks_joins_the_one_series_that_lies_where_it_lies(scan, tmp_path):
    run("encode", scan, "-o", tmp_path / "bare.latent", "-c", "identity", "--no-marks", "-q")
    joined = run("decode", tmp_path / "bare.latent", "-o", tmp_path / "out.dcm", "--like", scan)
    assert joined.exit_code == 0, joined.output
    assert "--like writes who the patient is" in joined.output

    for k in range(3):
        save(
            make_slice(InstanceNumber=k + 1, position=(40.0, -20.0, 2.0 * k)),
            tmp_path / "other" / f"{k}.dcm",
        )
    refused = run(
        "decode", tmp_path / "bare.latent", "-o", tmp_path / "b.dcm", "--like", tmp_path / "other"
    )
    assert refused.exit_code != 0
    assert not (tmp_path / "b.dcm").exists()


def test_facts_that_say_nothing_have_no_row_and_notes_a_line_each(scan, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    write(read(scan), tmp_path / "a.nii.gz")
    save(make_slice(InstanceNumber=1, BurnedInAnnotation="YES"), tmp_path / "one.dcm")
    rows = run("inspect", tmp_path / "a.nii.gz").stdout.splitlines()
    assert not [row for row in rows if row.strip() in ("window", "notes", "modality")]
    notes = facts(tmp_path / "one.dcm")["provenance"]["notes"]
    rows = [row.strip() for row in run("inspect", tmp_path / "one.dcm").stdout.splitlines()]
    assert len(notes) > 1
    assert sum(row.removeprefix("notes").strip() in notes for row in rows) == len(notes)
    assert facts(tmp_path / "a.nii.gz")["display"]["center"] is None


@pytest.fixture
def decoded(scan, tmp_path):
    """A folder of images that plica wrote, one of them below another folder."""
    image, folder = read(scan), tmp_path / "decoded"
    (folder / "deep").mkdir(parents=True)
    write(image, folder / "ct.nii.gz")
    write(image, folder / "deep" / "ct.nrrd")
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_images_of_a_folder_are_listed(decoded, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = run("inspect", decoded)
    assert done.exit_code == 0, done.output
    for name in ("ct.nii.gz", "deep/ct.nrrd"):
        (row,) = [line for line in done.stdout.splitlines() if line.startswith(name)]
        assert "5×6×3  0.75 × 0.5 × 2  LPS   HU    int16" in row
    listed = json.loads(run("inspect", decoded, "--json").stdout)
    assert [one["file"] for one in listed["images"]] == ["ct.nii.gz", "deep/ct.nrrd"]
    assert listed["images"][0]["range"] == [-1024, -984]
    assert listed["failed"] == []


@pytest.mark.parametrize("several", [False, True])
def test_images_beside_series_are_listed_with_them(scan, decoded, several):
    shutil.move(scan, decoded / "dicom")
    if several:
        save(make_slice(SeriesInstanceUID="1.2.8"), decoded / "scout" / "0.dcm")
    done = run("inspect", decoded)
    said = " ".join(done.stdout.split())
    assert f"decoded: {1 + several} series of 1 patient" in said
    assert "2 other images" in said
    assert "deep/ct.nrrd 5×6×3" in said
    assert "besides: 1 other file (notes.txt: not DICOM)" in said
    assert "note: identity in nrrd files: not looked for" in " ".join(done.stderr.split())
    listed = json.loads(run("inspect", decoded, "--json").stdout)
    assert [one["file"] for one in listed["images"]] == ["ct.nii.gz", "deep/ct.nrrd"]
    assert (len(listed["series"]), listed["failed"]) == (1 + several, [])
    assert facts(decoded, "--series", 1)["grid"]["shape"] == [5, 6, 3]


def test_damaged_dicom_beside_images_is_named(decoded):
    (decoded / "IM9").write_bytes(b"\0" * 128 + b"DICM\x02\0\0\0UL\x04")
    done = run("inspect", decoded)
    assert done.exit_code == 1
    assert "3 images" in done.stdout
    assert "error: IM9" in done.stderr


def test_of_images_in_a_folder_it_is_said_where_names_may_be(decoded):
    done = run("inspect", decoded)
    said = " ".join(done.stderr.split())
    assert "note: identity in nifti files: not looked for; of this format, descrip" in said
    assert "note: identity in nrrd files: not looked for; of this format, content" in said
    listed = json.loads(run("inspect", decoded, "--json").stdout)
    assert [one["identity"] for one in listed["images"]] == [None, None]


def test_of_images_that_cannot_be_read_it_is_said_where_names_may_be(decoded):
    nibabel = pytest.importorskip("nibabel")
    two = nibabel.MGHImage(np.zeros((4, 4, 4, 2), np.float32), np.eye(4))
    nibabel.save(two, decoded / "two.mgz")
    np.savez(decoded / "bare.npz", np.zeros((4, 4, 4), np.float32))
    (decoded / "short.mha").write_bytes(b"")
    (decoded / "IM9").write_bytes(b"\0" * 128 + b"DICM\x02\0\0\0UL\x04")
    (decoded / "cut.zip").write_bytes(b"PK\3\4" + bytes(40))
    done = run("inspect", decoded)
    assert done.exit_code == 1
    said = " ".join(done.stderr.split())
    assert "note: identity in mgh files: not looked for; of this format, the tags" in said
    assert "note: identity in array files: not looked for" in said
    assert "note: identity in metaimage files: not looked for; of this format, Comment" in said
    assert "note: identity in nrrd files: not looked for; of this format, content" in said
    assert said.count("identity in nifti files") == 1
    assert "note: identity in DICOM files that cannot be read: not looked for; they may" in said


def test_a_zip_in_a_folder_whose_series_cannot_be_read_is_one_of_dicom(decoded, tmp_path):
    gap = save_all([make_slice(at) for at in (0, 2, 10)], tmp_path / "gap")
    shutil.make_archive(str(decoded / "gap"), "zip", gap)
    done = run("inspect", decoded)
    said = " ".join(done.stderr.split())
    assert done.exit_code == 1
    assert "error: gap.zip" in said
    assert "note: identity in DICOM files that cannot be read: not looked for" in said


def test_of_zips_of_dicom_in_a_folder_the_kinds_of_identity_are_said(scan, decoded):
    with zipfile.ZipFile(decoded / "ct.zip", "w") as packed:
        for file in scan.iterdir():
            packed.write(file, file.name)
    assert "identity in dicom files: the files name a patient (name, ID" in run(
        "inspect", decoded
    ).stderr.replace("\n", " ")
    listed = {one["file"]: one for one in json.loads(
        run("inspect", decoded, "--json").stdout)["images"]}  # fmt: skip
    assert listed["ct.zip"]["identity"][:2] == ["name", "ID"]


def test_dicom_in_zips_of_a_folder_has_marks_and_letters_of_the_whole_folder(scan, tmp_path):
    (tmp_path / "all").mkdir()
    shutil.move(scan, tmp_path / "all" / "ours")
    theirs = [make_slice(0, PatientID="another", PatientName="An^Other", SeriesInstanceUID="1.7")]
    ours = [make_slice(0, SeriesInstanceUID="1.8")]
    for name, slices in (("a.zip", theirs), ("b.zip", [*ours, *theirs])):
        folder = save_all(slices, tmp_path / name.removesuffix(".zip"))
        shutil.make_archive(str(tmp_path / "all" / name.removesuffix(".zip")), "zip", folder)
    listed = json.loads(run("inspect", tmp_path / "all", "--json").stdout)
    whose = [(one["provenance"]["series"], one["patient"]) for one in listed["images"]]
    b_zip = sorted([(pseudonym("1.8"), "A"), (pseudonym("1.7"), "B")])
    assert (whose[0], sorted(whose[1:])) == ((pseudonym("1.7"), "B"), b_zip)
    assert listed["patients"] == 2
    said = " ".join(run("inspect", tmp_path / "all").stdout.split())
    assert "1 series of 1 patient" in said
    assert "3 other images" in said
    assert "Of 2 patients in all" in said
    assert said.count(f"B {pseudonym('1.7')}") == 2
    alone = run("inspect", tmp_path / "all" / "a.zip").stdout
    assert pseudonym("1.7") in next(line for line in alone.splitlines() if "series mark" in line)


def test_an_image_of_a_folder_that_cannot_be_read_is_named_and_hides_no_other(decoded):
    (decoded / "broken.nii.gz").write_bytes((decoded / "ct.nii.gz").read_bytes()[:60])
    done = run("inspect", decoded)
    assert done.exit_code == 1
    assert "3 images" in done.stdout
    assert "cannot be read" in done.stdout
    assert "error: broken.nii.gz" in done.stderr
    listed = json.loads(run("inspect", decoded, "--json").stdout)
    assert [one["file"] for one in listed["failed"]] == ["broken.nii.gz"]
    assert len(listed["images"]) == 2


def test_a_folder_of_nothing_is_no_folder_of_images(decoded, tmp_path):
    (tmp_path / "empty").mkdir()
    for asked in ((tmp_path / "empty",), (decoded, "--series", 1)):
        assert "holds no DICOM images" in str(run("inspect", *asked).exception)


def test_images_beside_a_report_are_listed(decoded):
    shutil.copy(packaged("rtplan.dcm"), decoded / "plan.dcm")
    assert "2 images" in run("inspect", decoded).stdout
