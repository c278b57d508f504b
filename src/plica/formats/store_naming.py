"""Naming a store's latents as people do: by the beginning of a key, or by the image's path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from plica.errors import InputError, UnknownName
from plica.formats.sources import strip_ending
from plica.formats.store import Store
from plica.formats.store_paths import open_paths


def find_key(store: Store, said: str) -> str:
    """The key of one latent.

    Args:
        store: Where it is.
        said: Its key, a beginning that no other key has, or the image's path within the archive.

    Raises:
        UnknownName: No latent is called so.
        InputError: Several are.

    Examples:
        >>> find_key(store, "0.png") in store.keys
        True
    """
    try:
        return store.key(store.number(said))
    except UnknownName as error:
        found = [key for key in store.keys if key.startswith(said)] if said else []
        found = found or [key for key, path in paths_of(store).items() if path == said]
        if not found:
            raise UnknownName(
                f"no latent of the store has the key {said[:80]!r}, or one that begins so, or that "
                "path; `plica bulk status STORE -o keys.csv` lists keys and paths"
            ) from error
    if len(found) > 1:
        raise InputError(
            f"{said[:80]!r} stands for {len(found)} latents, such as {found[0]} and {found[1]}; "
            "give more of the key"
        )
    return found[0]


def paths_of(store: Store) -> dict[str, str]:
    """Path within the archive by key, as index or ledger know it; "" where neither does."""
    known: dict[str, str] = {}
    with open_paths(store.folder) as paths:
        tables = store.tables(("key", "source"))
        for shard, table in zip(store.shards, tables, strict=True):
            own = dict(zip(*(table.column(n).to_pylist() for n in ("key", "source")), strict=True))
            beside = {} if paths is None or all(own.values()) else paths.of_shard(shard)
            known |= {key: path or beside.get(key, "") for key, path in own.items()}
    return known


def name_series(store: Store, keys: Sequence[str]) -> dict[str, str]:
    """Keys by a name each, which is the image's path without its ending.

    Where several would have one name, the beginnings of their keys tell them apart.

    Raises:
        InputError: Of one the path is not known.
    """
    paths = paths_of(store)
    if lost := [key for key in keys if not paths.get(key)]:
        raise InputError(
            f"of {len(lost)} latents the path is not known, such as {lost[0]}: neither the index "
            "holds it nor a ledger beside it; name images by their keys"
        )
    if astray := [paths[key] for key in keys if _leads_out(paths[key])]:
        raise InputError(f"the path {astray[0]!r} leads out of any folder; name images by keys")
    stems = {key: strip_ending(paths[key]) for key in keys}
    often = Counter(stems.values())
    return {stem if often[stem] == 1 else f"{stem}-{key[:8]}": key for key, stem in stems.items()}


def _leads_out(path: str) -> bool:
    """A store may come from anybody, and a path in it is where a file would be written."""
    return path.startswith("/") or ".." in PurePosixPath(path).parts
