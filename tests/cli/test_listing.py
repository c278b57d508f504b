"""An export of several series: what is listed, what is taken, and what is left out and said."""

import json
import zipfile

import numpy as np
import pytest
from tests.cli.exports import make_export, pack
from tests.formats.dicom_scenes import COLUMNS, ROWS, make_slice, save, save_all
from typer.testing import CliRunner

from plica.cli.listing import survey_export
from plica.cli.main import app
from plica.formats.doors import read, write
from plica.grid import Grid
from plica.image import Image


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def tree(tmp_path):
    return make_export(tmp_path)


@pytest.mark.parametrize("zipped", [False, True])
def test_an_export_is_inspected_as_a_table_of_its_series(tree, zipped):
    done = run("inspect", pack(tree) if zipped else tree)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "3 series of 2 patients" in said
    assert "1 A CT 5×6×4 0.75 × 0.5 × 2 axial original 4" in said
    assert "2 B CT 5×6×3 0.75 × 0.5 × 2 axial original 3" in said
    assert "3 B CT 5×6 0.75 × 0.5 axial localizer 1" in said
    others = "2 other files (AUTORUN.INF: not DICOM; viewer.exe: not DICOM)"
    assert f"besides: 1 structured report (SR), {others}" in said
    assert "--descriptions adds each series' own description, which may name people" in done.stderr
    assert ".1, .2" not in done.stderr
    assert "Doe" not in said
    assert "follow-up" not in said
    assert "identity: the files name a patient (name, ID, UIDs, free texts)" in done.stderr


def test_files_that_are_damaged_are_named_below_the_table(tree):
    (tree / "SE1/IM9").write_bytes(b"\0" * 128 + b"DICM\x02\0\0\0UL\x04")
    done = run("inspect", tree)
    assert done.exit_code == 0, done.output
    assert "note: damaged: " in done.stderr


