"""The next image is read meanwhile, its errors come at its turn, and large ones wait."""

import threading

import numpy as np
import pytest

from plica.cli.ahead import Ahead
from plica.errors import UnreadableFile
from plica.formats.sources import Source
from plica.grid import Grid
from plica.image import Image


def make_sources(folder, sizes):
    for number, size in enumerate(sizes):
        (folder / f"{number}.npy").write_bytes(b"x" * size)
    return [Source(name=str(n), path=folder / f"{n}.npy") for n in range(len(sizes))]


def make_image(value: int) -> Image:
    return Image(np.full((1, 2, 2, 1), value), Grid.from_spacing((2, 2, 1)))


def test_the_next_is_read_while_this_one_is_worked_on(tmp_path):
    sources = make_sources(tmp_path, [1, 1, 1])
    begun = {source.name: threading.Event() for source in sources}

    def read(source):
        begun[source.name].set()
        return make_image(int(source.name))

    with Ahead(sources, read) as ahead:
        for number, source in enumerate(sources):
            image = ahead.take(source)
            assert image.pixels.flat[0] == number
            if number < 2:
                assert begun[str(number + 1)].wait(60)
        assert not ahead._coming


def test_an_error_comes_at_its_turn_and_the_next_is_read_all_the_same(tmp_path):
    sources = make_sources(tmp_path, [1, 1, 1])

    def read(source):
        if source.name == "1":
            raise UnreadableFile("1 is damaged")
        return make_image(int(source.name))

    with Ahead(sources, read) as ahead:
        ahead.take(sources[0])
        with pytest.raises(UnreadableFile, match="1 is damaged"):
            ahead.take(sources[1])
        assert ahead.take(sources[2]).pixels.flat[0] == 2


def test_large_and_absent_ones_are_read_at_their_turn(tmp_path):
    sources = make_sources(tmp_path, [1, 20, 1])
    (tmp_path / "2.npy").unlink()
    seen = []

    def read(source):
        seen.append(source.name)
        return make_image(0)

    with Ahead(sources, read, most_bytes=10) as ahead:
        ahead.take(sources[0])
        assert not ahead._coming
        ahead.take(sources[1])
        assert not ahead._coming
    assert seen == ["0", "1"]
