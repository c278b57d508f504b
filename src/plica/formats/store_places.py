"""Where the codes of every latent of a store are: a few bytes each, found by number or by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import LatentError, UnknownName

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ("key", "dtype", "codes_shape", "codes_at", "scale_at")
_Layout = tuple[str, tuple[int, int, int, int]]
_MOST_SIDES = 1 << 40


@dataclass(frozen=True)
class Place:
    """Where the codes of one latent are.

    Args:
        shard: The number of its shard among the store's.
        dtype: How the codes are stored.
        shape: (code channel, i, j, k).
        codes_at: The byte where they begin.
        scale_at: The byte where their scales begin; −1: they have none.
    """

    shard: int
    dtype: str
    shape: tuple[int, int, int, int]
    codes_at: int
    scale_at: int


@dataclass(frozen=True)
class Places:
    """All of a store's places, 36 bytes a latent.

    Args:
        starts: Number of the first latent of each shard, and at the end that of all.
        layouts: The pairs of type and shape that occur; those of a latent are one number.
    """

    starts: NDArray[np.int64]
    layouts: Sequence[_Layout]
    _layout: NDArray[np.int32]
    _codes_at: NDArray[np.int64]
    _scale_at: NDArray[np.int64]
    _hashes: NDArray[np.uint64]
    _order: NDArray[np.int64]

    @classmethod
    def gather(cls, tables: Iterable[pyarrow.Table]) -> Places:
        """From the columns `COLUMNS` of each shard in turn."""
        known: dict[_Layout, int] = {}
        counts, columns = [0], [_no_columns()]
        for table in tables:
            counts.append(table.num_rows)
            columns.append(_read_columns(table, known))
        layout, codes_at, scale_at, hashes = (
            np.concatenate(parts) for parts in zip(*columns, strict=True)
        )
        order = np.argsort(hashes, kind="stable")
        return cls(
            np.cumsum(counts), tuple(known), layout, codes_at, scale_at, hashes[order], order
        )

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, number: int) -> Place:
        shard, _ = self.locate(number)
        dtype, shape = self.layouts[self._layout[number]]
        codes_at, scale_at = int(self._codes_at[number]), int(self._scale_at[number])
        return Place(shard, dtype, shape, codes_at, scale_at)

    def locate(self, number: int) -> tuple[int, int]:
        """The shard of a latent, and its row there.

        Raises:
            IndexError: There are fewer latents.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"there is no latent number {number} among {len(self)}")
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        return shard, number - int(self.starts[shard])

    def find(self, key: str, name_of: Callable[[int], str]) -> int:
        """The number of a key's latent.

        Args:
            name_of: The key of a number, looked up to be sure: different keys may share a hash.

        Raises:
            UnknownName: No latent has it.
        """
        for number in self._candidates(key):
            if name_of(number) == key:
                return number
        raise UnknownName(f"the store holds no latent of the key {key[:80]!r}, among {len(self)}")

    def _candidates(self, key: str) -> list[int]:
        if not key.isascii() or not key:
            return []
        wanted = _hash(np.array([key.encode()]))[0]
        begin, end = (int(np.searchsorted(self._hashes, wanted, side=s)) for s in ("left", "right"))
        return [int(number) for number in self._order[begin:end]]

    def find_twice(self, name_of: Callable[[int], str]) -> tuple[str, int, int] | None:
        """A key that two latents have, and their numbers; None where each has its own.

        Args:
            name_of: The key of a number, looked up where two hashes are alike.
        """
        for at in np.flatnonzero(self._hashes[1:] == self._hashes[:-1]):
            one, other = int(self._order[at]), int(self._order[at + 1])
            if (key := name_of(one)) == name_of(other):
                return key, one, other
        return None


def _no_columns() -> tuple[NDArray[Any], ...]:
    return (
        np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64),
    )  # fmt: skip


def _read_columns(table: pyarrow.Table, known: dict[_Layout, int]) -> tuple[NDArray[Any], ...]:
    """Layouts, places of codes and of scales, and hashes of the keys of one shard's latents."""
    count = table.num_rows
    if any(table.column(name).null_count for name in COLUMNS):
        raise LatentError("an index lacks values that say where codes are; it is damaged")
    shapes = table.column("codes_shape").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    shapes = shapes.reshape(count, 4)
    if count and (shapes.min() < 0 or shapes.max() > _MOST_SIDES):
        raise LatentError("an index speaks of codes of an impossible shape; it is damaged")
    dtypes = table.column("dtype").to_pylist()
    layouts = np.fromiter(
        (
            known.setdefault((dtype, (a, b, c, d)), len(known))
            for dtype, (a, b, c, d) in zip(dtypes, shapes.tolist(), strict=True)
        ),
        np.int32,
        count,
    )
    places = [table.column(name).to_numpy() for name in ("codes_at", "scale_at")]
    keys = table.column("key").to_pylist()
    return layouts, *places, _hash(np.array([key.encode() for key in keys], "S"))


_FACTORS = np.random.default_rng(20).integers(0, 1 << 63, 64, np.uint64) | np.uint64(1)
"""Odd, so that no bit of a word is lost."""


def _hash(keys: NDArray[Any]) -> NDArray[np.uint64]:
    """64 bits of each key (as bytes): a sum over its words, so zeros at the end do not count."""
    if not keys.size:
        return np.zeros(0, np.uint64)
    width = -(-keys.dtype.itemsize // 8)
    words = keys.astype(f"S{8 * width}").view("<u8").reshape(len(keys), width)
    factors = _FACTORS[np.arange(width) % len(_FACTORS)]
    with np.errstate(over="ignore"):
        return (words * factors).sum(axis=1, dtype=np.uint64)