def test_a_zip_of_other_things_is_no_list_of_series(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("notes.txt", "no image")
    done = run("inspect", tmp_path / "a.zip")
    assert done.exit_code == 1
    assert "series of" not in done.stdout
    (tmp_path / "misnamed.zip").write_bytes(b"NRRD0004\n")
    for name in ("a.zip", "misnamed.zip"):
        assert survey_export(tmp_path / name) is None


def test_of_one_file_the_kinds_of_identity_are_said_and_never_values(tmp_path):
    named = save(make_slice(PatientBirthDate="19010203", StudyDate="19040506"), tmp_path / "a.dcm")
    bare = save(make_slice(PatientName="", PatientID=""), tmp_path / "b.dcm")
    done, machine = run("inspect", named), json.loads(run("inspect", named, "--json").stdout)
    said = " ".join(done.stdout.split())
    assert "identity the file names a patient (name, ID, birth date, dates, UIDs)" in said
    assert machine["identity"] == ["name", "ID", "birth date", "dates", "UIDs"]
    assert machine["provenance"]["identity"] == {}
    for word in ("Doe", "secret-7", "1901", "1904"):
        assert word not in said + json.dumps(machine)
    said = " ".join(run("inspect", bare).stdout.split())
    assert "no name, ID, birth date or address of a patient found, but UIDs; what pixels" in said


def test_of_other_files_it_is_said_that_identity_is_not_looked_for(tmp_path):
    write(Image(np.zeros((1, 4, 4, 2), np.int16), Grid((4, 4, 2), np.eye(4))), tmp_path / "a.nii")
    said = " ".join(run("inspect", tmp_path / "a.nii").stdout.split())
    assert "identity not looked for; of this format, descrip, aux_file" in said
    assert json.loads(run("inspect", tmp_path / "a.nii", "--json").stdout)["identity"] is None


def test_a_single_series_is_described_where_it_was_asked_for(tmp_path):
    named = save_all([make_slice(0, SeriesDescription="Doe^Jane follow-up")], tmp_path / "named")
    said = run("inspect", named, "--descriptions").stdout
    assert "Doe^Jane follow-up" in " ".join(said.split())
    assert "Doe^Jane" not in run("inspect", named).output
    bare = next(save_all([make_slice(0)], tmp_path / "bare").iterdir())
    assert json.loads(run("inspect", bare, "--descriptions", "--json").stdout)["description"] == ""
    assert "description none" in " ".join(run("inspect", bare, "--descriptions").stdout.split())


def test_descriptions_are_said_where_they_were_asked_for(tree):
    done = run("inspect", tree, "--descriptions")
    assert "Doe^Jane follow-up" in done.stdout
    assert "mark" in (heading := done.stdout.splitlines()[1])
    assert heading.split()[-1] == "description"
    assert "--descriptions" not in done.stderr


def test_marks_that_differ_from_a_latents_are_explained(tree):
    save(make_slice(ImageOrientationPatient=[0, 1, 0, 0, 0, -1], SeriesInstanceUID="1.2.8"),
         tree / "SE2/IM1")  # fmt: skip
    done = run("inspect", tree)
    assert "sagittal" in done.stdout
    assert "their latents all keep the mark before the dot" in done.stderr


def test_machines_get_records_without_names(tree):
    record = json.loads(run("inspect", pack(tree), "--json").stdout)
    assert [one["shape"] for one in record["series"]] == [[5, 6, 4], [5, 6, 3], [5, 6, 1]]
    assert [one["kind"] for one in record["series"]] == ["original", "original", "localizer"]
    assert record["objects"] == {"structured report (SR)": 1}
    assert record["foreign"] == 2
    assert [one["patient"] for one in record["series"]] == ["A", "B", "B"]
    assert {one["plane"] for one in record["series"]} == {"axial"}
    assert "others" not in record
    assert record["patients"] == 2
    assert "description" not in record["series"][0]


def test_the_number_listed_is_the_number_that_is_read(tree):
    export = pack(tree)
    listed = json.loads(run("inspect", export, "--json").stdout)["series"]
    for one in listed:
        chosen = run("inspect", export, "--series", one["number"], "--json")
        assert json.loads(chosen.stdout)["grid"]["shape"] == one["shape"]
        assert list(read(export, series=one["number"]).grid.shape) == one["shape"]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_whole_export_is_encoded_without_its_localizer_and_the_rest_is_said(tree, zipped):
    out = tree.parent / "latents"
    done = run("encode", pack(tree) if zipped else tree, "-o", out, "-c", "identity")
    assert done.exit_code == 0, done.output
    assert len(list(out.rglob("*.latent"))) == 2
    said = " ".join(done.stderr.split())
    assert "left out: 1 structured report (SR), 1 localizer (taken with --localizers)" in said
    assert "2 other files" in said
    assert "the images are of 2 patients" in said
    assert "Roe" not in said


def test_localizers_are_taken_where_they_are_asked_for_or_are_all_there_is(tree):
    out = tree.parent / "latents"
    assert run("encode", tree, "-o", out, "-c", "identity", "--localizers", "-q").exit_code == 0
    assert len(list(out.rglob("*.latent"))) == 3
    alone = run("encode", tree / "SE2", "-o", tree.parent / "one", "-c", "identity", "-q")
    assert alone.exit_code == 0
    assert len(list((tree.parent / "one").rglob("*.latent"))) == 1


def test_a_chosen_series_is_named_in_the_table(tree):
    done = run("encode", pack(tree), "-o", tree.parent / "l", "-c", "identity", "--series", 2)
    assert "EXPORT/series-2" in done.stdout
    assert " CT " in done.stdout
    walked = run("encode", tree, "-o", tree.parent / "m", "-c", "identity", "--series", 2)
    assert "(series 2)" in walked.stdout


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("command", ["encode", "reconstruct"])
def test_a_chosen_series_is_written_where_the_whole_run_writes_it(tree, zipped, command):
    export, out = pack(tree) if zipped else tree, tree.parent / "out"
    assert run(command, export, "-o", out, "-c", "identity", "--localizers", "-q").exit_code == 0
    whole = sorted(out.rglob("*.*"))
    for number in (1, 2, 3):
        more = ("-c", "identity", "--series", number)
        assert run(command, export, "-o", tree.parent / "one", *more, "-q").exit_code == 0
        again = run(command, export, "-o", out, *more, "--resume")
        assert "were there already: 1" in again.stderr
    each = [one.relative_to(tree.parent / "one") for one in (tree.parent / "one").rglob("*.*")]
    assert sorted(each) == [one.relative_to(out) for one in whole]


def test_a_chosen_localizer_is_taken_beside_other_sources(tree):
    report = json.loads(run("encode", pack(tree), tree / "SE1/IM0", "-o", tree.parent / "l",
                            "-c", "identity", "--series", 3, "--json").stdout)  # fmt: skip
    assert "EXPORT/series-3" in [one["image"] for one in report["results"]]


def test_a_latent_of_another_series_is_not_taken_for_this_one(tree):
    export, out = pack(tree), tree.parent / "one.latent"
    assert run("encode", export, "-o", out, "-c", "identity", "--series", 1).exit_code == 0
    assert run("encode", export, "-o", out, "-c", "identity", "--series", 1,
               "--resume").exit_code == 0  # fmt: skip
    done = run("encode", export, "-o", out, "-c", "identity", "--series", 2, "--resume")
    assert done.exit_code == 1
    assert "is the latent of another series than EXPORT/series-2" in str(done.exception)


def test_a_damaged_latent_that_is_there_is_left_as_it_is(tree):
    export, out = pack(tree), tree.parent / "one.latent"
    assert run("encode", export, "-o", out, "-c", "identity", "--series", 1).exit_code == 0
    out.write_bytes(out.read_bytes()[:200])
    done = run("encode", export, "-o", out, "-c", "identity", "--series", 2, "--resume")
    assert done.exit_code == 0, done.exception
    assert "were there already: 1" in done.stderr
    assert out.stat().st_size == 200


def test_two_scouts_of_one_series_are_not_taken_for_each_other(tree):
    """They have one mark, since they have one SeriesInstanceUID."""
    side = make_slice(ImageOrientationPatient=[0, 1, 0, 0, 0, -1], SeriesInstanceUID="1.2.8",
                      PatientName="Roe^Richard", PatientID="P1",
                      PixelData=np.arange(ROWS * COLUMNS, dtype=np.int16).tobytes(),
                      ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
    save(side, tree / "SE2/IM1")
    export, out = pack(tree), tree.parent / "one.latent"
    assert run("encode", export, "-o", out, "-c", "identity", "--series", 3).exit_code == 0
    again = run("encode", export, "-o", out, "-c", "identity", "--series", 3, "--resume")
    assert again.exit_code == 0
    done = run("encode", export, "-o", out, "-c", "identity", "--series", 4, "--resume")
    assert "is the latent of another series than EXPORT/series-4" in str(done.exception)


def test_several_series_are_asked_about_in_the_words_of_the_help(tree):
    with pytest.raises(Exception, match="by its number or the beginning of its mark") as caught:
        read(tree)
    assert "  " not in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
def test_who_names_one_file_for_several_series_is_told_how_to_choose_one(tree, zipped):
    export, out = pack(tree) if zipped else tree, tree.parent / "ct.latent"
    said = str(run("encode", export, "-o", out, "-c", "identity").exception)
    assert f"2 series of {export} cannot be written to the one file {out}" in said
    assert f"choose one with --series (`plica inspect {export}` lists them)" in said
    for words in ((tree / "SE0", tree / "SE1"), (export, tree / "SE0")):
        said = str(run("encode", *words, "-o", out, "-c", "identity").exception)
        assert "sources cannot be written to the one file" in said
        assert "--series" not in said
