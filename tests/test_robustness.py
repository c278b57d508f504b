"""A small share of the sweep, and that what sorts outcomes would see a fault if there were one."""

import base64
import gzip
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

if not hasattr(os, "fork"):
    pytest.skip("cases are forks: POSIX alone", allow_module_level=True)

from robustness import cases, identity, markers, places, reading_back, samples, strangers, writers
from robustness.cases import Case
from robustness.damage import Damage, draw
from robustness.interruptions import contents, judge_cut
from robustness.outcomes import (
    CRASHED,
    DONE,
    FAULTS,
    GREEDY,
    HUNG,
    LEFTOVER,
    NOTED,
    REFUSED,
    SILENT,
    UNTELLABLE,
    UNTRIED,
    VAGUE,
    Seen,
    classify,
)
from robustness.writers import Writer

import plica
from plica.cli.main import app

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # beside threads
ROOT = Path(__file__).resolve().parent.parent


# -- what sorts and what damages -------------------------------------------------------------------

TRACEBACK = "Traceback (most recent call last):\n  …\nKeyError: 'a'"
NAMED = "error: a.nii is truncated; get it again"


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (Seen(0), DONE),
        (Seen(0, stderr="note: one slice was left out"), NOTED),
        (Seen(0, wrong="nothing was written"), SILENT),
        (Seen(0, changed=True), SILENT),
        (Seen(1, stderr=NAMED), REFUSED),
        (Seen(1, stderr="error: something is truncated; get it again"), VAGUE),
        (Seen(1, stderr="error: a header is truncated; get a new one"), VAGUE),
        (Seen(1, stderr="error: aa.nii is truncated; get it again"), VAGUE),
        (Seen(1, stderr="error: a.niib is truncated; get it again"), VAGUE),
        (Seen(1, stderr="error: in/a.n\n  ii is truncated; get it again"), REFUSED),  # folded
        (Seen(1, stderr="error: [Errno 28] No space left: 'a.nii.part'"), VAGUE),
        (Seen(1, stderr="error: a.nii"), VAGUE),
        (Seen(1, stderr=f"error: a.nii {TRACEBACK}"), REFUSED),  # quoted within a line …
        (Seen(1, stderr=f"a.nii\n{TRACEBACK}"), CRASHED),  # … and a line of its own
        (Seen(1, stderr="error: a.nii: KeyError"), CRASHED),
        (Seen(-11), CRASHED),
        (Seen(70, stderr=NAMED), CRASHED),
        (Seen(None), HUNG),
        (Seen(1, stderr=NAMED, left=("a.part",)), LEFTOVER),
        (Seen(1, stderr=NAMED, peak=2 << 30), GREEDY),
    ],
)
def test_every_outcome_has_its_class(seen, kind):
    assert classify(seen, names=("a.nii",), most=1 << 30)[0] == kind


def test_other_values_are_no_fault_where_no_checksum_could_tell():
    assert classify(Seen(0, changed=True), checksum=False)[0] == UNTELLABLE


def test_damage_is_the_same_for_the_same_seed_and_does_what_it_says():
    whole = bytes(range(256)) * 8
    drawn = list(draw(len(whole), cuts=6, flips=8, seed="a"))
    assert drawn == list(draw(len(whole), cuts=6, flips=8, seed="a"))
    assert drawn != list(draw(len(whole), cuts=6, flips=8, seed="b"))
    cut = [one for one in drawn if one.kind == "cut"]
    assert {0, len(whole) - 1} <= {len(one.apply(whole)) for one in cut}
    for one in set(drawn) - set(cut):
        damaged = np.unpackbits(np.frombuffer(one.apply(whole), np.uint8))
        assert np.sum(damaged != np.unpackbits(np.frombuffer(whole, np.uint8))) == 1


