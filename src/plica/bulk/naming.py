"""Names of series and of shards: the same each time, and nothing can be read from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def name_key(identity: str) -> str:
    """A series' name in the store.

    Examples:
        >>> name_key("file a.nii")
        '7326ec939f970395a7246bad614ccb28'
    """
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def name_shard(keys: Iterable[str]) -> str:
    """A shard's name: what it was planned to hold decides."""
    return hashlib.sha256(" ".join(keys).encode()).hexdigest()[:24]
