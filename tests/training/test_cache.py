"""What is kept on disk is what was prepared, or it is prepared again."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from plica.errors import InputError, OutputError
from plica.training import cache as cache_module
from plica.training.cache import Cache, default_folder, identify, open_pixels, read_facts

PIXELS = np.random.default_rng(0).uniform(-1, 1, (2, 5, 4, 3)).astype(np.float32)


class Maker:
    """Counts how often it is asked."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return PIXELS, {"shape": list(PIXELS.shape)}


@pytest.fixture
def make():
    return Maker()


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_what_is_kept_comes_back_bit_for_bit_without_being_made_again(cache, make):
    cache.fetch("a", make)
    entry = cache.fetch("a", make)

    assert make.times == 1
    assert np.array_equal(open_pixels(entry.path), PIXELS)
    assert entry.facts == {"shape": [2, 5, 4, 3]}


def test_another_image_precision_or_folder_is_another_entry(tmp_path, make):
    for identity, precision, folder in (
        ("a", "float32", "x"), ("b", "float32", "x"), ("a", "float16", "x"), ("a", "float32", "y"),
    ):  # fmt: skip
        Cache(tmp_path / folder, precision).fetch(identity, make)
    assert make.times == 4


def test_half_precision_is_near_and_half_as_large(tmp_path, make):
    entry = Cache(tmp_path, "float16").fetch("a", make)
    kept = open_pixels(entry.path)
    assert kept.dtype == np.float16
    assert np.abs(kept.astype(np.float32) - PIXELS).max() <= 2**-12


def test_kept_pixels_are_on_disk_and_cannot_be_written(cache, make):
    kept = open_pixels(cache.fetch("a", make).path)
    assert isinstance(kept.base, np.memmap) or isinstance(kept, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0, 0, 0] = 0


def flip_a_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0x40
    path.write_bytes(content)


DAMAGES = {
    "a byte of the pixels": lambda npy, _: flip_a_byte(npy, -7),
    "a byte of the header": lambda npy, _: flip_a_byte(npy, 3),
    "cut": lambda npy, _: npy.write_bytes(npy.read_bytes()[:-30]),
    "empty": lambda npy, _: npy.write_bytes(b""),
    "zeros, as after a loss of power": lambda npy, _: npy.write_bytes(bytes(npy.stat().st_size)),
    "gone": lambda npy, _: npy.unlink(),
    "no record": lambda _, record: record.unlink(),
    "half a record": lambda _, record: record.write_text(record.read_text()[:20]),
    "a record of something else": lambda _, record: record.write_text("[1]"),
    "a record without facts": lambda _, record: record.write_text(
        json.dumps({"content": json.loads(record.read_text())["content"], "facts": 1})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_entry_is_made_again(cache, make, damage):
    entry = cache.fetch("a", make)
    damage(entry.path, entry.path.with_suffix(".json"))

    again = cache.fetch("a", make)

    assert make.times == 2
    assert np.array_equal(open_pixels(again.path), PIXELS)
    assert not [file for file in cache.folder.iterdir() if file.suffix == ".part"]


def test_a_record_larger_than_any_is_not_read(cache, make, monkeypatch):
    cache.fetch("a", make)
    monkeypatch.setattr(cache_module, "_MOST_RECORD_BYTES", 10)

    cache.fetch("a", make)

    assert make.times == 2


def test_a_copied_cache_is_known_by_its_content(cache, make):
    entry = cache.fetch("a", make)
    os.utime(entry.path, ns=(1, 1))
    assert cache.fetch("a", make) == entry
    assert make.times == 1


def test_many_at_once_keep_one_whole_entry(cache, make):
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda _: cache.fetch("a", make), range(24)))
    assert all(np.array_equal(open_pixels(entry.path), PIXELS) for entry in entries)
    assert len(list(cache.folder.iterdir())) == 2


def test_an_entry_removed_while_in_use_is_named(cache, make):
    entry = cache.fetch("a", make)
    entry.path.unlink()
    with pytest.raises(InputError, match="removed or damaged while it was in use"):
        open_pixels(entry.path)
    entry.path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="removed or damaged while it was in use"):
        read_facts(entry.path)


def test_a_full_disk_is_an_output_error_and_leaves_nothing_half(cache, make, monkeypatch):
    def fill(file, *_, **__):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module.np.lib.format, "write_array", fill)
    with pytest.raises(OutputError, match=r"cannot be kept.*No space left.*another folder"):
        cache.fetch("a", make)
    assert not cache.folder.exists() or not list(cache.folder.iterdir())


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, make):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be kept"):
        Cache(tmp_path / "file" / "below").fetch("a", make)


def test_an_image_is_another_when_its_file_or_a_part_of_it_changes(tmp_path):
    header, voxels = tmp_path / "a.mhd", tmp_path / "a.raw"
    header.write_text("header")
    voxels.write_bytes(b"1234")
    first = identify(header)
    assert identify(header) == first
    voxels.write_bytes(b"12345")
    second = identify(header)
    os.utime(header, ns=(1, 1))
    assert len({first, second, identify(header), identify(voxels)}) == 4


def test_a_series_is_another_when_one_of_its_files_changes(tmp_path):
    (tmp_path / "1.dcm").write_bytes(b"1")
    first = identify(tmp_path)
    (tmp_path / "2.dcm").write_bytes(b"2")
    assert identify(tmp_path) != first
    with pytest.raises(InputError, match="none cannot be read"):
        identify(tmp_path / "none")


def test_the_cache_lies_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "plica" / "prepared"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_folder().parts[-3:] == (".cache", "plica", "prepared")
