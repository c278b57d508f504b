"""Verifying a store: ledger against disk, every hash, and a sample decoded."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plica.bulk.ledger import Ledger, ShardRow
from plica.errors import PlicaError
from plica.formats.store import Store
from plica.formats.store_checking import check_shard
from plica.image import Image
from plica.latent import Latent


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written.

    Args:
        shard: Where.
        what: A sentence.
        kind: "missing" (in the ledger or the index, not on the disk), "extra" (on the disk, not in
            the ledger), "damaged", "keys" (shard and ledger hold different series) or "decoding".
    """

    shard: str
    what: str
    kind: str


def verify(
    store: Store, ledger: Ledger, tell: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Problem]:
    """Every fault of a store.

    Args:
        store: What is on the disk.
        ledger: What should be.
        tell: Is told how many shards were looked at, of how many.

    Examples:
        >>> from plica.bulk.ledger import Ledger
        >>> for problem in verify(store, Ledger(store.folder)):
        ...     print(problem.kind, problem.what)
        extra it is on the disk, and the ledger does not know it as done
    """
    shards = list(ledger.shards())
    known = {row.name for row in shards}
    for name in sorted(_list_shards(store) - known):
        yield Problem(name, "it is on the disk, and the ledger does not know it as done", "extra")
    for done, row in enumerate(shards, 1):
        yield from _check(store, ledger, row)
        tell(done, len(shards))


def verify_alone(
    store: Store, tell: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Problem]:
    """What a store without its ledger can say of itself: every shard's own sums.

    Whether a shard is missing with its index, or an index was changed, only the ledger knows.

    Args:
        store: What is on the disk.
        tell: Is told how many shards were looked at, of how many.

    Examples:
        >>> list(verify_alone(store))
        []
    """
    names = sorted(_list_shards(store))
    for done, name in enumerate(names, 1):
        if missing := _find_missing(store, name):
            yield missing
        else:
            yield from (Problem(name, str(error), "damaged") for error in check_shard(store, name))
        tell(done, len(names))


def _list_shards(store: Store) -> set[str]:
    """Names of the shards of which anything is on the disk."""
    shards = {path.stem for path in store.shards_folder.glob("[!.]*.safetensors")}
    return shards | {path.stem for path in store.index_folder.glob("[!.]*.parquet")}


def _find_missing(store: Store, name: str) -> Problem | None:
    for path in (store.shard_path(name), store.index_path(name)):
        if not path.is_file():
            return Problem(name, f"{path.parent.name}/{path.name} is not there", "missing")
    return None


def _check(store: Store, ledger: Ledger, row: ShardRow) -> Iterator[Problem]:
    name = row.name
    if missing := _find_missing(store, name):
        yield missing
        return
    if (found := _digest(store.index_path(name))) != row.index_sha256:
        yield Problem(name, f"its index is not the one written ({found[:12]})", "damaged")
    for error in check_shard(store, name):
        yield Problem(name, str(error), "damaged")
    try:
        keys = store.rows(("key",), shards=(name,)).column(0).to_pylist()
    except PlicaError:
        return  # said already
    if sorted(keys) != ledger.keys(name):
        yield Problem(name, "shard and ledger hold different series", "keys")


def decode_sample(
    store: Store,
    decode: Callable[[Latent], Image],
    *,
    n: int,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Problem]:
    """Faults met in decoding some latents, drawn at random.

    Args:
        store: What is on the disk.
        decode: The codec's way back.
        n: How many.
        seed: Of the draw.
        tell: Is told how many were decoded.

    Examples:
        >>> codec = plica.load("linear-4x1-2d")
        >>> list(decode_sample(store, codec.decode, n=2))
        []
    """
    total = len(store)
    chosen = sorted(random.Random(seed).sample(range(total), min(n, total)))
    for done, number in enumerate(chosen, 1):
        key = store.key(number)
        try:
            latent = store.read(key)
            image = decode(latent)
        except PlicaError as error:
            yield Problem(
                store.shards[store.places.locate(number)[0]], f"{key}: {error}", "decoding"
            )
        else:
            if not image.grid.agrees_with(latent.source):
                shard = store.shards[store.places.locate(number)[0]]
                yield Problem(shard, f"{key}: decoded to {image.grid.shape} voxels", "decoding")
        tell(done, len(chosen))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
