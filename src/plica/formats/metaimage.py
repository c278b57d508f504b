"""MetaImage (.mha, .mhd with its .raw or .zraw), read and written; its world is LPS."""

from __future__ import annotations

import contextlib
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plica.errors import UnreadableFile, UnsupportedFormat
from plica.formats.affines import LPS_TO_RAS, compose, is_usable
from plica.formats.assembly import assemble, choose_volume, settle_calibration
from plica.formats.atomic import new_file
from plica.formats.imprint import Imprint, read_imprint
from plica.formats.limits import DEFAULT_MAX_BYTES, check_expansion, check_size
from plica.formats.scaling import cast_for_writing
from plica.formats.streams import check_rest, map_values, open_bytes
from plica.formats.textfields import (
    MAX_HEADER,
    check_file_holds,
    find_pixel_file,
    parse_numbers,
    parse_sides,
    parse_skip,
    read_ascii,
    read_line,
    read_packed,
    skip_header,
)
from plica.grid import Float64, Grid
from plica.image import Image, Pixels, Unit

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_NAMES = {np.dtype(kind).name: word for word, kind in _TYPES.items()}


def read(
    path: Path,
    *,
    volume: int | None = None,
    unit: Unit | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    mapped: bool = False,
) -> Image:
    """Read a MetaImage file, or a header with its pixels beside it.

    Args:
        path: The .mha or .mhd file.
        volume: Which entry of a fourth axis, from 0.
        unit: What the values measure; None takes plica's own record or a noted guess.
        max_bytes: Refuse more decoded bytes than this.
        mapped: Map the pixels of a file that is not packed, in place of reading them.

    Raises:
        UnreadableFile: Damaged or truncated, or the header points outside its folder.
        UnsupportedFormat: A type or arrangement plica does not read.
        AmbiguousSource: Several volumes, and none was chosen.
        TooLarge: Past the limit.

    Examples:
        >>> read(Path("thorax.mha")).grid.spacing_mm
        (0.8, 0.8, 2.0)
    """
    with open_bytes(path) as stream:
        fields = _read_fields(stream, path.name)
        sides = _read_sides(fields, path.name)
        with _open_pixels(stream, path, fields) as (pixel_stream, size):
            said = _describe_stored(fields, size, path.name)
            check_size(path.name, said.needed, max_bytes)
            check_file_holds(pixel_stream, size, said.needed, said.encoding, path.name)
            check_expansion(path.name, size, said.needed, max_bytes)
            stored = _read_stored(pixel_stream, fields, path.name, said, mapped=mapped)
    channels = _channels(fields, path.name)
    array = stored.reshape((channels, *sides), order="F")
    if len(sides) == 4:
        array = array[..., choose_volume(sides[3], volume, path.name)]
    elif len(sides) == 2:
        array = array[..., None]
    affine, known, notes = _read_affine(fields, len(sides), path.name)
    grid = Grid((array.shape[1], array.shape[2], array.shape[3]), affine, known)
    imprint = read_imprint(fields.get("Comment", ""), path.name)
    return assemble(
        array,
        settle_calibration(grid, imprint),
        reader="metaimage",
        unit=unit,
        imprint=imprint,
        notes=notes,
    )


def _read_fields(stream: io.BufferedIOBase, name: str) -> dict[str, str]:
    """All "Key = value" lines up to ElementDataFile, which is the last."""
    fields: dict[str, str] = {}
    seen = 0
    while "ElementDataFile" not in fields:
        line = read_line(stream, name)
        seen += len(line) + 1
        key, mark, value = line.partition("=")
        if not mark or seen > MAX_HEADER:
            raise UnreadableFile(
                f"{name} has a header line of {len(line)} letters without '=' where MetaImage "
                "needs 'Key = value' up to ElementDataFile; it is damaged or truncated"
            )
        fields[key.strip()] = value.strip()
    return fields


def _first(fields: dict[str, str], *keys: str, default: str) -> str:
    """The value under the first of several names MetaImage has for one thing."""
    return next((fields[key] for key in keys if key in fields), default)


def _is_true(fields: dict[str, str], *keys: str) -> bool:
    return _first(fields, *keys, default="False").strip().lower() in {"true", "1", "t", "yes"}


def _read_sides(fields: dict[str, str], name: str) -> tuple[int, ...]:
    sides = parse_sides(fields.get("DimSize", ""), f"{name}: DimSize")
    if fields.get("NDims") != str(len(sides)):
        raise UnreadableFile(
            f"{name} has {len(sides)} sides for NDims = {fields.get('NDims', 'nothing')[:20]}"
        )
    if len(sides) not in (2, 3, 4):
        raise UnsupportedFormat(f"{name} has {len(sides)} axes, and plica reads two to four")
    return sides


def _channels(fields: dict[str, str], name: str) -> int:
    text = fields.get("ElementNumberOfChannels", "1")
    return math.prod(parse_sides(text, f"{name}: ElementNumberOfChannels"))


# -- pixels --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _open_pixels(
    stream: io.BufferedIOBase, path: Path, fields: dict[str, str]
) -> Iterator[tuple[io.BufferedIOBase, int]]:
    named = fields["ElementDataFile"]
    if named.upper() == "LOCAL":
        yield stream, path.stat().st_size
        return
    if named.upper().startswith("LIST") or "%" in named:
        raise UnsupportedFormat(
            f"{path.name} spreads its pixels over several files, and plica reads one; join them"
        )
    pixel_file = find_pixel_file(path, named)
    with pixel_file.open("rb") as detached:
        yield detached, pixel_file.stat().st_size


