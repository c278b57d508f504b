import stat
from pathlib import Path

import pytest

from plica.errors import OutputError
from plica.formats.atomic import new_file, new_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_complete(tmp_path):
    with new_file(tmp_path / "a.txt") as file:
        file.write(b"whole")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_bytes() == b"whole"
    assert names(tmp_path) == ["a.txt"]


def test_a_failure_leaves_nothing_and_what_was_there(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "a.txt", overwrite=True) as file:
        file.write(b"half" * (1 // 0))
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failure_takes_the_folders_made_for_it_away_again(tmp_path):
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "x" / "y" / "a.txt"):
        raise ZeroDivisionError
    assert names(tmp_path) == []
    with new_file(tmp_path / "x" / "y" / "a.txt") as file:
        file.write(b"whole")
    assert (tmp_path / "x" / "y" / "a.txt").is_file()


def test_a_file_has_the_permissions_any_new_file_has(tmp_path):
    with new_file(tmp_path / "a.txt"):
        pass
    (tmp_path / "b.txt").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")}
    assert len(modes) == 1


def test_what_exists_is_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(OutputError, match="overwrite=True"), new_file(tmp_path / "a.txt"):
        pass
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").touch()
    with pytest.raises(OutputError, match="overwrite=True"), new_folder(tmp_path / "b"):
        pass
    for overwrite in (False, True):
        with pytest.raises(OutputError), new_file(tmp_path / "b", overwrite=overwrite):
            pass
        with pytest.raises(OutputError), new_folder(tmp_path / "a.txt", overwrite=overwrite):
            pass


def test_a_folder_cannot_be_made_below_a_file(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(OutputError, match="cannot be made"), new_file(tmp_path / "a.txt" / "b"):
        pass


def test_a_folder_appears_when_it_is_complete_and_replaces_a_whole_one(tmp_path):
    with new_folder(tmp_path / "a") as part:
        (part / "one").touch()
        assert not (tmp_path / "a").exists()
    assert names(tmp_path / "a") == ["one"]
    with new_folder(tmp_path / "a", overwrite=True) as part:
        (part / "two").touch()
    assert names(tmp_path / "a") == ["two"]
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a", overwrite=True):
        raise ZeroDivisionError
    assert names(tmp_path / "a") == ["two"]
    assert names(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_replaced_comes_back(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").touch()
    with (
        pytest.raises(OutputError, match="a cannot be written"),
        new_folder(tmp_path / "a", overwrite=True) as part,
    ):
        part.rmdir()
    assert names(tmp_path / "a") == ["one"]
    assert names(tmp_path) == ["a"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "a").mkdir()
    with new_folder(tmp_path / "a") as part:
        (part / "one").touch()
    assert names(tmp_path / "a") == ["one"]


def test_a_folder_that_cannot_be_written_is_said_by_the_name_that_was_given(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    said = r"a\.txt cannot be written: Read-only"
    with pytest.raises(OutputError, match=said), new_file(tmp_path / "a.txt"):
        pass
