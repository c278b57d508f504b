"""Checking a store: every bit of its shards and indices is looked at, and each fault named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from plica.errors import LatentError, PlicaError
from plica.formats.codes import unpack
from plica.formats.latent_record import parse_record
from plica.formats.store import Store
from plica.formats.store_index import COLUMNS, GIVEN, describe, read_rows
from plica.formats.store_places import Place
from plica.formats.store_shard import Shard
from plica.formats.tensors import CHECKSUM
from plica.image import Provenance


def check_shard(store: Store, name: str) -> list[PlicaError]:
    """What is wrong with a shard and its index, one error for each latent that is.

    Checksums of the header, of each latent's tensors and of the index's pages are compared, every
    latent is parsed, what the index says of it is compared with what it is, and so is its codec
    with the store's.

    Args:
        name: One of the store's `shards`.

    Examples:
        >>> [error for name in store.shards for error in check_shard(store, name)]
        []
    """
    try:
        rows = read_rows(store.index_path(name), tuple(COLUMNS)).to_pylist()
        shard = store.shard(name)
    except PlicaError as error:
        return [error]
    problems: list[PlicaError] = []
    if sorted(str(row["key"]) for row in rows) != sorted(shard.parts):
        problems.append(LatentError(f"shard {name} and its index hold different keys; damaged"))
    for row in rows:
        try:
            _check_latent(store, shard, row)
        except PlicaError as error:
            problems.append(error)
    return problems


def find_noted(store: Store, note: str) -> Iterator[str]:
    """The keys of the latents that bear a note, shard after shard; of the shards, headers are read.

    Args:
        store: Where they are.
        note: As the readers write it, such as `terms.BURNED_IN`.

    Raises:
        LatentError: A shard is damaged.

    Examples:
        >>> list(find_noted(store, "The file says that text is burnt into its pixels."))
        []
    """
    for name in store.shards:
        for key, part in store.shard(name).parts.items():
            record = parse_record(part, f"shard {name}, key {key}")
            if note in Provenance.from_json(record["provenance"]).notes:
                yield key


def _check_latent(store: Store, shard: Shard, row: Mapping[str, Any]) -> None:
    name, key = shard.path.stem, row["key"]
    what = f"shard {name}, key {key}"
    missing = {column for column, value in row.items() if value is None}
    if missing - ({"codes_affine"} if row["kind"] == "bitstream" else set()):
        raise LatentError(f"{what}: the index lacks {', '.join(sorted(missing))}; it is damaged")
    latent = shard.read(key)
    said = shard.parts[key].metadata[CHECKSUM]  # which reading has compared with the bytes
    facts = describe(latent, {}) | {"sha256": said, "shard": name}
    if wrong := sorted(each for each in facts if each not in GIVEN and facts[each] != row[each]):
        raise LatentError(f"{what}: the index is wrong about {', '.join(wrong)}; it is damaged")
    if (latent.codec.name, latent.codec.fingerprint) != (store.codec.name, store.codec.fingerprint):
        raise LatentError(f"{what}: {latent.codec.name} made it, which is not the store's codec")
    place = Place(0, row["dtype"], tuple(row["codes_shape"]), row["codes_at"], row["scale_at"])
    packed = store.packed_at(name, place)
    codes = packed.array if packed.dtype == "U8" else unpack(packed, what)
    if not np.array_equal(codes, latent.codes, equal_nan=codes.dtype.kind == "f"):
        raise LatentError(f"{what}: the index is wrong about where its codes are; it is damaged")