@dataclass(frozen=True)
class _Stored:
    """What the header says of the stored values, and the size of their file."""

    kind: np.dtype[np.generic]
    count: int
    encoding: str
    size: int

    @property
    def needed(self) -> int:
        return self.count * self.kind.itemsize


def _describe_stored(fields: dict[str, str], size: int, name: str) -> _Stored:
    word = fields.get("ElementType", "").removesuffix("_ARRAY")
    if word not in _TYPES:
        raise UnsupportedFormat(
            f"{name} keeps values of type {word[:30]!r}, and plica reads "
            f"{', '.join(sorted(_TYPES))}; convert it first"
        )
    big = _is_true(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    as_text = _first(fields, "BinaryData", default="True").lower() in {"false", "0", "f", "no"}
    encoding = "zlib" if _is_true(fields, "CompressedData") else "raw"
    return _Stored(
        np.dtype(_TYPES[word]).newbyteorder(">" if big else "<"),
        math.prod(_read_sides(fields, name)) * _channels(fields, name),
        "ascii" if as_text else encoding,
        size,
    )


def _read_stored(
    stream: io.BufferedIOBase, fields: dict[str, str], name: str, stored: _Stored, *, mapped: bool
) -> Pixels:
    if stored.encoding == "ascii":
        return read_ascii(stream, stored.count, stored.kind.newbyteorder("="), name)
    skip = parse_skip(fields.get("HeaderSize", "0"), f"{name}: HeaderSize")
    if skip == -1 and stored.encoding == "raw":
        stream.seek(stored.size - stored.needed)
    else:
        skip_header(stream, lines=0, count=max(skip, 0), name=name)
    values = None
    if mapped and stored.encoding == "raw":
        check_rest(stream, stored.size, stored.needed, name)
        values = map_values(stream, stored.kind, stored.count)
    if values is None:
        values = read_packed(stream, stored.encoding, stored.needed, name).view(stored.kind)
    return values.astype(stored.kind.newbyteorder("="), copy=False)


# -- geometry ------------------------------------------------------------------------------------


def _read_affine(
    fields: dict[str, str], axes: int, name: str
) -> tuple[Float64, bool, tuple[str, ...]]:
    """The affine in RAS+ millimetres; MetaImage lists one direction after the other."""
    spacing, known, notes = _read_spacing(fields, axes, name)
    identity = " ".join(str(number) for number in np.eye(axes).ravel())
    text = _first(fields, "TransformMatrix", "Rotation", "Orientation", default=identity)
    directions = np.eye(4)
    directions[:axes, :axes] = (
        parse_numbers(text, axes * axes, f"{name}: TransformMatrix").reshape(axes, axes).T
    )
    origin = np.zeros(4)
    zeros = " ".join("0" * axes)
    origin[:axes] = parse_numbers(
        _first(fields, "Offset", "Position", "Origin", default=zeros), axes, f"{name}: Offset"
    )
    affine = LPS_TO_RAS @ compose(directions[:3, :3], spacing, origin[:3])
    if not is_usable(affine):
        raise UnreadableFile(
            f"{name} has directions or spacings that are singular or not finite; correct its header"
        )
    if not {"TransformMatrix", "Rotation", "Orientation"} & set(fields):
        notes = (
            *notes,
            "The file does not say its orientation: axes were taken as left, back, head.",
        )
    return affine, known, notes


def _read_spacing(
    fields: dict[str, str], axes: int, name: str
) -> tuple[Float64, bool, tuple[str, ...]]:
    spacing = np.ones(4)
    text = _first(fields, "ElementSpacing", "ElementSize", default="")
    if not text:
        return spacing[:3], False, ("The file does not say its spacing: 1 was taken.",)
    spacing[:axes] = parse_numbers(text, axes, f"{name}: ElementSpacing")
    return spacing[:3], True, ()


# -- writing -------------------------------------------------------------------------------------


def write(image: Image, path: Path, *, dtype: str | None = None, overwrite: bool = False) -> None:
    """Write one compressed .mha; the unit stands in its Comment.

    Args:
        image: What to write.
        path: Ends in .mha.
        dtype: Pixel type; None keeps whole numbers and makes reals float32.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        OutputError: The values do not fit the type, or the file cannot be written.

    Examples:
        >>> write(scan, Path("copy.mha"))
        >>> plica.read("copy.mha").unit
        <Unit.HU: 'HU'>
    """
    pixels = cast_for_writing(image.pixels, dtype, tuple(_NAMES))
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    packer = zlib.compressobj(3)
    parts = [packer.compress(little[..., at].tobytes(order="F")) for at in range(little.shape[3])]
    parts.append(packer.flush())
    size = sum(len(part) for part in parts)
    with new_file(path, overwrite=overwrite) as file:
        file.write(_compose(image, pixels, size).encode("utf-8"))
        for part in parts:
            file.write(part)


def _compose(image: Image, pixels: Pixels, size: int) -> str:
    affine = LPS_TO_RAS @ image.grid.affine
    spacing = np.array(image.grid.spacing_mm)
    directions = affine[:3, :3] / spacing
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "Comment": Imprint.of(image).to_text(),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(size),
        "TransformMatrix": _spaced(directions.T.ravel()),
        "Offset": _spaced(affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": _spaced(spacing),
        "DimSize": " ".join(str(side) for side in image.grid.shape),
        "ElementNumberOfChannels": str(image.channels),
        "ElementType": _NAMES[pixels.dtype.name],
        "ElementDataFile": "LOCAL",
    }
    if image.channels == 1:
        del lines["ElementNumberOfChannels"]
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


def _spaced(numbers: Float64) -> str:
    return " ".join(repr(float(number)) for number in numbers)