def test_a_planted_silent_outcome_is_seen(tmp_path):
    """Exit code 0, and nothing there; or other values, and no word: the sweep has to say so."""
    case = Case("t", "card", "k", "a", ("card", cases.CODEC), outputs=("out/*.latent",))
    assert cases.run(case, tmp_path / "nothing")["class"] == SILENT

    plica.write(samples.make_image(), tmp_path / "a.nii")
    use = samples.Use("inspect", ("inspect", f"{samples.PLACE}/a.nii"))
    plain = samples.Sample("NIfTI", tmp_path / "a.nii", (use,))
    ((_, undamaged),) = cases.undamaged([plain])
    plain.wholes["inspect"] = cases.run(undamaged, tmp_path / "whole")["digest"]
    moved = Case("t", "inspect", "k", "a", use.words, whole=plain.wholes["inspect"],
                 prepare=plain.preparing(Damage("flip", 8 * 295)))  # fmt: skip
    assert cases.run(moved, tmp_path / "told")["class"] == SILENT
    assert cases.run(replace(moved, checksum=False), tmp_path / "plain")["class"] == UNTELLABLE


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), CRASHED),
        (lambda: time.sleep(60), HUNG),
        (lambda: Path("out/.a.latent.0123.part").write_bytes(b"half"), LEFTOVER),
        (lambda: Path("canary").write_bytes(b""), CRASHED),
        (lambda: _plant_outside(".."), CRASHED),
        (lambda: _plant_outside("../.."), CRASHED),
        (lambda: _plant_outside(tempfile.gettempdir()), CRASHED),
        pytest.param(lambda: np.ones(400 << 20, np.uint8).sum(), GREEDY,
                     marks=pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")),
    ],
)  # fmt: skip
def test_planted_faults_are_seen(tmp_path, plant, kind):
    most = 1 << 40 if kind != GREEDY else 350 << 20
    case = Case(
        "t",
        "card",
        "k",
        "a",
        ("card", cases.CODEC),
        before=plant,
        limit_s=3 if kind == HUNG else 60,
        most=most,
        prepare=lambda room: (room / "out").mkdir(),
    )
    assert cases.run(case, tmp_path / "a")["class"] == kind


def _plant_outside(folder):
    """As an archive would whose members have paths that lead out of it."""
    (Path(folder) / cases.name_canary(Path.cwd())).write_bytes(b"")


def test_what_is_there_before_a_case_is_not_counted_as_its_memory(tmp_path):
    held = np.ones(300 << 20, np.uint8)
    case = Case("t", "card", "k", "a", ("card", cases.CODEC))
    assert cases.run(case, tmp_path / "a")["peak_bytes"] < held.nbytes


def test_a_gift_that_climbs_out_of_its_archive_is_looked_for_where_it_would_land(tmp_path):
    room = tmp_path / "above" / "room"
    room.mkdir(parents=True)
    strangers.put_zip_outside(room)
    (packed,) = (room / samples.PLACE).iterdir()
    with zipfile.ZipFile(packed) as archive:
        for name in archive.namelist():
            target = packed.parent / name
            target.write_bytes(b"")
            assert cases.find_canaries(room, tmp_path / "kept"), name
            assert not target.exists()


# -- what was written, read back ------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    """Whole files, each of which something reads."""
    image = samples.make_image()
    for name in ("a.nii", "a.npz", "a.dcm", "a.latent"):
        made = plica.load(cases.CODEC).encode(image) if name.endswith(".latent") else image
        plica.write(made, tmp_path / name)
    if (tmp_path / "a.dcm").is_dir():
        next((tmp_path / "a.dcm").iterdir()).rename(tmp_path / "slice.dcm")
        shutil.rmtree(tmp_path / "a.dcm")
    (tmp_path / "a.json").write_text(json.dumps({"a": [1, 2]}))
    (tmp_path / "a.html").write_text("<html></html>")
    safetensors.numpy.save_file({"a": np.zeros((4, 4))}, tmp_path / "a.safetensors")
    with sqlite3.connect(tmp_path / "a.sqlite") as base:
        base.execute("CREATE TABLE a (b)")
        base.executemany("INSERT INTO a VALUES (?)", [("x" * 100,)] * 200)
    base.close()
    return tmp_path


def test_what_is_whole_is_read_and_what_is_cut_is_said(written):
    files = sorted(written.iterdir())
    assert len(files) == 8
    assert reading_back.find_unmatched(written, ["*"]) == ""
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert reading_back.find_unmatched(written, ["*"]).startswith(path.name)
        path.write_bytes(whole)


