"""Reading a source as the options say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plica.errors import InputError, PlicaError, SettingsError
from plica.formats.doors import read
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.sources import Source
from plica.formats.units import parse_unit
from plica.image import Image


@dataclass(frozen=True)
class Reading:
    """How sources are read: what a file does not say, and which part of it is meant."""

    volume: int | None = None
    series: str | None = None
    spacing: str | None = None
    unit: str | None = None
    max_bytes: int = DEFAULT_MAX_BYTES
    mapped: bool = False

    def __post_init__(self) -> None:
        """Refuse before any work what is no spacing and no unit."""
        parse_triple(self.spacing, "--spacing")
        parse_unit(self.unit)

    def read(self, source: Source) -> Image:
        """Read one source.

        Raises:
            PlicaError: It cannot be read, or an option is not what it should be. Its sentence
                names the source: what is wrong within a folder or zip names slices alone.
        """
        with naming(source.path.name):
            return read(
                source.path,
                volume=self.volume if source.volume is None else source.volume,
                series=self.series if source.series is None else source.series,
                spacing_mm=parse_triple(self.spacing, "--spacing"),
                unit=self.unit,
                max_bytes=self.max_bytes,
                mapped=self.mapped,
            )


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Errors within name what they are about, where they do not already."""
    try:
        yield
    except PlicaError as error:
        error.args = (_name(what, str(error)), *error.args[1:])
        raise


def name_source(source: Source, message: str) -> str:
    """A sentence that names the source it is about."""
    return _name(source.path.name, message)


def _name(what: str, message: str) -> str:
    return message if what in message else f"{what}: {message}"


def refuse_missing(path: Path, what: str = "file or folder") -> None:
    """Say of a path that leads nowhere just that, before anyone says what it lacks.

    Raises:
        InputError: There is nothing at it.
    """
    if not path.exists():
        raise InputError(f"there is no {what} at {path}: check the path")


def parse_triple(text: str | None, option: str) -> tuple[float, float, float] | None:
    """Three positive numbers with commas between: "0.7,0.7,5"."""
    if text is None:
        return None
    try:
        i, j, k = (float(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"{option} takes three numbers in mm such as 0.7,0.7,5, but got '{text}'"
        ) from error
    if not all(0 < value < 1e6 for value in (i, j, k)):
        raise SettingsError(f"{option} takes lengths above zero, but got '{text}'")
    return i, j, k
