"""Naming a store's latents as people do: by a key's beginning, a path, a folder, a series' mark."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from plica.errors import InputError, UnknownName
from plica.formats.sources import strip_ending
from plica.formats.store import Store
from plica.formats.store_paths import LEDGER, open_paths

_NEAR = 3
_COMPARED = 10_000  # paths that are compared with what was said: more take seconds


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
        paths = {} if found else paths_of(store)
        found = found or [key for key, path in paths.items() if path == said]
        if not found:
            raise UnknownName(
                f"no latent of the store has the key {said[:80]!r}, or one that begins so, or that "
                f"path; {_explain_absence(store, said, sorted(filter(None, paths.values())))}"
            ) from error
    if len(found) > 1:
        raise InputError(
            f"{said[:80]!r} stands for {len(found)} latents, such as {found[0]} and {found[1]}; "
            "give more of the key"
        )
    return found[0]


def _explain_absence(store: Store, said: str, paths: Sequence[str]) -> str:
    """What may have been meant, and where keys and paths are listed."""
    if not paths:
        like = f", such as {store.keys[0]}" if store.keys else ""
        return (
            f"the store knows no paths (its index holds none, and no {LEDGER} with them lies "
            f"beside it), so that keys alone name its latents{like}; "
            '`Store.open("STORE").keys` lists them in Python'
        )
    folder = said.rstrip("/") + "/"
    if inside := [path for path in paths if path.startswith(folder)]:
        near = f"{folder} is a folder of {len(inside)} series, give one, such as "
        near += " or ".join(inside[:_NEAR])
    elif alike := difflib.get_close_matches(said, paths[:_COMPARED], n=_NEAR, cutoff=0.5):
        near = f"near it: {' or '.join(alike)}"
    else:
        near = f"paths begin below the archive's folder, such as {paths[0]}"
    if not (store.folder / LEDGER).is_file():
        return f"{near}; the column `source` of the store's index lists paths by key"
    return f"{near}; `plica bulk status STORE -o keys.csv` lists keys and paths"


def find_below(store: Store, folder: str) -> set[str]:
    """Keys of all latents of a folder of the archive: of what lies in it, or in folders below.

    Of its copies, too: a series that lies in this folder and in another has one latent, wherever it
    was met first; and a latent with the mark of one of these is of the same series, or image. The
    ledger says so, as it was when `plica bulk encode` last looked.

    Args:
        store: Where they are, with its ledger.
        folder: Its path below the archive, or that of a file or zip: `SMITH_JOHN_3`.

    Raises:
        UnknownName: No latent is of it.
        InputError: The store has no ledger, or one that does not know all its latents; or the
            archive as a whole was named.

    Examples:
        >>> len(find_below(store, "SMITH_JOHN_3"))  # wants a ledger  # doctest: +SKIP
        2
    """
    said = PurePosixPath(folder).as_posix()
    if said == ".":
        raise InputError("give a folder below the archive: all that is in it would be all there is")
    marks: dict[str, str] = {}
    with open_paths(store.folder) as paths:
        known: set[str] = set()
        for shard, table in _read_marks(store):
            marks |= table
            known |= set(paths.of_shard(shard)) if paths else set()
        if lost := sorted(set(marks) - known):
            raise InputError(
                f"of {len(lost)} of {len(marks)} latents no ledger knows where their images lie, "
                f"such as {lost[0]}: take the store with the ledger it was made with, or find "
                "latents by their series' marks"
            )
        found = paths.below(said) & set(marks) if paths else set()
    if not found:
        raise UnknownName(
            f"no latent of the store is of {said[:80]!r} or of what lies below it; give the path "
            "below the archive, as `plica bulk status STORE -o keys.csv` lists them"
        )
    theirs = {marks[key] for key in found} - {""}
    return found | {key for key, mark in marks.items() if mark in theirs}


def find_marked(store: Store, mark: str) -> set[str]:
    """Keys of all latents of one series, by its mark; no ledger is needed.

    Args:
        store: Where they are.
        mark: As `plica inspect` shows it, whole: a hash of the series' UID. A number behind it
            (".2", one of the images that a series parts into) is left away: all of the series is
            meant.

    Raises:
        UnknownName: No latent has it.

    Examples:
        >>> len(find_marked(store, "723206a90037c524"))  # wants a series' own  # doctest: +SKIP
        1
    """
    said = mark.partition(".")[0]
    found = {
        key for _, table in _read_marks(store) for key, its in table.items() if said and its == said
    }
    if not found:
        raise UnknownName(
            f"no latent of the store has the mark {mark[:80]!r}; give it whole, as `plica inspect` "
            "lists it (of a UID it is plica.formats.dicom_series.pseudonym(UID)), or see whether "
            "the series is in the store"
        )
    return found


def _read_marks(store: Store) -> Iterator[tuple[str, dict[str, str]]]:
    """Of each shard the marks of its latents' series, by key."""
    for shard, table in zip(store.shards, store.tables(("key", "series")), strict=True):
        keys, marks = (table.column(name).to_pylist() for name in ("key", "series"))
        yield shard, dict(zip(keys, marks, strict=True))


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
