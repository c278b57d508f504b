"""Planning: series by key into shards, so that the same archive makes the same shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plica.bulk.naming import name_shard

MOST_SERIES = 256
MOST_BYTES = 1 << 32
FIRST_SERIES = 16  # in a store's first shard: what is wrong, or how long it takes, shows soon


def group(
    series: Iterable[tuple[str, int]],
    *,
    most_series: int,
    most_bytes: int,
    first_series: int | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Name and keys of each shard.

    Args:
        series: Key and bytes of files of each, by key.
        most_series: In a shard.
        most_bytes: Of the files of a shard's series, unless one alone has more.
        first_series: At most so many in the first, and twice as many in each that follows.

    Examples:
        >>> series = [("a", 5), ("b", 5), ("c", 5)]
        >>> [keys for _, keys in group(series, most_series=9, most_bytes=10)]
        [['a', 'b'], ['c']]
    """
    keys: list[str] = []
    held = 0
    room = min(most_series, first_series or most_series)
    for key, size in series:
        if keys and (len(keys) >= room or held + size > most_bytes):
            yield name_shard(keys), keys
            keys, held = [], 0
            room = min(most_series, 2 * room)
        keys.append(key)
        held += size
    if keys:
        yield name_shard(keys), keys
