"""From stored values to real ones: the modality transform, and the unit it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import UnreadableFile
from plica.formats.dicom_file import Header, guarded
from plica.formats.terms import PET_UNITS, RESCALE_TYPES, SUV_TYPES, known_modality, quote
from plica.image import Unit

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
CT_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.2{end}" for end in ("", ".1", ".2"))
SCREEN_MODALITIES = frozenset(
    {"US", "IVUS", "ES", "XC", "GM", "OP", "OPT", "OCT", "SM", "SC", "OT", "DMS", "EPS"}
)
UNITS_BY_TYPE = {
    "HU": Unit.HU,
    "HZ": Unit.HERTZ,
    "GY": Unit.GRAY,
    "BQML": Unit.BQML,
    "GML": Unit.SUV,
    "LABEL": Unit.LABEL,
}
INTEGERS = (np.int16, np.uint16, np.int32, np.uint32, np.int64)
FLOAT32_BITS = 24


@dataclass(frozen=True, eq=False)
class Transform:
    """The modality transform of one frame: a line, or a table.

    Args:
        slope: Factor of the line.
        intercept: Added after it.
        kind: What the result is said to be ("HU", "OD", "US", …), "" where nothing is said.
        stated: Whether the file has such a transform at all.
        table: Outputs for whole stored values from `first` on; ends hold beyond them.
        first: The stored value that `table[0]` belongs to.
    """

    slope: float = 1.0
    intercept: float = 0.0
    kind: str = ""
    stated: bool = False
    table: NDArray[Any] | None = None
    first: int = 0

    @property
    def is_identity(self) -> bool:
        """Whether values stay as they are."""
        return self.table is None and (self.slope, self.intercept) == (1.0, 0.0)

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers stay whole."""
        return self.table is None and self.slope.is_integer() and self.intercept.is_integer()


def read_transform(source: Header, pixel_signed: bool) -> Transform:
    """The modality transform stated in a dataset or functional group.

    Raises:
        UnreadableFile: The slope is zero, or the table is not one.
    """
    table = source.item("ModalityLUTSequence")
    if table is not None:
        outputs, first, _ = read_table(table, pixel_signed)
        kind = table.text("ModalityLUTType")
        return Transform(kind=kind, stated=True, table=outputs, first=first)
    scaling = source.number("DoseGridScaling")
    if scaling is not None:
        return Transform(_nonzero(source, scaling), 0.0, source.text("DoseUnits"), True)
    slope, intercept = source.number("RescaleSlope"), source.number("RescaleIntercept")
    if slope is None and intercept is None:
        return Transform()
    slope = _nonzero(source, 1.0 if slope is None else slope)
    return Transform(slope, intercept or 0.0, source.text("RescaleType"), True)


def _nonzero(source: Header, slope: float) -> float:
    if slope == 0:
        raise UnreadableFile(
            f"{source.name}: its rescale slope is 0, which would make every pixel equal"
        )
    return slope


def read_table(item: Header, pixel_signed: bool) -> tuple[NDArray[Any], int, int]:
    """Outputs, first input and bits of a lookup table item (PS3.3 C.11.1.1).

    Raises:
        UnreadableFile: The descriptor and the data do not fit each other.
    """
    descriptor = item.numbers("LUTDescriptor", 3)
    if not descriptor:
        raise UnreadableFile(f"{item.name}: a lookup table has no descriptor")
    count, first, bits = (int(number) for number in descriptor)
    count = count or 65536
    if pixel_signed and first > 32767:
        first -= 65536  # the descriptor's middle number has the pixels' sign, its type has not
    with guarded(item.name, "reading a lookup table"):
        data = item.dataset.get("LUTData")
        outputs = _table_numbers(data, count)
    if outputs.size != count or not 1 <= bits <= 16:
        raise UnreadableFile(
            f"{item.name}: a lookup table announces {count} entries of {bits} bits and "
            f"holds {outputs.size}"
        )
    return outputs, first, bits


def _table_numbers(data: Any, count: int) -> NDArray[Any]:
    if isinstance(data, (bytes, bytearray)):
        kind = np.uint8 if len(data) < 2 * count else np.uint16
        return np.frombuffer(bytes(data), kind)[:count]
    return np.array(data, dtype=np.int64).reshape(-1).astype(np.uint16)


def apply_transforms(stored: NDArray[Any], transforms: Sequence[Transform]) -> NDArray[Any]:
    """Stored frames (n, …) to real values, whole where they stay whole and fit.

    Where the result takes as much room as what was stored, it takes its very room: a CT is never
    in memory twice.

    Whole results come in the first of int16, uint16, int32, uint32, int64 that holds them; others
    in float32, or float64 where stored values have more than 24 bits.
    """
    if all(transform.is_identity for transform in transforms):
        return stored
    whole = stored.dtype.kind in "iu"
    if whole and all(transform.is_whole for transform in transforms):
        return _whole(stored, transforms)
    if whole and all(transform.table is not None for transform in transforms):
        return _looked_up(stored, transforms)
    dtype = np.float64 if _needs_float64(stored) else np.float32
    values = np.empty(stored.shape, dtype)
    for number, transform in enumerate(transforms):
        frame = stored[number].astype(np.float64)
        if transform.table is not None:
            frame = _look_up(stored[number], transform).astype(np.float64)
        values[number] = frame * transform.slope + transform.intercept
    return values


