"""Writing shards: latents one after another, each shard whole on disk or not there at all."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import TYPE_CHECKING, Any

from plica.errors import InputError, OutputError
from plica.formats.atomic import new_file
from plica.formats.latent_record import CODEC, RECORD, compose, compose_codec
from plica.formats.store_index import GIVEN, Facts, describe, import_arrow, write_rows
from plica.formats.store_shard import FORMAT, check_key
from plica.formats.tensors import (
    CHECKSUM,
    CHUNK,
    MAX_HEADER,
    Tensor,
    checksum,
    lay_out,
    write_header,
)
from plica.latent import CodecIdentity, Latent, say_settings

if TYPE_CHECKING:
    from plica.formats.store import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_IN_MEMORY = 1 << 26  # of each width of numbers; what is more waits in a nameless file
_HEADER_OF_A_TENSOR = 160  # bytes at most, beside its key


@dataclass(frozen=True)
class ShardMeta:
    """A shard that was written.

    Args:
        name: Of the files shards/<name>.safetensors and index/<name>.parquet.
        keys: Of its latents, in their order.
        bytes: Of the shard's file.
        index_sha256: Of the index file's bytes.
    """

    name: str
    keys: tuple[str, ...]
    bytes: int
    index_sha256: str


@dataclass(frozen=True)
class _Written:
    """A latent that waits for its shard: offsets are within the numbers of its tensors' width."""

    tensors: Mapping[str, tuple[int, Tensor]]
    row: dict[str, Any]
    record: str


