"""What plica leaves in the comment fields of foreign formats: unit, display, how values are kept.

NIfTI, NRRD, MetaImage, PNG and TIFF have no place for a unit, and no picture has one for signed
values or a position in space. A short JSON record in each format's own field for comments carries
them, so that Hounsfield units come back as such. It never holds who the patient is.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plica.errors import InputError, PlicaError, UnreadableFile
from plica.formats.terms import known_modality
from plica.grid import Grid
from plica.image import Display, Image, Unit

VERSION = 1
PREFIX = "plica: "
"""Before the JSON in TIFF, where tifffile takes bare JSON with a "shape" for its own."""

_MAX_TEXT = 1 << 20
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Imprint:
    """One such record.

    Args:
        unit: What a value measures.
        display: The display window.
        calibrated: Whether the grid's millimetres are known.
        modality: DICOM modality code, where known.
        channels: Image channels, where the format's fourth axis holds them.
        stored: For 16-bit pictures: {"slope", "intercept", "dtype"} of the true values.
        grid: For formats without geometry.
    """

    unit: Unit
    display: Display = field(default_factory=Display)
    calibrated: bool = True
    modality: str = ""
    channels: int = 1
    stored: Mapping[str, Any] = field(default_factory=dict)
    grid: Grid | None = None

    @classmethod
    def of(
        cls, image: Image, *, stored: Mapping[str, Any] | None = None, with_grid: bool = False
    ) -> Imprint:
        """The record of an image."""
        return cls(
            image.unit,
            image.display,
            image.grid.calibrated,
            known_modality(image.provenance.modality),
            image.channels,
            stored or {},
            image.grid if with_grid else None,
        )

    def to_text(self) -> str:
        """One line of ASCII JSON."""
        record: dict[str, Any] = {
            "plica": VERSION,
            "unit": self.unit.value,
            "display": self.display.to_json(),
            "calibrated": self.calibrated,
            "modality": self.modality,
            "channels": self.channels,
        }
        if self.stored:
            record["stored"] = dict(self.stored)
        if self.grid is not None:
            record["grid"] = self.grid.to_json()
        return json.dumps(record, allow_nan=False)


def read_imprint(text: str, name: str) -> Imprint | None:
    """The record in a comment; None where the comment is somebody else's.

    Raises:
        UnreadableFile: It is plica's, and damaged, edited or of a newer version.
    """
    text = text[: _MAX_TEXT + 1].strip("\0 \r\n\t").removeprefix(PREFIX)
    if not text.startswith('{"plica"') or len(text) > _MAX_TEXT:
        return None
    record = parse_json(text, f"{name}: plica's own comment", UnreadableFile)
    checker = Checker(f"{name}: plica's own comment", UnreadableFile)
    if record.get("plica") != VERSION:
        raise UnreadableFile(
            f"{name} holds a comment of plica's version {record.get('plica')!r}, and this plica "
            f"knows version {VERSION}; update plica"
        )
    return Imprint(
        unit=checker.unit(record.get("unit")),
        display=checker.display(record.get("display", {})),
        calibrated=checker.of_type(record.get("calibrated", True), bool, "calibrated"),
        modality=known_modality(checker.of_type(record.get("modality", ""), str, "modality")),
        channels=checker.of_type(record.get("channels", 1), int, "channels"),
        stored=checker.stored(record.get("stored", {})),
        grid=checker.grid(record["grid"], "grid") if "grid" in record else None,
    )


def parse_json(text: str | bytes, what: str, error: type[PlicaError]) -> dict[str, Any]:
    """A JSON object, strictly: no NaN, no Infinity, no bottomless nesting.

    Raises:
        PlicaError: Of the type given: it is not one.
    """
    try:
        record = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise error(f"{what} is not valid JSON ({problem}); it is damaged") from problem
    if not isinstance(record, dict):
        raise error(f"{what} should be a JSON object, but is {type(record).__name__}")
    return record


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


@dataclass(frozen=True)
class Checker:
    """Turns parsed JSON into nouns, or says which field is wrong.

    Args:
        what: The record, for messages.
        error: The error to raise.
    """

    what: str
    error: type[PlicaError]

    def fail(self, key: str, value: object, expected: str) -> PlicaError:
        """The error for one field."""
        came = reprlib.repr(value)  # a hostile value may be long
        return self.error(f"{self.what}: {key} is {came}, but {expected} was expected")

    def of_type(self, value: Any, kind: type, key: str) -> Any:
        """The value, if it is of that type (and true is no number)."""
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise self.fail(key, value, f"a value of type {kind.__name__}")
        return value

    def number(self, value: Any, key: str) -> float:
        """A finite number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail(key, value, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.fail(key, value, "a finite number")
        return number

    def unit(self, value: Any) -> Unit:
        """A unit by its value."""
        for unit in Unit:
            if unit.value == value:
                return unit
        raise self.fail("unit", value, f"one of {', '.join(unit.value for unit in Unit)}")

    def display(self, value: Any) -> Display:
        """A display window."""
        record = self.of_type(value, dict, "display")
        unknown = set(record) - set(Display().to_json())
        if unknown:
            raise self.fail("display", sorted(unknown), "no such setting")
        window = {
            key: None if record.get(key) is None else self.number(record[key], f"display.{key}")
            for key in ("center", "width")
        }
        function = record.get("function", "LINEAR")
        if function not in _FUNCTIONS:
            raise self.fail("display.function", function, f"one of {', '.join(_FUNCTIONS)}")
        table = self.of_type(record.get("table", []), list, "display.table")
        return Display(
            **window,
            function=function,
            inverted=self.of_type(record.get("inverted", False), bool, "display.inverted"),
            table=tuple(self.number(entry, "display.table") for entry in table),
            table_first=self.of_type(record.get("table_first", 0), int, "display.table_first"),
        )

    def grid(self, value: Any, key: str) -> Grid:
        """A grid."""
        record = self.of_type(value, dict, key)
        shape = self.of_type(record.get("shape"), list, f"{key}.shape")
        rows = self.of_type(record.get("affine"), list, f"{key}.affine")
        for side in shape:
            if self.of_type(side, int, f"{key}.shape") > 1 << 31:
                raise self.fail(f"{key}.shape", side, "at most 2 ** 31")
        for row in rows:
            for entry in self.of_type(row, list, f"{key}.affine"):
                self.number(entry, f"{key}.affine")
        self.of_type(record.get("calibrated"), bool, f"{key}.calibrated")
        try:
            return Grid.from_json(record)
        except InputError as problem:
            raise self.error(f"{self.what}: {key}: {problem}") from problem

    def stored(self, value: Any) -> dict[str, Any]:
        """How a 16-bit picture keeps its values."""
        record = self.of_type(value, dict, "stored")
        if not record:
            return {}
        if set(record) != {"slope", "intercept", "dtype"}:
            raise self.fail("stored", sorted(record), "slope, intercept and dtype")
        for key in ("slope", "intercept"):
            self.number(record[key], f"stored.{key}")
        if record["slope"] == 0:
            raise self.fail("stored.slope", 0, "a number other than 0")
        return dict(record)
