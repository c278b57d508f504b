"""Discovery: every series once, and only changed folders looked into again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zipfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.formats.dicom_scenes import make_slice, save_all

from plica.bulk import discovery
from plica.bulk.discovery import discover, walk
from plica.bulk.ledger import STATES, Ledger
from plica.bulk.naming import name_key
from plica.bulk.reading import read_item, sign
from plica.errors import UnreadableFile
from plica.formats.dicom_series import pseudonym
from plica.formats.store_paths import LEDGER


@pytest.fixture
def ledger(tmp_path: Path):
    (tmp_path / "store").mkdir()
    with Ledger(tmp_path / "store") as found:
        yield found


def paths(ledger: Ledger, state: str = "waiting") -> list[str]:
    return [path for _, path, _ in ledger.others(state)]


def test_every_series_of_a_tree_is_found(archive: Path, ledger: Ledger):
    discover(archive, ledger)
    assert "ward0/ct0.nii" in paths(ledger)
    assert "pacs/CT_small/CT_small.dcm" in paths(ledger)
    assert "broken.nii" in paths(ledger)  # it fails by name when it is read
    assert ("notes.txt", ".txt files are no images") in list(ledger.left_out())


def test_what_is_known_is_not_looked_into_again(
    archive: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    discover(archive, ledger)
    looked = []
    before = discovery.find_in_folder
    monkeypatch.setattr(
        discovery,
        "find_in_folder",
        lambda tree, folder, files: looked.append(folder) or before(tree, folder, files),
    )
    discover(archive, ledger)
    assert looked == []
    shutil.copy(archive / "ward0" / "ct0.nii", archive / "ward1" / "new.nii")
    discover(archive, ledger)
    assert looked == [archive / "ward1"]
    assert "ward1/new.nii" in paths(ledger)


def test_what_vanished_is_gone_and_what_comes_back_waits(archive: Path, ledger: Ledger):
    discover(archive, ledger)
    kept = (archive / "ward0" / "ct0.nii").read_bytes()
    (archive / "ward0" / "ct0.nii").unlink()
    shutil.rmtree(archive / "ward1")
    discover(archive, ledger)
    gone = paths(ledger, "gone")
    assert "ward0/ct0.nii" in gone
    assert {path.split("/")[0] for path in gone} == {"ward0", "ward1"}
    (archive / "ward0" / "ct0.nii").write_bytes(kept)
    discover(archive, ledger)
    assert "ward0/ct0.nii" in paths(ledger)


def test_a_dicom_series_that_lies_in_two_places_counts_once(archive: Path, ledger: Ledger):
    shutil.copytree(archive / "pacs" / "CT_small", archive / "zz-backup" / "CT_small")
    discover(archive, ledger)
    found = {path: reason for _, path, reason in ledger.others("duplicate")}
    assert found == {
        "zz-backup/CT_small/CT_small.dcm": "the same series as pacs/CT_small/CT_small.dcm",
        # pydicom's two files are one series in two encodings
        "pacs/MR_small_bigendian/MR_small_bigendian.dcm": (
            "the same series as pacs/MR_small/MR_small.dcm"
        ),
    }
    discover(archive, ledger)
    assert ledger.count()["duplicate"] == 2


def test_an_interrupted_look_goes_on_where_it_was(
    archive: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    before, looked = discovery.find_in_folder, []

    def look(tree, folder, files):
        if len(looked) == 3:
            raise KeyboardInterrupt
        looked.append(folder)
        return before(tree, folder, files)

    monkeypatch.setattr(discovery, "find_in_folder", look)
    with pytest.raises(KeyboardInterrupt):
        discover(archive, ledger)
    first = list(looked)
    monkeypatch.setattr(
        discovery, "find_in_folder", lambda t, f, files: looked.append(f) or before(t, f, files)
    )
    discover(archive, ledger)
    assert len(looked) == len(set(looked)) > len(first)


def test_links_in_a_circle_and_hidden_folders_are_left_alone(archive: Path):
    (archive / "circle").symlink_to(archive)
    (archive / ".hidden").mkdir()
    (archive / ".hidden" / "a.nii").write_bytes(b"")
    met = {one.path.relative_to(archive).parts[:1] for one in walk(archive)}
    assert met == {(), ("ward0",), ("ward1",), ("ward2",), ("pacs",)}


def test_a_signature_changes_with_content_and_with_parts(tmp_path: Path):
    header, data = tmp_path / "a.mhd", tmp_path / "a.raw"
    header.write_text("x")
    data.write_bytes(b"12")
    before = sign(header)
    assert sign(header) == before
    os.utime(data, ns=(1, 1))
    assert sign(header) != before
    header.unlink()
    with pytest.raises(UnreadableFile, match="gone"):
        sign(header)


def test_files_below_what_became_a_file_cannot_be_read(tmp_path: Path):
    (tmp_path / "ct").write_bytes(b"12")
    with pytest.raises(UnreadableFile, match="ct cannot be read: Not a directory"):
        sign(tmp_path / "ct", ["1.dcm"])


def test_an_archive_that_is_not_there_is_said(tmp_path: Path, ledger: Ledger):
    with pytest.raises(UnreadableFile, match="no such folder"):
        discover(tmp_path / "none", ledger)


def test_several_processes_find_what_one_finds(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(discovery, "_AT_ONCE", 40)
    monkeypatch.setattr(discovery, "_WORTH_IT", 30)
    for number in range(70):
        (archive / f"more{number}").mkdir()
        shutil.copy(archive / "ward0" / "ct0.nii", archive / f"more{number}" / "a.nii")
    found = []
    for lookers in (1, 2):
        (tmp_path / f"store{lookers}").mkdir()
        with Ledger(tmp_path / f"store{lookers}") as ledger:
            discover(archive, ledger, lookers=lookers)
            found.append(list(ledger.others("waiting")))
    assert found[0] == found[1]
    assert len(found[0]) > 80


@pytest.mark.parametrize(
    ("name", "said"), [("a.zip", "is a zip: unpack it"), ("a.nii", "is a file: put it into")]
)
def test_an_archive_that_is_a_file_is_refused(tmp_path: Path, ledger: Ledger, name, said):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(UnreadableFile, match=said):
        discover(tmp_path / name, ledger)


class Entry:
    """One of a folder, which may be gone, or closed, by when it is asked."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self.name, self.path, self.entry = entry.name, entry.path, entry

    def is_dir(self, **_: object) -> bool:
        return self.entry.is_dir()

    def is_file(self) -> bool:
        return self.entry.is_file()

    def stat(self) -> os.stat_result:
        if self.name == "gone.png":
            raise FileNotFoundError(2, "No such file or directory")
        if self.name == "closed.png":
            raise PermissionError(13, "Permission denied")
        return self.entry.stat()


