"""Run: one folder that holds what was asked for, where it ran, what was said and what came out."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from plica import settings
from plica.errors import OutputError, UnreadableFile

Settings = TypeVar("Settings")

RECIPE, ENVIRONMENT, LOG, RESULTS = "recipe.toml", "environment.json", "log.jsonl", "results.json"
PACKAGES = (
    "plica", "numpy", "torch", "safetensors", "nibabel", "pydicom", "pylibjpeg",
    "pylibjpeg-openjpeg", "python-gdcm", "pillow", "imagecodecs", "accelerate", "tensorboard",
    "timm", "monai",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A folder of recipe.toml, environment.json, log.jsonl and, once finished, results.json."""

    folder: Path

    @classmethod
    def start(cls, folder: str | Path, recipe: Any) -> Run:
        """Make the folder and write the recipe and the environment into it.

        Args:
            recipe: A dataclass `plica.settings` can write.

        Raises:
            OutputError: The folder exists and is not empty, or cannot be written.

        Examples:
            >>> run = Run.start("runs/linear", recipe)
            >>> run.log("fitted", codec="linear-4x1-2d", seconds=3.1)
            >>> run.finish({"psnr_db": 33.2})
        """
        run = cls(Path(folder))
        text = settings.to_toml(recipe)
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            # A start that was stopped left no recipe: there is nothing of a run yet.
            occupied = any(path.name != ENVIRONMENT for path in run.folder.iterdir()
                           if not path.name.startswith("."))  # fmt: skip
        except OSError as error:
            raise OutputError(f"the run's folder {folder} cannot be made: {error}") from error
        if occupied:
            raise OutputError(f"{folder} is not empty; give the run a folder of its own")
        run._write(ENVIRONMENT, _json(describe_environment()))
        run._write(RECIPE, text)
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """A run that was started before.

        Raises:
            UnreadableFile: The folder is not there, or is no run's.

        Examples:
            >>> Run.start("runs/mine", recipe).finish({"psnr_db": 33.2})
            >>> Run.open("runs/mine").recipe(Recipe) == recipe
            True
        """
        run = cls(Path(folder))
        if not (run.folder / RECIPE).is_file():
            raise UnreadableFile(f"{folder} is no run's folder: there is no {RECIPE} in it")
        return run

    def log(self, event: str, **facts: Any) -> None:
        """Add one line to the log: the time (UTC), the event and its facts, as JSON.

        Raises:
            OutputError: The log cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **facts}, ensure_ascii=False) + "\n"
        try:
            # One write of one line in append mode: a run that is killed leaves whole lines.
            with (self.folder / LOG).open("ab", buffering=0) as file:
                file.write(line.encode())
        except OSError as error:
            raise OutputError(f"the log in {self.folder} cannot be written: {error}") from error

    def finish(self, results: Mapping[str, Any]) -> None:
        """Write the results: from now on the run is finished.

        Raises:
            OutputError: It was finished before, or the results cannot be written.
        """
        if self.is_finished:
            raise OutputError(f"{self.folder / RESULTS} exists; a run is finished once")
        self._write(RESULTS, _json(results))

    @property
    def is_finished(self) -> bool:
        """Whether results were written."""
        return (self.folder / RESULTS).is_file()

    def recipe(self, cls: type[Settings]) -> Settings:
        """The recipe the run was started with.

        Raises:
            SettingsError: It is missing, or not one of `cls`.
        """
        return settings.read(cls, self.folder / RECIPE)

    def environment(self) -> dict[str, Any]:
        """Versions and platform at the start, as `describe_environment` gave them.

        Raises:
            UnreadableFile: The file is missing or damaged.
        """
        return self._read_json(ENVIRONMENT)

    def results(self) -> dict[str, Any]:
        """What `finish` was given.

        Raises:
            UnreadableFile: The run is not finished, or the file is damaged.
        """
        return self._read_json(RESULTS)

    def events(self) -> list[dict[str, Any]]:
        """The log, line by line; a last line that was cut off is left out.

        Raises:
            UnreadableFile: A line is not one of a log.
        """
        path = self.folder / LOG
        if not path.is_file():
            return []
        try:
            whole_lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            events = [json.loads(line) for line in whole_lines]
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise UnreadableFile(f"{path} is not a run's log: {error}") from error
        if not all(isinstance(event, dict) for event in events):
            raise UnreadableFile(f"{path} is not a run's log: a line is no record")
        return events

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        partial = self.folder / f".{name}.{os.getpid()}.partial"
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)  # noqa: PTH105  the one call that replaces atomically anywhere
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise OutputError(f"{path} cannot be written: {error}") from error

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise UnreadableFile(f"{path} cannot be read: {error}") from error
        if not isinstance(record, dict):
            raise UnreadableFile(f"{path} holds a {type(record).__name__}, not a record")
        return record


def describe_environment() -> dict[str, Any]:
    """Versions of Python and of the packages plica stands on, and the platform.

    No host name, user name or path: the record may be published with the results.

    Examples:
        >>> "torch" in describe_environment()["packages"]
        True
    """
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def find_commit() -> str:
    """The commit plica was installed from, where pip was given a git repository; "" elsewhere.

    Examples:
        >>> find_commit() == "" or len(find_commit()) >= 7
        True
    """
    try:
        text = importlib.metadata.distribution("plica").read_text("direct_url.json")
        vcs = json.loads(text or "{}").get("vcs_info", {})
        commit = str(vcs.get("commit_id", ""))
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError, AttributeError):
        return ""  # what another program wrote there says nothing of a commit
    return commit if re.fullmatch("[0-9a-f]{7,64}", commit) else ""


def say_version(version: str) -> str:
    """A version of plica, and its commit where that is known.

    Examples:
        >>> say_version("0.1.0").split(" (commit ")[0]
        '0.1.0'
    """
    commit = find_commit()
    return f"{version} (commit {commit})" if commit else version


@functools.cache  # each is a file to be parsed, and stays while the process lives
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
