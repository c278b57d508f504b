"""Moving: whether an archive is the one that a store was begun with, wherever it lies now."""

from __future__ import annotations

from pathlib import Path

from plica.bulk.discovery import look_through
from plica.bulk.ledger import Ledger
from plica.bulk.naming import name_key
from plica.bulk.task import Order
from plica.errors import SettingsError

ARCHIVE = "archive"  # the fact of where it lay at the last run, as a hash


def check_archive(order: Order, ledger: Ledger, *, moved: bool) -> None:
    """One store has one archive: with another, all that is done would count as gone.

    Nothing is changed before it is known that the archive is the same.

    Args:
        order: Whose archive and store.
        ledger: Of the store.
        moved: Whether the archive is said to lie elsewhere than before.

    Raises:
        SettingsError: It lies elsewhere, and that was not said; or nothing of it is at that place.

    Examples:
        >>> from plica.bulk.ledger import Ledger
        >>> folder = Path("moved.store")
        >>> folder.mkdir()
        >>> order = Order(Path("study"), folder, "bicubic-4x-2d")
        >>> check_archive(order, Ledger(folder), moved=False)  # it holds nothing yet
    """
    here = name_key(str(order.archive.resolve()))
    if ledger.facts().get(ARCHIVE, here) != here:
        # Of what knows of no series, such as of a wrong folder, nothing can be lost.
        if not moved and any(ledger.count().values()):
            raise SettingsError(
                f"{order.store} was begun with another archive than {order.archive}: give that one "
                "a store of its own, or say that the archive was moved (--moved)"
            )
        _check_moved(order, ledger)
        with ledger.looking() as look:
            look.forget_times()
    ledger.note(ARCHIVE, here)


def _check_moved(order: Order, ledger: Ledger) -> None:
    like, marked = "", False
    for path, known in ledger.places():
        if _lies(order.archive, path):
            return
        like, marked = like or path, marked or known
    if not like:
        return
    # Folders may have other names: series with UIDs are known by these, wherever they lie.
    if marked and any(
        ledger.knows(one.key) for some in look_through(order.archive) for one in some
    ):
        return
    raise SettingsError(
        f"none of the images that {order.store} was made of lies in {order.archive}, such as "
        f"{like!r}: it would encode all of that archive anew and count all it holds as deleted; "
        "give the folder that the archive is now, whose paths below it are as they were, or give "
        "this one a store of its own"
    )


def _lies(archive: Path, path: str) -> bool:
    try:
        return (archive / path).exists()
    except OSError:  # a folder that may not be entered
        return False
