import errno
import os
from collections import namedtuple
from contextlib import closing

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plica.errors import OutputError
from plica.networks import maps
from plica.networks.maps import HeldMap, ScratchMap, check_room
from plica.networks.pieces import lengths, whole

DTYPES = [torch.float32, torch.bfloat16, torch.float64]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(params=["memory", "scratch"])
def make(request, tmp_path):
    made = []

    def make(channels, sides, dtype=torch.float32):
        one = (
            HeldMap(channels, sides, dtype)
            if request.param == "memory"
            else ScratchMap(channels, sides, dtype, tmp_path)
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def fill(one, sides, dtype=torch.float32):
    values = torch.arange(one.channels * torch.Size(sides).numel()).reshape(1, -1, *sides).to(dtype)
    one.write(whole(sides), values)
    return values


BOXES = [
    (slice(0, 5), slice(0, 4), slice(0, 6)),
    (slice(1, 3), slice(0, 4), slice(0, 6)),
    (slice(1, 3), slice(1, 3), slice(0, 6)),
    (slice(4, 5), slice(2, 4), slice(3, 5)),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("box", BOXES, ids=str)
def test_boxes_come_back_as_they_were_laid(make, box, dtype):
    one = make(3, (5, 4, 6), dtype)
    values = fill(one, (5, 4, 6), dtype)
    part = (slice(None), slice(None), *box)
    assert torch.equal(one.read(box), values[part])
    one.write(box, -values[part])
    values[part] *= -1
    assert torch.equal(one.read(whole((5, 4, 6))), values)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_file_holds_what_memory_holds(tmp_path_factory, data):
    sides = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=3).map(tuple))
    folder = tmp_path_factory.mktemp("scratch")
    held = HeldMap(5, sides, torch.float32)
    with closing(ScratchMap(5, sides, torch.float32, folder)) as filed:
        for one in (held, filed):
            one.write(whole(sides), torch.zeros(1, 5, *sides))
        for number in range(4):
            first = [data.draw(st.integers(0, side - 1)) for side in sides]
            box = tuple(
                slice(at, data.draw(st.integers(at + 1, side)))
                for at, side in zip(first, sides, strict=True)
            )
            values = torch.randn(1, 5, *lengths(box)) + number
            for one in (held, filed):
                one.write(box, values)
            assert torch.equal(held.read(box), filed.read(box))
        assert torch.equal(held.read(whole(sides)), filed.read(whole(sides)))


def test_boxes_are_copies_with_channels_last(make):
    one = make(4, (6, 6))
    values = fill(one, (6, 6))
    got = one.read(whole((6, 6)))
    assert got.is_contiguous(memory_format=torch.channels_last)
    got.zero_()
    assert torch.equal(one.read(whole((6, 6))), values)


def test_a_narrower_map_lies_in_the_first_channels(make):
    one = make(6, (4, 3))
    values = fill(one, (4, 3))
    narrow = one.narrow(2)
    box = (slice(1, 3), slice(1, 2))
    assert torch.equal(narrow.read(box), values[:, :2, 1:3, 1:2])
    narrow.write(box, torch.full((1, 2, 2, 1), -1.0))
    values[:, :2, 1:3, 1:2] = -1
    assert torch.equal(narrow.read(whole((4, 3))), values[:, :2])
    untouched = (slice(0, 1), slice(0, 3))
    assert torch.equal(one.read(untouched), values[:, :, :1])
    assert torch.equal(one.narrow(4).narrow(2).read(whole((4, 3))), values[:, :2])


def test_parts_of_other_layouts_are_laid_as_well(make):
    one = make(4, (5, 5))
    values = torch.randn(1, 4, 9, 9)[..., 2:7, 1:6]
    one.write(whole((5, 5)), values)
    assert torch.equal(one.read(whole((5, 5))), values)


@pytest.mark.skipif(os.name != "posix", reason="files without names are POSIX'")
def test_a_scratch_file_leaves_nothing_behind_however_it_ends(tmp_path):
    one = ScratchMap(4, (8, 8), torch.float32, tmp_path)
    assert list(tmp_path.iterdir()) == [], "a killed process could not remove a name"
    one.close()


def test_a_folder_without_room_is_refused_with_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(maps.shutil, "disk_usage", lambda folder: Usage(10, 9, 2**29))
    with pytest.raises(OutputError, match=r"need 1\.00 GiB of scratch.* has 0\.50 GiB free"):
        ScratchMap(2**10, (2**9, 2**9), torch.float32, tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OutputError, match="cannot be used"):
        check_room(tmp_path / "nowhere", 1)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "scratch").touch()
    with pytest.raises(OutputError, match=r"cannot be written in .*scratch.*another folder"):
        ScratchMap(4, (8, 8), torch.float32, tmp_path / "scratch")


def test_a_disk_that_fills_up_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(maps, "_reserve", full)
    with pytest.raises(OutputError, match=r"cannot be written .* allow more memory"):
        ScratchMap(4, (8, 8), torch.float32, tmp_path)
    monkeypatch.undo()
    one = ScratchMap(4, (8, 8), torch.float32, tmp_path)
    monkeypatch.setattr(one, "_write_bytes", full)
    with pytest.raises(OutputError, match="cannot be written"):
        one.write(whole((8, 8)), torch.zeros(1, 4, 8, 8))
    one.close()


def test_a_file_that_was_cut_is_not_read_as_zeros(tmp_path):
    one = ScratchMap(4, (8, 8), torch.float32, tmp_path)
    one._file.truncate(100)
    with pytest.raises(OutputError, match="shorter"):
        one.read(whole((8, 8)))
    one.close()
