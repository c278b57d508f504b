"""Erasing: another store without some of the latents; all others stay as they were, bit for bit."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from plica.errors import InputError, LatentError, UnknownName
from plica.formats.atomic import new_file, new_folder
from plica.formats.latent_record import CODEC
from plica.formats.store import Store
from plica.formats.store_index import Facts, write_rows
from plica.formats.store_shard import FORMAT, Shard
from plica.formats.tensors import Tensor, write_header


def write_without(store: Store, keys: Collection[str], path: str | PathLike[str]) -> Store:
    """Write another store, without the latents of these keys.

    Records, numbers and rows of the others are copied as they stand, each checked against its
    checksum before: nothing is rounded a second time, and what storing had lost is still said.
    Shards get names drawn by chance, for the old ones are hashes of all keys that were planned for
    them. It has no ledger, and appears when it is whole.

    Args:
        store: The store; it is not changed.
        keys: As `store_naming.find_below` and `find_marked` give them.
        path: A folder that is not there yet, or is empty.

    Raises:
        InputError: There are no keys, or no latent would be left.
        UnknownName: The store has no latent of a key.
        LatentError: A latent that is to be kept is damaged.
        OutputError: Something is there, or it cannot be written.

    Examples:
        >>> rest = write_without(store, store.keys[:2], "rest.store")
        >>> len(store), len(rest)
        (6, 4)
    """
    gone, known = set(keys), set(store.keys)
    if not gone:
        raise InputError("no keys were given: the other store would hold all there is; see why")
    if strange := sorted(gone - known):
        raise UnknownName(
            f"the store has no latent of {len(strange)} of the {len(gone)} keys, such as "
            f"{strange[0][:80]!r}; give keys of this store"
        )
    if gone == known:
        raise InputError("no latent would be left; delete the store instead")
    with new_folder(Path(path)) as folder:
        rest = Store.create(folder, codec=store.codec, dtype=store.dtype, settings=store.settings)
        for name in store.shards:
            rows = store.rows(shards=[name]).to_pylist()
            kept = {row["key"]: row for row in rows if row["key"] not in gone}
            if kept:
                _copy(store.shard(name), kept, rest, secrets.token_hex(8))
    return Store.open(path)


def _copy(shard: Shard, rows: Mapping[str, dict[str, Any]], rest: Store, name: str) -> None:
    """Some latents of a shard as a shard of another store, with their index."""
    for key, row in rows.items():
        if shard.check(key) != row["sha256"]:
            raise LatentError(
                f"shard {shard.path.stem}, key {key}: the index has another checksum; damaged"
            )
    found = {
        f"{key}/{part}": (tensor, shard.parts[key].data_at + tensor.start)
        for key in rows
        for part, tensor in shard.parts[key].tensors.items()
    }
    ordered = dict(sorted(found.items(), key=lambda item: (item[1][1], item[1][0].end)))
    # In their old order the widest numbers still come first, so that all stand aligned.
    places, at = {}, 0
    for part, (tensor, _) in ordered.items():
        size = tensor.end - tensor.start
        places[part] = replace(tensor, start=at, end=at + size)
        at += size
    with new_file(rest.shard_path(name), durable=True) as file:
        header = write_header(file, places, _gather_texts(shard, rows))
        with shard.path.open("rb") as source:
            for tensor, begin in ordered.values():
                source.seek(begin)
                file.write(source.read(tensor.end - tensor.start))
        size = file.tell()
    facts = Facts(name, len(rows), size, hashlib.sha256(header).hexdigest())
    placed = [{**row, "shard": name, **_say_places(key, places, len(header))}
              for key, row in rows.items()]  # fmt: skip
    with new_file(rest.index_path(name), durable=True) as file:
        write_rows(file, placed, facts)


def _gather_texts(shard: Shard, keys: Collection[str]) -> dict[str, str]:
    """The texts of a shard's header that are of these latents, or of all."""
    texts = {"format": FORMAT}
    for key in keys:
        for name, text in shard.parts[key].metadata.items():
            texts[name if name == CODEC else f"{key}/{name}"] = text
    return texts


def _say_places(key: str, places: Mapping[str, Tensor], data_at: int) -> dict[str, int]:
    scale = places.get(f"{key}/codes.scale")
    return {
        "codes_at": data_at + places[f"{key}/codes"].start,
        "scale_at": -1 if scale is None else data_at + scale.start,
    }
