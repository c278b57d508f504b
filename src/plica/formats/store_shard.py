"""A shard: many latents in one safetensors file, each found and read by its key.

Tensors are named `<key>/codes`, `<key>/codes.scale`, `<key>/trail.…`; the header's metadata hold
each latent's record and checksum as `<key>/plica` and `<key>/sha256`. What follows the first slash
is what a file of one latent holds, and is read by the same code. The codec, whose card is longer
than all else of a radiograph's latent, stands once, as `codec`; a record that has its own keeps to
that, as all do in shards that were written before.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plica.errors import InputError, LatentError
from plica.formats.latent_record import CODEC, RECORD, interpret, parse, parse_record
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.store_index import Facts
from plica.formats.tensors import (
    CHECKSUM,
    Container,
    Tensor,
    measure_checksum,
    read_container,
)
from plica.latent import Latent

FORMAT = "plica shard"
ENDING = ".safetensors"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+=-]{0,199}")


def check_key(key: str) -> str:
    """The key, if it may name a latent: it becomes part of tensors' names.

    Raises:
        InputError: It may not.
    """
    if not _KEY.fullmatch(key):
        raise InputError(
            f"{key[:80]!r} cannot be a latent's key; up to 200 letters, digits and . _ : + = - "
            "are expected, beginning with a letter or digit"
        )
    return key


@dataclass(frozen=True)
class Shard:
    """The header of a shard, checked against its index; latents are read when asked for.

    Args:
        path: The file.
        parts: What belongs to each key, as the header of a file of its own.
    """

    path: Path
    parts: Mapping[str, Container]

    @classmethod
    def open(cls, path: Path, facts: Facts) -> Shard:
        """Read the header.

        Raises:
            LatentError: The shard is missing, damaged, or not the one its index speaks of.
        """
        what = f"shard {path.stem}"
        check_bytes(path, facts)
        with _reading(path, what) as file:
            container = read_container(file, facts.bytes, what)
            file.seek(0)
            digest = hashlib.sha256(file.read(container.data_at)).hexdigest()
        if digest != facts.header:
            raise LatentError(f"{what} was damaged: its header is not the one written")
        if container.metadata.get("format") != FORMAT:
            raise LatentError(f"{what} is a safetensors file, but no shard of latents")
        return cls(path, _split(container, what))

    def read(self, key: str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Latent:
        """One latent; its bytes are checked against their checksum.

        Raises:
            LatentError: It is not there, or damaged.
            TooLarge: Past the limit.
        """
        part, what = self._part(key)
        with _reading(self.path, what) as file:
            return parse(file, part, what, max_bytes=max_bytes)

    def check(self, key: str) -> str:
        """SHA-256 of a latent's tensors, after they and its record were found to be whole.

        Raises:
            LatentError: They are not.
        """
        part, what = self._part(key)
        interpret(parse_record(part, what), what)
        with _reading(self.path, what) as file:
            found = measure_checksum(file, part)
        if found != part.metadata.get(CHECKSUM):
            raise LatentError(f"{what} was damaged: its bytes are not those written")
        return found

    def _part(self, key: str) -> tuple[Container, str]:
        what = f"shard {self.path.stem}, key {key}"
        part = self.parts.get(key)
        if part is None:
            raise LatentError(f"{what}: the shard does not hold the key its index names; damaged")
        return part, what


def check_bytes(path: Path, facts: Facts) -> None:
    """The shard is there and as long as its index says, so that mapping it is safe.

    Raises:
        LatentError: It is not.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise LatentError(
            f"shard {path.stem} is in the index, but its file cannot be found; restore it, or "
            "encode its series again"
        ) from error
    if size != facts.bytes:
        raise LatentError(
            f"shard {path.stem} has {size} bytes and was written with {facts.bytes}; it is "
            "truncated or damaged"
        )


def _split(container: Container, what: str) -> dict[str, Container]:
    """The parts of a header by key."""
    metadata: dict[str, dict[str, str]] = {}
    shared = {name: container.metadata[name] for name in (CODEC,) if name in container.metadata}
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, text in container.metadata.items():
        key, slash, rest = name.partition("/")
        if slash:
            metadata.setdefault(key, {})[rest] = text
    for name, tensor in container.tensors.items():
        key, slash, rest = name.partition("/")
        if not slash or key not in metadata:
            raise LatentError(f"{what} holds the tensor {name[:80]!r} that no record speaks of")
        tensors.setdefault(key, {})[rest] = tensor
    for key, texts in metadata.items():
        if set(texts) != {RECORD, CHECKSUM}:
            raise LatentError(f"{what}, key {key[:80]}: record or checksum is missing; damaged")
    return {
        key: Container(texts | shared, tensors.get(key, {}), container.data_at)
        for key, texts in metadata.items()
    }


@contextmanager
def _reading(path: Path, what: str) -> Iterator[io.BufferedReader]:
    """The shard's file: each reader has its own, so that threads do not move each other's place."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise LatentError(f"{what} cannot be read: {error.strerror or error}") from error