def _needs_float64(stored: NDArray[Any]) -> bool:
    if stored.dtype.kind == "f":
        return stored.dtype.itemsize > 4
    bound = 1 << FLOAT32_BITS
    return stored.dtype.itemsize > 2 and bool(stored.max() > bound or stored.min() < -bound)


def _whole(stored: NDArray[Any], transforms: Sequence[Transform]) -> NDArray[Any]:
    ends = []
    for frame, transform in zip(stored, transforms, strict=True):
        for value in (int(frame.min()), int(frame.max())):
            ends.append(value * int(transform.slope) + int(transform.intercept))
    for kind in INTEGERS:
        limits = np.iinfo(kind)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            alike = stored.flags.writeable and stored.itemsize == np.dtype(kind).itemsize
            values = stored.view(kind) if alike else np.empty(stored.shape, kind)
            for number, transform in enumerate(transforms):
                frame = stored[number].astype(np.int64)
                values[number] = frame * int(transform.slope) + int(transform.intercept)
            return values
    values = stored.astype(np.float64)
    for number, transform in enumerate(transforms):
        values[number] = values[number] * transform.slope + transform.intercept
    return values


def _look_up(frame: NDArray[Any], transform: Transform) -> NDArray[Any]:
    table = transform.table
    if table is None:
        return frame
    index = np.clip(frame.astype(np.int64) - transform.first, 0, table.size - 1)
    return np.asarray(table[index])


def _looked_up(stored: NDArray[Any], transforms: Sequence[Transform]) -> NDArray[Any]:
    return np.stack(
        [_look_up(frame, transform) for frame, transform in zip(stored, transforms, strict=True)]
    )


def find_unit(header: Header, transform: Transform) -> tuple[Unit, list[str]]:
    """What a grey value measures, and a sentence where that had to be decided."""
    unit, notes = _decide_unit(header, transform, known_modality(header.text("Modality")))
    kind = transform.kind.upper()
    odd = kind and "DoseGridScaling" not in header and kind not in RESCALE_TYPES
    if odd and not notes and unit is not Unit.HU:  # Hounsfield units have spellings of their own
        notes = [f"Its rescale type is none of DICOM's: its unit is taken as '{unit.value}'."]
    return unit, notes


def _decide_unit(header: Header, transform: Transform, modality: str) -> tuple[Unit, list[str]]:
    """The unit of grey values; `modality` is "" where none of DICOM's is stated."""
    if modality != "PT" and transform.kind.upper() in UNITS_BY_TYPE:
        return UNITS_BY_TYPE[transform.kind.upper()], []
    if modality == "CT" or (not modality and header.text("SOPClassUID") in CT_CLASSES):
        return _ct_unit(header, transform)
    if modality == "PT":
        return _pet_unit(header)
    if modality == "RTDOSE" or header.text("SOPClassUID") == PARAMETRIC_MAP:
        return Unit.RELATIVE, []
    if modality in SCREEN_MODALITIES or (not modality and _is_capture(header)):
        return Unit.DISPLAY, []
    return Unit.RELATIVE, []


def _is_capture(header: Header) -> bool:
    uid = header.text("SOPClassUID")
    return uid == SECONDARY_CAPTURE or uid.startswith(f"{SECONDARY_CAPTURE}.")


def _ct_unit(header: Header, transform: Transform) -> tuple[Unit, list[str]]:
    kind = transform.kind.upper()
    if kind == "H.U." or kind.startswith(("HOUNS", "HOUND")):
        return Unit.HU, []
    if not kind and transform.stated and not _is_capture(header):
        return Unit.HU, []
    if _is_capture(header):
        return Unit.DISPLAY, ["A CT screen capture: its values are not Hounsfield units."]
    said = f"its rescale type is {quote(kind, RESCALE_TYPES)}" if kind else "it states no rescale"
    return Unit.RELATIVE, [
        f"A CT, but {said}: its values are not taken for Hounsfield units; --unit HU, in Python "
        "unit='HU', says that they are."
    ]


def _pet_unit(header: Header) -> tuple[Unit, list[str]]:
    units = header.text("Units").upper()
    if units == "BQML":
        return Unit.BQML, []
    if units == "GML":
        kind = header.text("SUVType").upper()
        if kind in {"", "BW"}:
            return Unit.SUV, []
        return Unit.SUV, [
            f"The uptake is normalised by {quote(kind, SUV_TYPES)}, not by body weight."
        ]
    said = quote(units, PET_UNITS) if units else "not stated"
    return Unit.RELATIVE, [f"A PET, but its unit is {said}: its values are relative."]
