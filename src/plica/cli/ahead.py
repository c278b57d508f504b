"""Reading ahead: the next image is read while this one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

from plica.cli.writing import measure_bytes
from plica.formats.sources import Source
from plica.image import Image

AHEAD_BYTES = 2**26
"""Sources of more bytes than this are read when they are needed: two of them may be too many."""
UNPACKED_BYTES = 2**29
"""The same of their pixels: packed files do not say how many there are."""


class Ahead:
    """Images of sources, which are taken in the order in which they are given.

    Args:
        sources: What will be taken, one after another.
        read: Reads one.
        read_small: Reads one that is small, and refuses others; None takes `read`.
        most_bytes: How large a source may be on the disk to be read ahead; 0 reads none ahead.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        read: Callable[[Source], Image],
        read_small: Callable[[Source], Image] | None = None,
        *,
        most_bytes: int = AHEAD_BYTES,
    ) -> None:
        self._read = read
        self._read_small = read_small or read
        self._most_bytes = most_bytes
        self._after = dict(pairwise(sources))
        self._coming: dict[Source, Future[Image]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="reading")

    def take(self, source: Source) -> Image:
        """The image of a source; the one after it is begun.

        Raises:
            PlicaError: It cannot be read; the next one is begun all the same.
        """
        coming = self._coming.pop(source, None)
        try:
            if coming is None or coming.exception() is not None:
                return self._read(source)  # too large, or its error is said by who has to say it
            return coming.result()
        finally:
            following = self._after.get(source)
            if following is not None and self._is_small(following):
                self._coming[following] = self._pool.submit(self._read_small, following)

    def close(self) -> None:
        """Wait for what is being read, and forget it."""
        self._pool.shutdown(cancel_futures=True)
        self._coming.clear()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_small(self, source: Source) -> bool:
        try:
            return measure_bytes(source.path) <= self._most_bytes
        except OSError:  # what is wrong with it is said when it is its turn
            return False
