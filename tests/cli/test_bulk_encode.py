"""What plica bulk encode and status say of a run, and of what is left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tests.bulk.conftest import CODEC
from tests.bulk.test_mishaps import make_volume
from tests.formats.dicom_scenes import make_slice, save
from typer.testing import CliRunner, Result

from plica.bulk import worker
from plica.bulk.engine import Ran
from plica.bulk.ledger import STATES, STAYS
from plica.bulk.lock import hold
from plica.cli import bulk_encode, bulk_status, console
from plica.cli.bulk_watch import watch
from plica.cli.main import app
from plica.errors import SettingsError, TooLarge

N = 5


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["bulk", *map(str, words)])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for number in range(N):
        make_volume(tmp_path / "archive" / f"{number}.nii", 16 + number)
    return tmp_path / "archive"


def encode(archive: Path, *words: object) -> Result:
    return call("encode", archive, "-o", archive.parent / "store", "-c", CODEC, *words)


def write_series(path: Path, volumes: int) -> None:
    """A NIfTI file of several volumes."""
    nibabel = pytest.importorskip("nibabel")
    pixels = np.zeros((8, 8, 4, volumes), np.float32)
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), path)


def status(archive: Path, *words: object) -> Result:
    return call("status", archive.parent / "store", *words)


def plain(text: str) -> str:
    return " ".join(text.split())


def change_one_and_lose_another(archive: Path) -> None:
    (archive / "0.nii").unlink()
    (archive / "1.nii").unlink()
    make_volume(archive / "0.nii", 40)


def test_what_shares_no_shard_with_what_is_gone_is_renewed_as_is_said(archive: Path):
    encode(archive, "--shard-series", 1)
    change_one_and_lose_another(archive)

    said = plain(encode(archive, "--shard-series", 1).stderr)

    assert "of 1 series files have another size or time now" in said
    assert "--renew encodes their shards again" in said
    assert "--renew` encodes shards with changed series again" in plain(status(archive).stderr)
    renewed = encode(archive, "--shard-series", 1, "--renew")
    assert renewed.exit_code == 0
    assert "have changed" not in renewed.stderr
    assert json.loads(status(archive, "--json").stdout)["changed"] == 0


def test_what_shares_a_shard_with_what_is_gone_is_not_said_to_be_renewable(archive: Path):
    encode(archive)
    change_one_and_lose_another(archive)

    for words in ((), ("--renew",)):
        said = plain(encode(archive, *words).stderr)
        assert "of 1 series files have another size or time now, and latents stay" in said
        assert "--renew" not in said

    assert "--renew" not in plain(status(archive).stderr)
    listed = json.loads(status(archive, "--json").stdout)
    assert (listed["changed"], listed["renewable"], listed["deleted"]) == (1, 0, 1)
    assert STAYS in {one["reason"] for one in listed["stale"]}


def test_what_could_not_be_renewed_is_an_error_with_its_name(archive: Path):
    encode(archive)
    (archive / "0.nii").write_bytes(b"\x5c\x01\x00\x00" + b"\x00" * 400)

    said = encode(archive, "--renew")

    assert said.exit_code == 1
    assert "0.nii: its latent stays as it was: " in plain(said.stderr)
    record = json.loads(encode(archive, "--renew", "--json").stdout)
    assert [one["path"] for one in record["kept"]] == ["0.nii"]
    assert record["done"] == N


def test_a_run_in_which_all_failed_has_no_pace_and_adds_no_shard(archive: Path):
    encode(archive)
    before = json.loads(status(archive, "--json").stdout)
    (archive / "new.nii").write_bytes(b"\x5c\x01\x00\x00" + b"\x00" * 400)

    said = plain(encode(archive).stdout)

    assert "series encoded 0" in said
    assert "a second" not in said
    after = json.loads(status(archive, "--json").stdout)
    shards = list((archive.parent / "store" / "shards").iterdir())
    assert after["shards"] == before["shards"] == len(shards)
    assert (after["failed"], after["series_a_second"]) == (1, 0)


def test_of_many_failures_the_first_are_named_and_the_others_counted(archive: Path, monkeypatch):
    monkeypatch.setattr(bulk_encode, "_SHOWN", 1)
    encode(archive)
    for number in range(3):
        (archive / f"{number}.nii").write_bytes(b"\x5c\x01\x00\x00" + b"\x00" * 400)
        (archive / f"new{number}.nii").write_bytes(b"\x5c\x01\x00\x00" + b"\x00" * 400)

    said = plain(encode(archive, "--renew").stderr)

    assert said.count("its latent stays as it was") == 1
    assert "note: 2 more could not be encoded again: --json lists them" in said
    assert f"2 more failed: `plica bulk status {archive.parent / 'store'}` lists them" in said


def test_files_that_are_no_images_are_counted_in_words(archive: Path):
    for count, words in ((1, "1 file is no image: "), (2, "2 files are no images: ")):
        (archive / f"notes{count}.txt").write_text("no image")
        command = f"`plica bulk status {archive.parent / 'store'} --left-out`"
        assert f"note: {words}{command}" in plain(encode(archive).stderr)


def test_what_a_limit_left_is_foretold_to_machines_too(archive: Path):
    limited = json.loads(encode(archive, "--limit", 2, "--json").stdout)
    assert limited["remaining"]["series"] == N - 2
    assert limited["remaining"]["seconds"] > 0
    each = limited["run"]["shard_bytes"] / 2
    assert limited["remaining"]["bytes"] == pytest.approx(3 * each, abs=1)
    more = plain(encode(archive, "--limit", 1).stderr)
    assert "2 series wait, and the same command without --limit encodes them: about" in more
    assert json.loads(encode(archive, "--json").stdout)["remaining"] is None


@pytest.mark.parametrize("words", [(), ("--keep-paths",)])
def test_where_paths_are_is_said_at_the_end_and_asked_again(archive: Path, words):
    said = plain(encode(archive, *words).output)
    assert ("leave it behind when you pass the store on" in said) == (not words)
    assert ("index/ and ledger.sqlite hold the images' paths (--keep-paths)" in said) == bool(words)
    checked = plain(call("verify", archive.parent / "store", "--decode", 0).output)
    assert ("the index holds the images' paths" in checked) == bool(words)


def test_text_that_is_burnt_in_is_counted_at_the_end_and_listed_when_asked(tmp_path: Path):
    for number, said in enumerate(("YES", "NO")):
        save(make_slice(SeriesInstanceUID=f"1.2.{number}", BurnedInAnnotation=said),
             tmp_path / "archive" / said / "a.dcm")  # fmt: skip
    done = plain(encode(tmp_path / "archive").output)
    assert "1 of the series encoded now say that text is burnt into their pixels" in done
    record = json.loads(status(tmp_path / "archive", "--burned-in", "--json").stdout)
    assert [Path(one["path"]).parts[0] for one in record["burned_in"]] == ["YES"]
    listed = plain(status(tmp_path / "archive", "--burned-in").output)
    assert record["burned_in"][0]["key"][:8] in listed
    assert "Text burnt in, as 1 file says" in listed
    assert "burned_in" not in json.loads(status(tmp_path / "archive", "--json").stdout)


def test_cards_for_one_worker_of_this_process_are_refused(archive: Path):
    refused = encode(archive, "--gpus", 1)
    assert isinstance(refused.exception, SettingsError)
    assert "--device cuda" in str(refused.exception)
    assert not (archive.parent / "store").exists()


def test_a_kind_of_latent_that_is_none_is_refused(archive: Path):
    refused = encode(archive, "--latent", "mena")
    assert isinstance(refused.exception, SettingsError)
    assert "--latent takes" in str(refused.exception)


def test_workers_of_one_machine_share_what_one_would_take(archive: Path, monkeypatch):
    monkeypatch.setattr(bulk_encode, "choose_memory", lambda _: 3 << 28)
    refused = encode(archive, "--workers", 3)
    assert isinstance(refused.exception, TooLarge)
    assert "and has 256M: say --memory" in str(refused.exception)
    assert "or fewer than 3 --workers" in str(refused.exception)


def test_status_names_who_works_on_a_store_and_how_many_more_are_stale(archive: Path, monkeypatch):
    encode(archive)
    for file in archive.iterdir():
        file.unlink()
    make_volume(archive / "other.nii")
    encode(archive)
    monkeypatch.setattr(bulk_status, "SHOWN", 2)
    with hold(archive.parent / "store"):
        said = status(archive)
    assert f"being worked on by process {os.getpid()} on " in plain(said.stderr)
    assert f"{N - 2} more" in said.stdout
    assert "deleted since" in said.stdout


@pytest.mark.parametrize("words", [(), ("--quiet",)])
def test_a_sound_store_is_verified_without_a_word_where_that_is_asked(archive: Path, words):
    encode(archive, "--quiet")
    said = call("verify", archive.parent / "store", "--decode", 1, *words)
    assert said.exit_code == 0
    assert ("1 shard, 5 series: as written" in said.stderr) is not bool(words)


def test_an_archive_without_an_image_is_an_error_to_machines_too(tmp_path: Path):
    (tmp_path / "archive").mkdir()
    said = encode(tmp_path / "archive", "--json")
    assert said.exit_code == 1
    assert json.loads(said.stdout)["error"].startswith("the archive holds no image")


@pytest.mark.parametrize("wrong", ["empty", "text", "file", "deep/empty"])
def test_a_wrong_archive_leaves_no_store_behind(archive: Path, wrong: str):
    folder = archive.parent / wrong
    if wrong == "file":
        folder.write_text("no folder")
    else:
        folder.mkdir(parents=True)
    if wrong == "text":
        (folder / "notes.txt").write_text("no image")
    store = archive.parent / "store"
    said = call("encode", folder, "-o", store, "-c", CODEC)
    assert said.exit_code == 1
    assert not store.exists()
    assert ("1 file is left out: notes.txt: " in plain(said.stderr)) == (wrong == "text")
    assert "--left-out" not in said.stderr  # of which store?
    assert encode(archive).exit_code == 0  # the corrected command


def test_a_store_that_was_there_stays_and_so_does_a_folder(archive: Path):
    (archive.parent / "empty").mkdir()
    store = archive.parent / "store"
    store.mkdir()
    call("encode", archive.parent / "empty", "-o", store, "-c", CODEC)
    assert list(store.iterdir()) == []
    encode(archive)
    for file in archive.iterdir():
        file.unlink()
    encode(archive)
    assert json.loads(status(archive, "--json").stdout)["done"] == N
    (archive.parent / "own").mkdir()
    (archive.parent / "own" / "ledger.sqlite").write_text("mine")
    refused = call("encode", archive, "-o", archive.parent / "own", "-c", CODEC)
    assert "not empty" in str(refused.exception)
    assert [one.name for one in (archive.parent / "own").iterdir()] == ["ledger.sqlite"]


def test_a_store_given_as_the_archive_is_called_so(archive: Path):
    encode(archive)
    refused = call("encode", archive.parent / "store", "-o", archive.parent / "new", "-c", CODEC)
    assert isinstance(refused.exception, SettingsError)
    assert "is a store of latents and holds no image" in str(refused.exception)
    assert not (archive.parent / "new").exists()


def test_a_file_that_asks_for_an_option_bulk_lacks_is_told_a_way_that_there_is(archive: Path):
    np.save(archive / "bare.npy", np.zeros((8, 8, 4), np.float32))
    write_series(archive / "several.nii", 3)
    told = {
        "bare.npy": ("--spacing i,j,k", "plica encode SOURCE --spacing …`, or save it as .npz or"),
        "several.nii": ("--volume 0 to", "plica encode SOURCE --volume …`, or save its volumes as"),
    }
    ran, asked = encode(archive), status(archive)
    for path, words in told.items():
        assert all(word in plain(ran.stderr) for word in words)
        for records in (encode(archive, "--json"), status(archive, "--json")):
            [one] = [f for f in json.loads(records.stdout)["failures"] if f["path"] == path]
            assert all(word in one["reason"] for word in words)
            assert "spacing_mm" not in one["reason"]
            assert "volume=" not in one["reason"]
    assert "spacing_mm" not in asked.stdout
    alone = CliRunner().invoke(app, [
        "encode", str(archive / "bare.npy"), "-o", str(archive.parent / "a.latent"), "-c", CODEC,
        "--spacing", "1,1,2"])  # fmt: skip
    assert alone.exit_code == 0  # the way that is named


def test_the_codec_is_loaded_once(archive: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(worker, "load_codec")  # the command has its own name for it
    assert encode(archive).exit_code == 0


@pytest.mark.parametrize("place", ["encode_archive", "_report"])
def test_who_stops_it_at_once_is_told_even_quietly(archive: Path, place: str, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk_encode, place, stop)
    said = encode(archive, "--quiet")
    assert said.exit_code == 130
    assert plain(said.stderr).startswith("error: stopped at once; what is in the store stays")


def test_the_time_left_of_a_resumed_run_is_told_by_this_run_alone():
    bar = console.progress(quiet=True, each=bulk_encode.LINE_OF_HOURS)
    clock = [0.0]
    bar.get_time = lambda: clock[0]
    watcher = watch(bar, None, silent=True)
    watcher.planned(1000, 9000)
    for clock[0], through in ((3.0, 1), (57.0, 10)):
        watcher.through(through, 100)
    [left] = [one for one in bar.columns if isinstance(one, console._Left)]
    assert str(left.render(bar.tasks[0])) == "1 h 39 min left"  # 990 of 6 s each
    assert bar.tasks[0].completed == 9010


def test_the_table_says_where_all_of_the_time_went():
    ran = Ran(done=10, wall=51.1, looked=2.0, started=53.0)
    rows = dict(bulk_encode._rows(ran, dict.fromkeys(STATES, 0), 132.0))
    assert rows["starting workers"] == "53.0 s"
    assert rows["encoding"].startswith("51.1 s")
    assert rows["in all, with loading"] == "132.0 s"
    none = dict(bulk_encode._rows(Ran(wall=51.1), dict.fromkeys(STATES, 0), 52.0))
    assert none["encoding"] == "51.1 s"  # it was stopped before the first image
    own = dict(bulk_encode._rows(Ran(done=10, wall=51.1), dict.fromkeys(STATES, 0), 52.0))
    assert own["starting workers"] == ""  # and is left out


def test_marks_cannot_be_left_out_and_it_is_said_how_they_are(archive: Path) -> None:
    done = encode(archive, "--no-marks")
    assert isinstance(done.exception, SettingsError)
    assert "plica encode FOLDER -o LATENTS --no-marks" in str(done.exception)
    assert "docs/stores.md" in str(done.exception)
    assert not (archive.parent / "store").exists()
    assert "--no-marks" not in call("encode", "--help").output