def test_every_pattern_has_to_match(written):
    assert "*.tif" in reading_back.find_unmatched(written, ["*.nii", "*.tif"])


def test_a_store_is_whole_when_its_shards_are(tmp_path):
    pytest.importorskip("pyarrow")
    plica.write(samples.make_image(), tmp_path / "images" / "a.nii")
    done = CliRunner().invoke(app, ["bulk", "encode", str(tmp_path / "images"), "-o",
                                    str(tmp_path / "store"), "-c", cases.CODEC, "-q"])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert reading_back.find_unmatched(tmp_path, ["store"]) == ""
    (shard,) = (tmp_path / "store" / "shards").iterdir()
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert shard.stem in reading_back.find_unmatched(tmp_path, ["store"])


# -- what was stopped, and where nothing can be tried ---------------------------------------------


def test_what_can_go_on_has_something_to_be_compared_by(tmp_path):
    with pytest.raises(ValueError, match="nothing of it is compared"):
        Writer("a", ("a",), ("*",), ("--resume",))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "report.json").write_text("{}")
    one = contents(writers.BY_NAME["evaluate distribution"], tmp_path)
    (tmp_path / "d" / "report.json").write_text('{"value": 1}')
    assert one != contents(writers.BY_NAME["evaluate distribution"], tmp_path) != {}


@pytest.mark.parametrize(
    ("seen", "number", "kind"),
    [
        (Seen(0), signal.SIGINT, UNTRIED),
        (Seen(0), signal.SIGKILL, UNTRIED),
        (Seen(-9), signal.SIGKILL, ""),
        (Seen(1, stderr=f"a\n{TRACEBACK}"), signal.SIGKILL, CRASHED),
        (Seen(1, stderr=NAMED), signal.SIGKILL, CRASHED),
        (Seen(130, stderr="error: stopped by the keyboard"), signal.SIGINT, ""),
        (Seen(1, stderr=f"a\n{TRACEBACK}"), signal.SIGTERM, CRASHED),
    ],
)
def test_an_interruption_that_never_happened_is_none(seen, number, kind):
    assert judge_cut(seen, number, [], "")[0] == kind
    assert judge_cut(seen, number, [], "a: is cut")[0] == LEFTOVER


def test_places_that_cannot_be_made_are_told_of(monkeypatch):
    monkeypatch.setattr(places, "_can_mount", lambda: False)
    told = list(places.untried())
    assert {one["kind"] for one in told} >= {"a read-only folder", "a disk with 0 KiB left"}
    assert {(one["class"], one["why"]) for one in told} == {(UNTRIED, "needs the right to mount")}
    assert not {one.kind for one in places.all_cases(ROOT)} & {one["kind"] for one in told}


# -- a share of the sweep --------------------------------------------------------------------------

SHARE = ("--only", "damage", "strangers", "places", "identity", "--cuts", "1", "--flips", "1",
         "--every", "13", "--jobs", "1")  # fmt: skip


@pytest.fixture(scope="module")
def share(once):
    """Outcomes by table, of a process of its own: what this one did before cannot disturb it."""

    def sweep(folder):
        line = [sys.executable, "-m", "robustness", *SHARE, "--json", str(folder / "outcomes.json")]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (folder / "outcomes.json").is_file(), done.stderr[-2000:]

    found = {}
    for one in json.loads((once("share", sweep) / "outcomes.json").read_text())["outcomes"]:
        found.setdefault(one["table"], []).append(one)
    return found


@pytest.mark.parametrize(
    "table",
    ["undamaged", "damage: cut", "damage: flip", "strangers", "places", "identity"],
)
def test_a_share_of_the_sweep_has_no_fault(share, table):
    assert [(one["class"], one["words"], one["about"], one["why"])
            for one in share[table] if one["class"] in FAULTS] == []  # fmt: skip


def test_the_share_is_one_and_damage_is_refused(share):
    assert sum(map(len, share.values())) > 35
    assert {one["class"] for one in share["damage: cut"]} == {REFUSED}
    asked = [one for one in share["identity"] if one["kind"] == "asked"]
    assert all("PatientID" in one["markers"] for one in asked)


