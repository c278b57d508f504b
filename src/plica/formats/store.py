"""Store: a folder of many latents in shards, with an index that says what each of them is.

    store.json                      schema, codec, type of number, settings of the encoding
    shards/<name>.safetensors       latents; see `store_shard`
    index/<name>.parquet            one row per latent; see `store_index.COLUMNS`

Shards are written once and never changed. One that has no index yet is not part of the store.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from plica.errors import LatentError, OutputError
from plica.formats import store_places
from plica.formats.atomic import new_file
from plica.formats.codes import Packed, StorageType, unpack
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.store_facts import FACTS, compose_facts, read_facts
from plica.formats.store_index import COLUMNS, check_columns, import_arrow, no_rows, read_rows
from plica.formats.store_index import read_facts as read_shard_facts
from plica.formats.store_places import Place, Places
from plica.formats.store_shard import ENDING, Shard, check_bytes
from plica.formats.tensors import DTYPES
from plica.latent import CodecIdentity, Latent

if TYPE_CHECKING:
    import pyarrow

_HEADERS, _MAPPED, _INDICES = 8, 512, 64  # shards of which this is kept at hand
_READERS = 4
_STORED = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "uint8": "U8"}

Kept = TypeVar("Kept")


class Store:
    """A store of latents, opened for reading; `create` makes one to write into.

    Opening reads one small file and lists a folder. What is held in memory beyond that is chosen
    by what is asked: `rows` the columns named, `codes` some 40 bytes for each latent of the store,
    `read` the headers of a few shards. Threads and processes may share a store.

    Args:
        folder: Its folder.
        codec: Whose latents it holds.
        dtype: How their codes are stored.
        settings: What else was set when it was made.

    Examples:
        >>> store = Store.open("archive.store")
        >>> store.read(store.keys[0]).grid.spacing_mm
        (4.0, 4.0, 1.0)
    """

    def __init__(
        self, folder: Path, codec: CodecIdentity, dtype: StorageType, settings: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.codec = codec
        self.dtype = dtype
        self.settings = settings
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._headers: OrderedDict[str, Shard] = OrderedDict()
        self._mapped: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._key_lists: OrderedDict[str, list[str]] = OrderedDict()

    # -- making and opening ------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | PathLike[str],
        *,
        codec: CodecIdentity,
        dtype: StorageType = "float16",
        settings: Mapping[str, Any] | None = None,
    ) -> Store:
        """Make an empty store.

        Args:
            path: A folder that is not there yet, or is empty, or what a process left there that
                ended while it made a store.
            codec: The only one whose latents it will hold.
            dtype: How their codes will be stored.
            settings: What else should stand in store.json; no patient's identity.

        Raises:
            OutputError: Something is there, it cannot be written, or there is no such type.
        """
        folder = Path(path)
        kept = dict(settings or {})
        text = compose_facts(codec, dtype, kept)
        if folder.is_file() or (folder.is_dir() and not _is_untouched(folder)):
            raise OutputError(
                f"{folder} is there and not empty; give the store a folder of its own"
            )
        store = cls(folder, codec, dtype, kept)
        try:
            for part in (store.shards_folder, store.index_folder):
                part.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the store {folder} cannot be made: {error}") from error
        with new_file(folder / FACTS, durable=True) as file:
            file.write(text.encode("utf-8"))
        return store

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Store:
        """Open a store.

        Raises:
            UnreadableFile: The folder is none.
            LatentError: It is damaged, or was written by a newer plica.
        """
        return cls(Path(path), *read_facts(Path(path) / FACTS))

    @property
    def shards_folder(self) -> Path:
        """Where shards lie."""
        return self.folder / "shards"

    @property
    def index_folder(self) -> Path:
        """Where their indices lie."""
        return self.folder / "index"

    def shard_path(self, name: str) -> Path:
        """The file of a shard."""
        return self.shards_folder / f"{name}{ENDING}"

    def index_path(self, name: str) -> Path:
        """The file of a shard's index."""
        return self.index_folder / f"{name}.parquet"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()  # each process maps files itself

    # -- the index ---------------------------------------------------------------------------

    @cached_property
    def shards(self) -> tuple[str, ...]:
        """Names of the shards, sorted: those with an index when this was first asked."""
        try:
            paths = list(self.index_folder.iterdir())
        except OSError as error:
            raise LatentError(
                f"{self.folder} lacks its index and holds no latents ({error.strerror}); it is "
                "damaged"
            ) from error
        return tuple(
            sorted(
                path.stem
                for path in paths
                if path.suffix == ".parquet" and not path.name.startswith(".")
            )
        )

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How many latents each shard holds."""
        return tuple(
            self._each(lambda name: read_shard_facts(self.index_path(name)).rows, self.shards)
        )

    def __len__(self) -> int:
        return sum(self.counts)

    def rows(
        self, columns: Sequence[str] | None = None, *, shards: Sequence[str] | None = None
    ) -> pyarrow.Table:
        """The index as a table, shard after shard; columns not named are not read.

        Args:
            columns: Of `store_index.COLUMNS`; None takes all.
            shards: Of these shards only.

        Raises:
            InputError: There is no such column.
            LatentError: An index is missing or damaged; it is named.
            MissingExtra: pyarrow is needed.

        Examples:
            >>> store.rows(["key", "modality"]).num_rows
            6
        """
        arrow, _ = import_arrow("reading a store of latents")
        tables = list(self.tables(columns, shards=shards))
        names = list(COLUMNS if columns is None else columns)
        return arrow.concat_tables(tables) if tables else no_rows(names)

    def tables(
        self, columns: Sequence[str] | None = None, *, shards: Sequence[str] | None = None
    ) -> Iterator[pyarrow.Table]:
        """The same, one table for each shard, so that never all need be held."""
        wanted = tuple(COLUMNS if columns is None else columns)
        check_columns(wanted)
        names = self.shards if shards is None else shards
        yield from self._each(lambda name: read_rows(self.index_path(name), wanted), names)

    def _each(self, read: Callable[[str], Kept], names: Sequence[str]) -> Iterator[Kept]:
        """One thing of each shard, in order, read a little ahead."""
        with ThreadPoolExecutor(_READERS) as pool:
            for begin in range(0, len(names), 16 * _READERS):
                yield from pool.map(read, names[begin : begin + 16 * _READERS])

    @property
    def keys(self) -> list[str]:
        """The keys of all latents, shard after shard: about 100 bytes of memory each."""
        return [key for table in self.tables(("key",)) for key in table.column(0).to_pylist()]

    @cached_property
    def places(self) -> Places:
        """Where the codes of each latent are; some 40 bytes each.

        Raises:
            LatentError: An index is damaged, or a key stands twice.
        """
        places = Places.gather(self.tables(store_places.COLUMNS))
        if twice := places.find_twice(lambda number: self._name(places, number)):
            key, *numbers = twice
            names = sorted({self.shards[places.locate(number)[0]] for number in numbers})
            raise LatentError(
                f"the key {key} stands twice in the store ({' and '.join(names)}); remove the "
                "shard that no ledger knows"
            )
        return places

    def key(self, number: int) -> str:
        """The key of the latent of that number, counted through the shards in order."""
        return self._name(self.places, number)

    def number(self, key: str) -> int:
        """The number of a key's latent.

        Raises:
            UnknownName: No latent has it.
        """
        return self.places.find(key, self.key)

    def _name(self, places: Places, number: int) -> str:
        shard, row = places.locate(number)
        name = self.shards[shard]

        def read() -> list[str]:
            return cast(
                "list[str]", read_rows(self.index_path(name), ("key",)).column(0).to_pylist()
            )

        return self._keep(self._key_lists, name, _INDICES, read)[row]

    def _keep(
        self, kept: OrderedDict[str, Kept], name: str, most: int, read: Callable[[], Kept]
    ) -> Kept:
        """What is at hand of a shard, else read; the longest unused is let go."""
        with self._lock:
            if name in kept:
                kept.move_to_end(name)
                return kept[name]
        found = read()
        with self._lock:
            kept[name] = found
            while len(kept) > most:
                kept.popitem(last=False)
        return found

    # -- latents -----------------------------------------------------------------------------

    def read(self, key: str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Latent:
        """A latent, as `plica.read_latent` would give it; its bytes are checked.

        Raises:
            UnknownName: No latent has the key.
            LatentError: The shard or the latent in it is damaged; both are named.
            TooLarge: Past the limit.
        """
        return self._shard_of(key).read(key, max_bytes=max_bytes)

    def check(self, key: str) -> str:
        """SHA-256 of a latent's tensors as they are now, which is the one they were written with.

        Raises:
            UnknownName: No latent has the key.
            LatentError: They are damaged; shard and key are named.
        """
        return self._shard_of(key).check(key)

    def _shard_of(self, key: str) -> Shard:
        name = self.shards[self.places.locate(self.number(key))[0]]
        return self.shard(name)

    def shard(self, name: str) -> Shard:
        """The header of a shard.

        Raises:
            LatentError: Shard or index is missing or damaged.
        """

        def read() -> Shard:
            return Shard.open(self.shard_path(name), read_shard_facts(self.index_path(name)))

        return self._keep(self._headers, name, _HEADERS, read)

    # -- codes, fast -------------------------------------------------------------------------

    def codes(self, key: str) -> NDArray[Any]:
        """A latent's codes (code channel, i, j, k) and nothing else of it.

        For float32 and for a bitstream's bytes this is a view of the mapped file, which cannot be
        written to; other types are made float32. Bytes are not checked against their checksum:
        `check` does that.

        Raises:
            UnknownName: No latent has the key.
            LatentError: The shard is missing or of the wrong size, or the index damaged.
        """
        packed = self.packed(self.number(key))
        return packed.array if packed.dtype in {"F32", "U8"} else unpack(packed, f"key {key}")

    def packed(self, number: int) -> Packed:
        """The stored codes of the latent of that number: views of the mapped file.

        Raises:
            LatentError: The shard is missing or of the wrong size, or the index damaged.
        """
        place = self.places[number]
        return self.packed_at(self.shards[place.shard], place)

    def packed_at(self, name: str, place: Place) -> Packed:
        """The same of a place in a shard, as its index says it, without holding all places."""
        data = self._keep(self._mapped, name, _MAPPED, lambda: self._map(name))
        dtype = _STORED.get(place.dtype)
        if dtype is None:
            raise LatentError(f"the index of shard {name} speaks of {place.dtype!r} codes; damaged")
        array = _slice(data, place.codes_at, DTYPES[dtype], place.shape, name)
        scale = None
        if dtype == "I8":
            scale = _slice(data, place.scale_at, DTYPES["F32"], place.shape[:1], name)
        return Packed(dtype, array, scale)

    def _map(self, name: str) -> NDArray[np.uint8]:
        path = self.shard_path(name)
        check_bytes(path, read_shard_facts(self.index_path(name)))
        try:
            return np.asarray(np.memmap(path, np.uint8, mode="r"))
        except (OSError, ValueError) as error:
            raise LatentError(f"shard {name} cannot be mapped: {error}") from error

    # -- removing ----------------------------------------------------------------------------

    def discard(self, name: str) -> None:
        """Remove a shard, its index first, so that no reader sees one without the other.

        Raises:
            OutputError: It cannot be removed.
        """
        try:
            self.index_path(name).unlink(missing_ok=True)
            self.shard_path(name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"shard {name} cannot be removed: {error}") from error


def _slice(
    data: NDArray[np.uint8], at: int, kind: str, shape: tuple[int, ...], name: str
) -> NDArray[Any]:
    dtype = np.dtype(kind)
    count = 1
    for side in shape:
        count *= side
    end = at + count * dtype.itemsize
    if at < 8 or end > len(data):
        raise LatentError(
            f"the index of shard {name} places codes at bytes {at} to {end} of {len(data)}; it is "
            "damaged"
        )
    return data[at:end].view(dtype).reshape(shape)


def _is_untouched(folder: Path) -> bool:
    """Whether a folder holds nothing but what the making of a store begins with."""
    begun = {"shards", "index"}
    return all(
        (one.name in begun and one.is_dir() and not any(one.iterdir()))
        or one.name.startswith(f".{FACTS}.")
        for one in folder.iterdir()
    )