class ShardWriter:
    """Gathers latents and writes them as one shard, with its index.

    Nothing appears in the store before `close`, which first brings the shard and then the index
    under their names, each by one rename after the disk has it. A shard without an index is debris
    of a broken writer: readers do not see it.

    Args:
        store: Where the shard belongs: its codec and type of number are kept to.
        name: The shard's; by default drawn at random, so that writers need not agree.

    Raises:
        InputError: The name cannot be a file's.
        MissingExtra: pyarrow is needed.

    Examples:
        >>> empty = Store.create("own.store", codec=latent.codec)
        >>> with ShardWriter(empty) as writer:
        ...     kept = writer.add("0f" * 16, latent, {"source": "a/ct.nii.gz"})
        >>> len(Store.open("own.store").keys)
        1
    """

    def __init__(self, store: Store, name: str = "") -> None:
        import_arrow("writing a store of latents")  # before any work
        self.name = name or secrets.token_hex(8)
        if not _NAME.fullmatch(self.name):
            raise InputError(f"{name[:80]!r} cannot be a shard's name; letters and digits can")
        self._store = store
        self._pending: dict[str, _Written] = {}
        self._codec: CodecIdentity | None = None
        self._header_bytes = 0
        self._spools: dict[int, SpooledTemporaryFile[bytes]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def closed(self) -> bool:
        """Whether nothing can be added any more: it was written, or given up."""
        return self._closed

    @property
    def size(self) -> int:
        """Bytes of the shard if it were closed now, or a little more."""
        return self._header_bytes + sum(spool.tell() for spool in self._spools.values())

    def add(self, key: str, latent: Latent, row: Mapping[str, Any] | None = None) -> Latent:
        """Take a latent in.

        Args:
            key: Its name in the store: a hash of the series' identity, never the identity itself.
            latent: Of the store's codec.
            row: What the latent does not say: any of source (its path in the archive), source_hash,
                status, seconds.

        Returns:
            The latent as a reader will see it: without identity, its codes after rounding.

        Raises:
            InputError: The key is no key or was added before, or the row has other fields.
            OutputError: Codes do not fit the store's type, another codec made the latent, the shard
                is closed or full, or the disk is.
            LatentError: The latent's record cannot be kept as JSON.
        """
        self._check(check_key(key), latent)
        # Another card of the same name and weights, of another plica, stays the latent's own.
        shared = latent.codec if self._codec is None else self._codec
        composed = compose(latent, self._store.dtype, codec_apart=latent.codec == shared)
        line = describe(composed.seen, row or dict(GIVEN))
        parts = lay_out(composed.tensors)
        names = sum(len(part.key) + len(key) + _HEADER_OF_A_TENSOR for part in parts)
        header_bytes = len(json.dumps(composed.record)) + names + 2 * len(key) + 200
        if self._pending and self._header_bytes + header_bytes > MAX_HEADER:
            raise OutputError(
                f"shard {self.name} is full: its header would pass {MAX_HEADER} bytes; close it "
                "and begin another"
            )
        line |= {"key": key, "sha256": checksum(parts), "shard": self.name}
        line["bytes"] = sum(len(part.data) for part in parts)
        tensors = {}
        for part in parts:
            at = self._append(part.itemsize, part.data)
            place = Tensor(part.dtype, part.shape, at, at + len(part.data))
            tensors[part.key] = (part.itemsize, place)
        if self._codec is None:
            header_bytes += len(json.dumps(compose_codec(shared)))
            self._codec = shared
        self._pending[key] = _Written(tensors, line, composed.record)
        self._header_bytes += header_bytes
        return composed.seen

    def _check(self, key: str, latent: Latent) -> None:
        if self._closed:
            raise OutputError(f"shard {self.name} is closed; begin another")
        if key in self._pending:
            raise InputError(f"the key {key} was added to shard {self.name} before")
        ours, its = self._store.codec, latent.codec
        if (ours.name, ours.fingerprint) != (its.name, its.fingerprint):
            raise OutputError(
                f"the store is of {ours.name} ({ours.fingerprint[:20]}), but the latent was made "
                f"by {its.name} ({its.fingerprint[:20]}); give it a store of its own"
            )
        if dict(ours.settings) != dict(its.settings):  # which a shard tells once for all
            raise OutputError(
                f"the store is of {ours.name} with {say_settings(ours.settings)}, but the latent "
                f"was made with {say_settings(its.settings)}; give it a store of its own"
            )

    def _append(self, width: int, data: bytes) -> int:
        """Put numbers after others as wide, so that all stand aligned whatever their number."""
        if width not in self._spools:
            folder = str(self._store.shards_folder)
            self._spools[width] = SpooledTemporaryFile(  # noqa: SIM115 - closed by `abandon`
                _IN_MEMORY, dir=folder
            )
        spool = self._spools[width]
        at = spool.tell()
        try:
            spool.write(data)
        except OSError as error:
            self.abandon()
            raise OutputError(
                f"shard {self.name} cannot be written: {error.strerror or error}"
            ) from error
        return at

    def close(self) -> ShardMeta:
        """Write the shard and its index.

        Raises:
            OutputError: It holds nothing, was closed before, exists, or the disk is full; then
                nothing of it is left.
        """
        if self._closed or not self._pending:
            why = "was closed before" if self._closed else "holds no latents"
            raise OutputError(f"shard {self.name} cannot be closed: it {why}")
        try:
            facts, rows = self._write_shard()
            shard = self._store.shard_path(self.name)
            try:
                digest = self._write_index(facts, rows)
            except OutputError:
                shard.unlink(missing_ok=True)
                raise
        finally:
            keys = tuple(self._pending)
            self.abandon()
        return ShardMeta(self.name, keys, facts.bytes, digest)

    def _write_shard(self) -> tuple[Facts, list[dict[str, Any]]]:
        places = self._place()
        metadata = {"format": FORMAT}
        if self._codec is not None:
            metadata[CODEC] = compose_codec(self._codec)
        for key, one in self._pending.items():
            metadata[f"{key}/{RECORD}"] = one.record
            metadata[f"{key}/{CHECKSUM}"] = one.row["sha256"]
        with new_file(self._store.shard_path(self.name), durable=True) as file:
            header = write_header(file, places, metadata)
            for width in sorted(self._spools, reverse=True):
                self._spools[width].seek(0)
                shutil.copyfileobj(self._spools[width], file, CHUNK)
            size = file.tell()
        rows = []
        for key, one in self._pending.items():
            codes, scale = places[f"{key}/codes"], places.get(f"{key}/codes.scale")
            at = {
                "codes_at": len(header) + codes.start,
                "scale_at": -1 if scale is None else len(header) + scale.start,
            }
            rows.append(one.row | at)
        digest = hashlib.sha256(header).hexdigest()
        return Facts(self.name, len(rows), size, digest), rows

    def _place(self) -> dict[str, Tensor]:
        """Where each tensor will stand: the widest numbers first."""
        begins, at = {}, 0
        for width in sorted(self._spools, reverse=True):
            begins[width] = at
            at += self._spools[width].tell()
        placed = {
            f"{key}/{name}": Tensor(
                tensor.dtype, tensor.shape, begins[width] + tensor.start, begins[width] + tensor.end
            )
            for key, one in self._pending.items()
            for name, (width, tensor) in one.tensors.items()
        }
        return dict(sorted(placed.items(), key=lambda item: (item[1].start, item[1].end)))

    def _write_index(self, facts: Facts, rows: list[dict[str, Any]]) -> str:
        path = self._store.index_path(self.name)
        with new_file(path, durable=True) as file:
            write_rows(file, rows, facts)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def abandon(self) -> None:
        """Forget what was added; nothing of it is or will be in the store."""
        self._closed = True
        self._pending = {}
        for spool in self._spools.values():
            spool.close()
        self._spools = {}

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._pending:
            self.close()
        else:
            self.abandon()
