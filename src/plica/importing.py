"""Imports of large packages, without a search for garbage among what they make."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """Leave Python's search for cycles out while packages are imported; then it is as it was.

    Importing torch makes half a million things that stay. Python goes through them dozens of
    times meanwhile, and finds nothing: a fifth of the import.

    Examples:
        >>> import gc
        >>> with no_search_for_garbage():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
