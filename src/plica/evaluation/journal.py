"""Journal: results on disk as they come, so that a run that is cut off loses one case at most."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plica.errors import OutputError, SettingsError, UnreadableFile
from plica.evaluation.results import Result, Results, Where
from plica.run import RECIPE, Run

RESULTS = "results"


class Journal:
    """A run's folder with one file for each result.

    Args:
        run: Its settings, environment and log.
        made: The folders that were made for it, the run's own first; none of a run that was there.

    Examples:
        >>> journal = Journal.begin(Path("report/run"), recipe, resume=True)
        >>> for result in results:
        ...     if not journal.has(result.where):
        ...         journal.add(result)
        >>> len(journal.read([result.where for result in results]))
        160
    """

    def __init__(self, run: Run, made: Sequence[Path] = ()) -> None:
        self.run = run
        self._made = tuple(made)
        self._folder = run.folder / RESULTS

    @classmethod
    def begin(cls, folder: Path, asked: Any, *, resume: bool) -> Journal:
        """Start a run's folder, or go on with one of the same settings.

        Args:
            asked: A frozen dataclass of everything that the results depend on.
            resume: Go on where a run was cut off; a folder that is not there is started.

        Raises:
            OutputError: The folder is there and is not to be resumed, or cannot be written.
            SettingsError: It was run with other settings: its results are not these.
        """
        if not (resume and (folder / RECIPE).is_file()):
            made = [place for place in (folder, *folder.parents) if not place.exists()]
            return cls(Run.start(folder, asked), made)
        run = Run.open(folder)
        if run.recipe(type(asked)) != asked:
            raise SettingsError(
                f"{folder} was begun with other settings, which stand in its recipe.toml: repeat "
                "those, or begin anew elsewhere or with --overwrite"
            )
        return cls(run)

    def has(self, where: Where) -> bool:
        """Whether there is a result already."""
        return self._path(where).is_file()

    def failed(self, where: Where) -> bool:
        """Whether there is a result that says why there is nothing."""
        return self.has(where) and bool(_read(self._path(where)).error)

    def add(self, result: Result) -> None:
        """Keep a result, whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        path = self._path(result.where)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        text = json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False)
        try:
            self._folder.mkdir(exist_ok=True)
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"{path} cannot be written: {error}") from error

    def read(self, order: list[Where]) -> Results:
        """The results of those places, in their order; those that are not there yet are left out.

        Raises:
            UnreadableFile: One is damaged.
        """
        return Results(tuple(_read(self._path(where)) for where in order if self.has(where)))

    def discard(self) -> None:
        """Leave no run where none was: the folders made for it go.

        What was there before stays, and so does a run that was gone on with.

        Raises:
            OutputError: They cannot be removed.
        """
        try:
            for place in self._made:
                if place == self.run.folder:
                    shutil.rmtree(place)
                elif not any(place.iterdir()):  # else somebody put something beside the run
                    place.rmdir()
        except OSError as error:
            raise OutputError(f"{self.run.folder} cannot be removed: {error}") from error

    def _path(self, where: Where) -> Path:
        key, codec, draw = where
        spelt = json.dumps([*key, codec, draw])
        return self._folder / f"{hashlib.sha256(spelt.encode()).hexdigest()[:32]}.json"


def _read(path: Path) -> Result:
    try:
        return Result.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UnreadableFile(
            f"{path} is no result: {error}; delete it, and run again with --resume"
        ) from error
