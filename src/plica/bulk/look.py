"""A look through an archive: what each folder holds goes into the ledger, and what is where twice.

A DICOM series has one row under its own key, wherever it lies. Every other place it was met in has
a row of its own that names the first (`copy_of`): a *duplicate* where it holds the same images, and
*scattered* where it holds others of the series, in which case neither is encoded, for neither is
the series.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from plica.bulk.naming import name_key
from plica.bulk.task import Found

COPIES = "the same series as "
SCATTERED = "its series lies in several folders, with other images in each: bring them together"
SPREAD = (
    "images of its series lie in other folders now, too, and its latent is of the first folder: "
    "bring them together"
)
_SETTLED = (
    # A copy holds the same images as the first, or others of its series.
    """UPDATE series SET
        state = CASE WHEN instances = (SELECT one.instances FROM series one
                                       WHERE one.key = series.copy_of)
                THEN 'duplicate' ELSE 'scattered' END,
        reason = (SELECT :copies || one.path FROM series one WHERE one.key = series.copy_of)
    WHERE copy_of != ''""",
    "UPDATE series SET reason = :scattered WHERE copy_of != '' AND state = 'scattered'",
    """UPDATE series SET state = 'scattered', reason = :scattered, shard = ''
    WHERE state = 'waiting' AND key IN
        (SELECT copy_of FROM series WHERE copy_of != '' AND state = 'scattered')""",
    # Its latent stays, and is not made again of one folder's images.
    """UPDATE series SET reason = :spread WHERE state = 'done' AND key IN
        (SELECT copy_of FROM series WHERE copy_of != '' AND state = 'scattered')""",
    """UPDATE series SET reason = '' WHERE state = 'done' AND reason = :spread AND key NOT IN
        (SELECT copy_of FROM series WHERE copy_of != '' AND state = 'scattered')""",
    """UPDATE series SET state = 'waiting', reason = ''
    WHERE state = 'scattered' AND copy_of = '' AND key NOT IN
        (SELECT copy_of FROM series WHERE copy_of != '' AND state = 'scattered')""",
)
_MOVED = """UPDATE series SET folder = :folder, path = :path, part = :part, files = :files,
    bytes = :bytes, signature = :signature, changed = changed OR instances != :instances,
    instances = :instances, reason = '',
    state = CASE state WHEN 'done' THEN state ELSE 'waiting' END
    WHERE key = :key"""


class Look:
    """One look through an archive; see `Ledger.looking`."""

    def __init__(self, db: sqlite3.Connection, number: int) -> None:
        self._db = db
        self.number = number

    def forget_times(self) -> None:
        """Of an archive that was moved, perhaps as a copy: other times are no change by themselves.

        What is done counts as unchanged where it is met with the same names and sizes again.
        """
        self._db.execute("UPDATE series SET signature = '' WHERE state = 'done'")

    def knows(self, folder: str, signature: str) -> bool:
        """Whether the folder is as it was when it was last looked into."""
        return (
            self._db.execute(
                "UPDATE folders SET seen = ? WHERE path = ? AND signature = ?",
                (self.number, folder, signature),
            ).rowcount
            == 1
        )

    def record(
        self, folder: str, signature: str, found: Sequence[Found], left: Sequence[tuple[str, str]]
    ) -> None:
        """What a folder holds now; of what is done already, only that it changed."""
        found = [self._keep_key(one) for one in found]
        here = {one.key for one in found}
        known = self._db.execute("SELECT key FROM series WHERE folder = ?", (folder,)).fetchall()
        for (key,) in known:
            if key not in here:
                self._lose(key)
        for one in found:
            self._record_series(folder, one)
        self._leave_out(folder, left)
        self._db.execute(
            "INSERT OR REPLACE INTO folders VALUES (?, ?, ?)", (folder, signature, self.number)
        )

    def _keep_key(self, one: Found) -> Found:
        """A series in a zip, under the key that the ledger has for it from earlier versions.

        A latent has that key, too, which cannot change: under another it would be encoded again.
        Without one it is known by its UIDs from now on.
        """
        if not one.former:
            return one
        self._db.execute("DELETE FROM series WHERE key = ? AND state != 'done'", (one.former,))
        met = self._db.execute("SELECT 1 FROM series WHERE key = ?", (one.former,)).fetchone()
        return one if met is None else replace(one, key=one.former)

    def record_closed(self, folder: str, reason: str) -> None:
        """A folder that cannot be listed: what is known of it and those below it stays."""
        self._leave_out(folder, [(folder, f"cannot be listed: {reason}")])
        self._db.execute(
            "UPDATE folders SET seen = ? WHERE path >= ? AND path < ?",
            (self.number, f"{folder}/", f"{folder}0"),  # "0" comes after "/"
        )
        self._db.execute("INSERT OR REPLACE INTO folders VALUES (?, '', ?)", (folder, self.number))

    def _leave_out(self, folder: str, left: Sequence[tuple[str, str]]) -> None:
        self._db.execute("DELETE FROM left_out WHERE folder = ?", (folder,))
        self._db.executemany(
            "INSERT OR REPLACE INTO left_out VALUES (?, ?, ?)",
            ((path, folder, reason) for path, reason in left),
        )

    def _record_series(self, folder: str, one: Found) -> None:
        row = self._db.execute(
            "SELECT path, signature, state, bytes, files, instances FROM series WHERE key = ?",
            (one.key,),
        ).fetchone()
        if row is None or row[2] == "gone":
            self._insert(folder, one)
            return
        path, signature, state, *facts = row
        if not signature and facts == [one.bytes, json.dumps(one.files), one.instances]:
            signature = one.signature
            self._db.execute("UPDATE series SET signature = ? WHERE key = ?", (signature, one.key))
        if path != one.path:
            self._insert(folder, one, name_key(f"copy {one.key} {one.path}"), one.key)
        elif signature != one.signature and state == "done":
            # Its latent stays: shards are never changed. `bulk status` says that it is old.
            # Should its shard be lost, it is encoded from what is there now.
            self._db.execute(
                "UPDATE series SET changed = 1, folder = ?, instances = ?, signature = ?, "
                "bytes = ?, files = ?, part = ? WHERE key = ?",
                (folder, one.instances, one.signature, one.bytes, json.dumps(one.files),
                 one.series, one.key),
            )  # fmt: skip
        elif signature != one.signature:
            self._db.execute(
                "UPDATE series SET state = 'waiting', reason = '', signature = ?, bytes = ?, "
                "files = ?, instances = ?, deaths = 0, suspect = 0, "
                "shard = CASE state WHEN 'waiting' THEN shard ELSE '' END WHERE key = ?",
                (one.signature, one.bytes, json.dumps(one.files), one.instances, one.key),
            )
        else:  # it may have been gone for a while: a disk that was not there, another folder given
            self._db.execute(
                "UPDATE series SET folder = ? WHERE key = ? AND folder = ''", (folder, one.key)
            )

    def _insert(self, folder: str, one: Found, key: str = "", copy_of: str = "") -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO series (key, folder, path, part, files, bytes, signature, "
            "instances, copy_of, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (key or one.key, folder, one.path, one.series, json.dumps(one.files), one.bytes,
             one.signature, one.instances, copy_of, "duplicate" if copy_of else "waiting"),
        )  # fmt: skip

    def _lose(self, key: str) -> None:
        self._db.execute("DELETE FROM series WHERE key = ? AND copy_of != ''", (key,))
        self._db.execute(
            "UPDATE series SET state = 'gone', reason = 'its files are gone', shard = '' "
            "WHERE key = ? AND state != 'done'",
            (key,),
        )
        self._db.execute("UPDATE series SET folder = '' WHERE key = ?", (key,))

    def keep(self) -> None:
        """Bring what was found so far to the disk."""
        self._db.execute("COMMIT")
        self._db.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        """The whole archive was met: what was not is gone, and a copy of it takes its place."""
        unmet = self._db.execute(
            "SELECT path FROM folders WHERE seen < ?", (self.number,)
        ).fetchall()
        for (folder,) in unmet:
            keys = self._db.execute("SELECT key FROM series WHERE folder = ?", (folder,)).fetchall()
            for (key,) in keys:
                self._lose(key)
            self._leave_out(folder, ())
            self._db.execute("DELETE FROM folders WHERE path = ?", (folder,))
        self._promote_copies()
        reasons = {"copies": COPIES, "scattered": SCATTERED, "spread": SPREAD}
        for statement in _SETTLED:
            self._db.execute(statement, reasons)

    def _promote_copies(self) -> None:
        """A series that is gone from where it was first met is now where a copy of it is."""
        homeless = self._db.execute(
            "SELECT one.key, min(copy.path) FROM series copy "
            "JOIN series one ON one.key = copy.copy_of "
            "WHERE copy.copy_of != '' AND one.folder = '' GROUP BY one.key"
        ).fetchall()
        for key, path in homeless:
            row = self._db.execute(
                "SELECT key AS copy, folder, path, part, files, bytes, signature, instances "
                "FROM series WHERE copy_of = ? AND path = ?",
                (key, path),
            )
            names = [column[0] for column in row.description]
            facts = {**dict(zip(names, row.fetchone(), strict=True)), "key": key}
            self._db.execute(_MOVED, facts)
            self._db.execute("DELETE FROM series WHERE key = :copy", facts)