def test_of_a_damaged_store_to_find_nothing_is_silent(tmp_path):
    """bulk verify writes nothing to compare: exit code 0 itself is wrong where it is to find."""
    case = Case("t", "card", "k", "a", ("card", cases.CODEC), finds=True)
    assert cases.run(case, tmp_path / "told")["class"] == SILENT
    assert cases.run(replace(case, checksum=False), tmp_path / "plain")["class"] == UNTELLABLE


# -- identity --------------------------------------------------------------------------------------


PACKED = {
    "plain": lambda value: value.encode(),
    "UTF-16": lambda value: value.encode("utf-16-le"),
    "UTF-32": lambda value: value.encode("utf-32-le"),
    "Latin-1": lambda value: value.encode("latin-1"),
    **{f"base64, {n} late": lambda value, n=n: base64.b64encode(b"ab"[:n] + value.encode() + b"!")
       for n in range(3)},
}  # fmt: skip
NAMED_PLACE = markers.PERSON["InstitutionName"]


@pytest.mark.parametrize("spelt", PACKED)
def test_markers_are_found_however_they_are_spelt(spelt):
    assert markers.find_markers(b"..." + PACKED[spelt](NAMED_PLACE), {"name": NAMED_PLACE})
    assert not markers.find_markers(b"..." + PACKED[spelt]("Nobody's house"), {"name": NAMED_PLACE})


def pack_png(value):
    texts = PngInfo()
    texts.add_text("Comment", value, zip=True)
    Pillow.new("L", (2, 2)).save(file := io.BytesIO(), format="png", pnginfo=texts)
    return file.getvalue()


def pack_parquet(value):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(
        pyarrow.table({"a": [f"{n**5} {value} {n**7}" for n in range(300)]}),
        file := io.BytesIO(),
        compression="zstd",
        write_statistics=False,
    )
    return file.getvalue()


def pack_zip(value):
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.gz", gzip.compress(value.encode()))
    return file.getvalue()


def pack_npz(value):
    np.savez_compressed(file := io.BytesIO(), texts=np.array([value]))
    return file.getvalue()


def pack_page(value):
    return b"<img src='data:image/png;base64," + base64.b64encode(pack_png(value)) + b"'>"


@pytest.mark.parametrize("pack", [pack_png, pack_parquet, pack_zip, pack_npz, pack_page])
def test_markers_are_found_in_what_is_packed(pack):
    wanted = {"name": "Saffronnarwhal"}
    data = pack("of Saffronnarwhal.")
    assert b"saffronnarwhal" not in data.lower()
    assert markers.find_markers(data, wanted)
    assert not markers.find_markers(pack("of nobody."), wanted)


def test_of_a_name_each_part_is_looked_for_and_of_a_path_nothing(tmp_path):
    folder = tmp_path / "PID5550173886"
    folder.mkdir()
    slice_ = Path(get_testdata_file("CT_small.dcm", download=False))
    markers.mark_dicom(slice_, folder / "a.dcm", 0)
    markers.mark_dicom(slice_, folder / "b.dcm", 1)
    found = identity.values_of_all(sorted(folder.iterdir()))
    assert {"Zyxwvutova", "Qponmlia", "Kryptonspital Müßigheim"} <= set(found.values())
    assert "PID5550173886" not in found.values()
    assert len(set(found.values())) == len(found)


def test_what_is_written_into_a_files_name_is_seen(tmp_path):
    slice_ = Path(get_testdata_file("CT_small.dcm", download=False))
    markers.mark_dicom(slice_, tmp_path / "a.dcm", 0)
    case = Case("t", "card", "k", "a", ("card", cases.CODEC), secrets=tmp_path / "a.dcm",
                before=lambda: Path("of-Zyxwvutova.txt").write_bytes(b""))  # fmt: skip
    told = cases.run(case, tmp_path / "room")
    assert (told["class"], told["why"]) == (SILENT, "of the patient: PatientName (1) of a.dcm")
    assert cases.run(replace(case, before=None), tmp_path / "plain")["class"] == DONE
