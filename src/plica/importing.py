"""Imports of large packages, without a search for garbage among what they make."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """Leave Python's search for cycles out while packages are imported; then it is as it was.

    Importing torch makes more than a hundred thousand things, and nearly all of them stay. Python
    would search among them hundreds of times meanwhile: a sixth of the import.

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