def test_what_goes_or_is_closed_while_it_is_looked_at_stops_nothing(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    archive = tmp_path / "tree"
    for name in ("closed.png", "gone.png", "later.nii", "sound.nii"):
        (archive / name).parent.mkdir(exist_ok=True)
        (archive / name).write_bytes(b"\x5c\x01\x00\x00" + b"\x00" * 400)
    (archive / "folder").mkdir()
    real = os.scandir

    @contextmanager
    def scandir(path: Path):
        if path.name == "folder":
            raise FileNotFoundError(2, "No such file or directory")
        with real(path) as entries:
            yield [Entry(entry) for entry in entries]

    monkeypatch.setattr("plica.bulk.discovery.os.scandir", scandir)
    monkeypatch.setattr(
        "plica.bulk.discovery.list_files",
        lambda path, names: (
            (_ for _ in ()).throw(UnreadableFile("later.nii is gone"))
            if path.name == "later.nii"
            else [(path.name, 1, 1)]
        ),
    )
    assert discover(archive, ledger)
    assert dict(ledger.left_out()) == {
        "closed.png": "Permission denied", "later.nii": "later.nii is gone",
    }  # fmt: skip
    assert ledger.count()["waiting"] == 1

    def refuse(path: Path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("plica.bulk.discovery.os.scandir", refuse)
    with pytest.raises(UnreadableFile, match="tree cannot be listed: Permission denied"):
        discover(archive, ledger)
    assert ledger.count()["waiting"] == 1


# -- DICOM in zips -------------------------------------------------------------------------------


def pack_series(folder: Path, archive: Path) -> Path:
    """Two series in a zip, which is where a patient's name would stand."""
    for uid in ("1.2.3.7", "1.2.3.8"):
        slices = [make_slice(at, SeriesInstanceUID=uid) for at in range(3)]
        save_all(slices, folder / uid)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.dcm")):
            file.write(path, path.relative_to(folder).as_posix())
    return archive


def rows_of(ledger: Ledger) -> dict[str, tuple[str, str]]:
    """Path and state of every series by its key."""
    return {key: (path, state) for state in STATES for key, path, _ in ledger.others(state)}


def test_a_series_in_a_zip_is_known_by_its_uids_wherever_it_lies(tmp_path: Path, ledger: Ledger):
    tree = tmp_path / "tree"
    first = pack_series(tree / "a", tree / "b" / "ROE_FIRST.zip")
    shutil.copy(first, tree / "b" / "ROE_SECOND.zip")
    discover(tree, ledger)
    keys = {name_key(f"dicom {pseudonym(uid)}") for uid in ("1.2.3.7", "1.2.3.8")}
    assert {key for key, (_, state) in rows_of(ledger).items() if state == "waiting"} == keys
    assert sorted(paths(ledger, "duplicate")) == ["b/ROE_FIRST.zip"] * 2 + ["b/ROE_SECOND.zip"] * 2
    shutil.rmtree(tree / "a")
    first.unlink()
    discover(tree, ledger)
    assert rows_of(ledger) == dict.fromkeys(keys, ("b/ROE_SECOND.zip", "waiting"))
    (image,) = {read_item(tree, item, max_bytes=1 << 20).grid.shape for item in items(ledger)}
    assert image[2] == 3


def items(ledger: Ledger):
    ledger.plan(most_series=10, most_bytes=1 << 30)
    return [item for task in ledger.tasks() for item in task.items]


def test_a_zip_that_holds_other_images_of_a_series_is_scattered(tmp_path: Path, ledger: Ledger):
    tree = tmp_path / "tree"
    pack_series(tmp_path / "made", tree / "all.zip")
    shutil.copytree(tmp_path / "made" / "1.2.3.7", tree / "part")
    next((tree / "part").iterdir()).unlink()
    discover(tree, ledger)
    assert sorted(paths(ledger, "scattered")) == ["all.zip", "part"]
    assert paths(ledger) == ["all.zip"]


def make_old(ledger: Ledger, store: Path, state: str) -> dict[str, str]:
    """What an earlier version left: keys of series in zips made of path and mark."""
    old = {}
    with closing(sqlite3.connect(store / LEDGER)) as db, db:
        found = db.execute("SELECT key, path, part FROM series WHERE path LIKE '%.zip'").fetchall()
        for key, path, part in found:
            old[key] = name_key(f"file {path} {part}")
            db.execute(
                "UPDATE series SET key = ?, instances = '', state = ? WHERE key = ?",
                (old[key], state, key),
            )
    return old


@pytest.mark.parametrize("resaved", [False, True])
def test_a_store_with_keys_of_zips_names_goes_on_with_them(
    tmp_path: Path, ledger: Ledger, resaved: bool
):
    archive = pack_series(tmp_path / "made", tmp_path / "tree" / "ROE.zip")
    discover(archive.parent, ledger)
    old = make_old(ledger, tmp_path / "store", "done")
    assert len(old) == 2
    (archive.parent / "new.txt").write_text("so that the folder is looked into again")
    if resaved:
        os.utime(archive, (1, 1))
    discover(archive.parent, ledger)
    assert rows_of(ledger) == dict.fromkeys(old.values(), ("ROE.zip", "done"))
    assert (ledger.count_deleted(), ledger.count_changed()) == (0, 2 * resaved)


@pytest.mark.parametrize("state", ["failed", "waiting", "gone"])
def test_what_has_no_latent_yet_is_known_by_its_uids_from_then_on(
    tmp_path: Path, ledger: Ledger, state: str
):
    archive = pack_series(tmp_path / "made", tmp_path / "tree" / "ROE.zip")
    discover(archive.parent, ledger)
    old = make_old(ledger, tmp_path / "store", state)
    (archive.parent / "new.txt").write_text("so that the folder is looked into again")
    discover(archive.parent, ledger)
    assert rows_of(ledger) == dict.fromkeys(old, ("ROE.zip", "waiting"))
    assert {item.key for item in items(ledger)} == set(old)
