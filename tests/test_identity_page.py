"""What docs/identity.md says of each output is so."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from robustness.markers import find_markers
from tests.formats.dicom_scenes import make_slice, save
from typer.testing import CliRunner

import plica
from plica.cli.main import app
from plica.formats import latents
from plica.formats.dicom_template import SERIES_STEP
from plica.formats.dicom_writing import COPIED

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "identity.md").read_text(encoding="utf-8")
WORDS = {
    "PatientName": "Sample^Person", "PatientID": "id-sample", "PatientBirthDate": "19010203",
    "AccessionNumber": "acc-sample", "StudyDate": "19040506", "InstitutionName": "Sample House",
    "DeviceSerialNumber": "dev-sample", "StationName": "sample-9", "StudyDescription": "Sample s.",
    "SeriesDescription": "Sample d.", "StudyInstanceUID": "1.2.826.77.1",
    "FrameOfReferenceUID": "1.2.826.77.2", "SeriesInstanceUID": "1.2.826.77.3",
}  # fmt: skip

NUMBER = 7


def run(*words: object):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A series that says who it is in every attribute, in a folder that says so, too."""
    folder = tmp_path_factory.mktemp("archive") / "SMITH_JOHN" / "ct"
    for k in range(8):
        pixels = np.random.default_rng(k).integers(0, 900, (16, 16)).astype(np.int16)
        save(
            make_slice(2.0 * k, InstanceNumber=k + 1, SeriesNumber=NUMBER, Rows=16, Columns=16,
                       PixelData=pixels.tobytes(), **WORDS),
            folder / f"{k}.dcm",
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def latent(study, tmp_path_factory):
    """Its latent, by a codec of the package."""
    path = tmp_path_factory.mktemp("out") / "ct.latent"
    run("encode", study, "-o", path, "-c", "linear-4x1-3d", "-q")
    return path


def find_words(data: bytes) -> set[str]:
    """What of the source's own words, or of its path, is in there, packed or not."""
    return find_markers(data, {word: word for word in (*WORDS.values(), "SMITH", "secret-7")})


def find_in(path: Path) -> set[str]:
    """The same of a file, or of all of a folder."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return {word for file in files for word in find_words(file.read_bytes())}


def test_a_latent_and_its_record_say_nothing_of_who(latent):
    assert find_in(latent) == set()
    assert find_words(run("inspect", latent, "--json").stdout.encode()) == set()


@pytest.mark.parametrize("ending", [".nii", ".nrrd", ".mha", ".npz", ".dcm"])
def test_a_decoded_image_says_nothing_of_who(latent, ending, tmp_path):
    run("decode", latent, "-o", tmp_path / f"out{ending}", "-q")
    assert find_in(tmp_path / f"out{ending}") == set()


def test_like_copies_patient_and_study_and_says_so(latent, study, tmp_path):
    done = run("decode", latent, "-o", tmp_path / "out.dcm", "--like", study)
    assert "--like writes who the patient is" in done.output
    assert "series' number is counted on from its" in " ".join(done.output.split())
    written = pydicom.dcmread(sorted((tmp_path / "out.dcm").iterdir())[0])
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDate",
                    "StudyDescription", "StudyInstanceUID", "FrameOfReferenceUID"):  # fmt: skip
        assert str(written[keyword].value) == WORDS[keyword]
    for keyword in ("InstitutionName", "DeviceSerialNumber", "StationName"):
        assert keyword not in written
        assert keyword not in COPIED
    assert written.SeriesNumber == NUMBER + SERIES_STEP
    assert {"InstanceCreationDate", "InstanceCreationTime"} <= {one.keyword for one in written}
    assert "the day and the time it was written" in PAGE
    assert written.SeriesInstanceUID != WORDS["SeriesInstanceUID"]
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == WORDS["SeriesInstanceUID"]
    quiet = run("decode", latent, "-o", tmp_path / "quiet.dcm", "--like", study, "-q")
    assert quiet.output == ""


def test_the_series_mark_is_what_the_page_says_and_can_be_left_out(latent, study, tmp_path):
    said = latents.read_header(latent)["provenance"]
    mark = hashlib.sha256(f"plica series {WORDS['SeriesInstanceUID']}".encode()).hexdigest()[:16]
    assert said["series"] == mark
    assert "64 bit of SHA-256 of `plica series `" in PAGE

    run("encode", study, "-o", tmp_path / "bare.latent", "-c", "identity", "--no-marks", "-q")
    bare = latents.read_header(tmp_path / "bare.latent")["provenance"]
    assert (bare["series"], bare["content"]) == ("", "")
    assert mark.encode() not in (tmp_path / "bare.latent").read_bytes()


def test_latents_without_marks_can_still_be_linked_as_the_page_says(study, tmp_path):
    for name in ("one", "two"):
        words = ("-o", tmp_path / f"{name}.latent", "-c", "linear-4x1-3d", "--no-marks", "-q")
        run("encode", study, *words)
    one, two = ((tmp_path / f"{name}.latent").read_bytes() for name in ("one", "two"))
    header = latents.read_header(tmp_path / "one.latent")

    assert one == two
    assert header["source"]["affine"] == plica.read(study).grid.affine.tolist()
    assert {"low", "high"} <= next(
        record["undo"] for record in header["trail"]["records"] if record["step"] == "window"
    ).keys()
    assert "What links even without hashes" in PAGE


def test_a_latent_with_any_identity_is_refused(latent, tmp_path):
    data = latent.read_bytes()
    head = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:head])
    record = json.loads(header["__metadata__"]["plica"])
    record["provenance"]["identity"] = {"PatientName": "Sample^Person"}
    header["__metadata__"].pop("header_sha256")
    header["__metadata__"]["plica"] = json.dumps(record)
    text = json.dumps(header).encode()
    path = tmp_path / "a.latent"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[head:])
    with pytest.raises(latents.LatentError, match="keep no identity"):
        latents.read_header(path)


def test_what_is_decoded_out_of_a_store_is_named_by_keys_made_as_it_says(study, tmp_path):
    pytest.importorskip("pyarrow")
    from plica.formats.store import Store

    store = tmp_path / "store"
    run("bulk", "encode", study.parents[1], "-o", store, "-c", "linear-4x1-3d", "-q")
    run("bulk", "decode", store, "-o", tmp_path / "decoded", "-q")
    rows = Store.open(store).rows(["key", "series"]).to_pylist()
    made = {hashlib.sha256(f"dicom {row['series']}".encode()).hexdigest()[:32] for row in rows}
    assert made == {row["key"] for row in rows}
    assert {path.name.partition(".")[0] for path in (tmp_path / "decoded").iterdir()} == made
    assert "SHA-256 of `dicom ` and the mark, its first 32 digits" in PAGE


def test_of_a_store_shards_and_index_say_nothing_of_who(study, tmp_path):
    pytest.importorskip("pyarrow")
    store = tmp_path / "store"
    run("bulk", "encode", study.parents[1], "-o", store, "-c", "linear-4x1-3d", "-q")
    clean = [store / "shards", store / "index"]
    assert all(folder.is_dir() for folder in clean)
    assert [find_in(folder) for folder in clean] == [set(), set()]
    assert "SMITH" in find_words((store / "ledger.sqlite").read_bytes())
    speaking = {
        path.relative_to(store).parts[0]
        for path in store.rglob("*") if path.is_file() and find_words(path.read_bytes())
    }  # fmt: skip
    assert {name.partition("-")[0] for name in speaking} <= {"ledger.sqlite"}, speaking


def test_the_defaults_open_no_socket(study, tmp_path):
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('a socket was opened')\n"
        "for name in ('connect', 'connect_ex', 'bind', 'sendto'):\n"
        "    setattr(socket.socket, name, refuse)\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        "from typer.testing import CliRunner\n"
        "from plica.cli.main import app\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    done = CliRunner().invoke(app, line.split('\\t'))\n"
        "    assert done.exit_code == 0, (line, done.output, done.exception)\n"
    )
    lines = [
        ("encode", study, "-o", tmp_path / "a.latent"),
        ("inspect", tmp_path / "a.latent"),
        ("decode", tmp_path / "a.latent", "-o", tmp_path / "b.nii.gz"),
        ("codecs",),
        ("card", "compact-4x3-2d"),
    ]
    asked = "\n".join("\t".join(str(word) for word in line) for line in lines)
    done = subprocess.run(
        [sys.executable, "-c", code], input=asked, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_ray_is_started_without_usage_statistics_and_dashboard():
    crew = (ROOT / "src" / "plica" / "bulk" / "crew.py").read_text(encoding="utf-8")
    assert '"RAY_USAGE_STATS_ENABLED", "0"' in crew
    assert "include_dashboard=False" in crew


def test_nothing_else_in_the_package_can_call_out():
    modules = r"requests|httpx|aiohttp|urllib\.request|http\.client|ftplib|smtplib"
    caller = re.compile(rf"^\s*(?:import|from) (?:{modules})\b", re.M)
    found = {
        path.name
        for path in (ROOT / "src").rglob("*.py")
        if caller.search(path.read_text(encoding="utf-8"))
    }
    assert found <= {"fetching.py"}
    hub = {
        path.name
        for path in (ROOT / "src").rglob("*.py")
        if re.search(r"hf_hub_download\(|HfApi\(\)", path.read_text(encoding="utf-8"))
    }
    assert hub == {"fetching.py", "export.py"}


def test_the_commands_and_options_of_the_page_are_there():
    for option, words in (("--no-marks", ("encode",)), ("--like", ("decode",)),
                          ("--check", ("inspect",)), ("--push", ("export",)),
                          ("--keep-paths", ("bulk", "encode")), ("-o", ("card",))):  # fmt: skip
        assert option in run(*words, "--help").output
        assert option in PAGE
    for name in ("SECURITY.md", "NOTICE"):
        assert (ROOT / name).is_file()
        assert name in PAGE
    assert "identity.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
