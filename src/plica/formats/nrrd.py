"""NRRD (.nrrd, .nhdr), read and written: a text header (teem.sourceforge.net/nrrd), then pixels."""

from __future__ import annotations

import contextlib
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plica.boxes import release
from plica.errors import UnreadableFile, UnsupportedFormat
from plica.formats.affines import LPS_TO_RAS, PICTURE_SPACING_MM, complete_plane, is_usable
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
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, "
    "int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPE_OF = {word: kind for kind, words in _TYPES.items() for word in words.split(", ")}
_ENCODINGS = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
    "ascii": "ascii", "text": "ascii", "txt": "ascii",
}  # fmt: skip
_SPACES = {
    "ras": (1, 1), "right-anterior-superior": (1, 1),
    "las": (-1, 1), "left-anterior-superior": (-1, 1),
    "lps": (-1, -1), "left-posterior-superior": (-1, -1),
}  # fmt: skip
_CHANNEL_KINDS = {
    "vector", "covariant-vector", "normal", "point", "rgb-color", "hsv-color", "xyz-color",
    "rgba-color", "2-vector", "3-color", "3-vector", "3-gradient", "3-normal", "4-color",
    "4-vector", "complex", "scalar", "stub",
}  # fmt: skip
_TO_MM = {"mm": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "µm": 0.001}


@dataclass
class _Text:
    """Fields and key/value pairs, names in small letters."""

    fields: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Layout:
    """What the header says of the stored array."""

    sides: tuple[int, ...]
    kinds: tuple[str, ...]
    stored: np.dtype[np.generic]
    encoding: str
    spatial: tuple[int, ...]

    @property
    def needed(self) -> int:
        return math.prod(self.sides) * self.stored.itemsize


def read(
    path: Path,
    *,
    volume: int | None = None,
    unit: Unit | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    mapped: bool = False,
) -> Image:
    """Read a NRRD file, or a header with its pixels beside it.

    Args:
        path: The .nrrd or .nhdr file.
        volume: Which entry of a list axis, from 0.
        unit: What the values measure; None takes plica's own record or a noted guess.
        max_bytes: Refuse more decoded bytes than this.
        mapped: Map the pixels of a file that is not packed, in place of reading them.

    Raises:
        UnreadableFile: Damaged or truncated, or the header points outside its folder.
        UnsupportedFormat: An encoding, type or arrangement plica does not read.
        AmbiguousSource: Several volumes, and none was chosen.
        TooLarge: Past the limit.

    Examples:
        >>> read(Path("brain.nrrd")).pixels.shape
        (1, 32, 32, 25)
    """
    with open_bytes(path) as stream:
        text = _read_text(stream, path.name)
        layout = _read_layout(text, path.name)
        with _open_pixels(stream, path, text) as (pixel_stream, size):
            check_size(path.name, layout.needed, max_bytes)
            check_file_holds(pixel_stream, size, layout.needed, layout.encoding, path.name)
            check_expansion(path.name, size, layout.needed, max_bytes)
            _find_pixels(pixel_stream, size, layout, text, path.name)
            stored = _read_stored(pixel_stream, size, layout, path.name, mapped=mapped)
    imprint = read_imprint(text.pairs.get("plica", ""), path.name)
    pixels = _arrange(stored, layout, volume, path.name)
    affine, calibrated, notes = _read_affine(text, layout, path.name)
    shape = pixels.shape[1:]
    grid = Grid(shape, complete_plane(affine, shape), calibrated)
    return assemble(
        pixels,
        settle_calibration(grid, imprint),
        reader="nrrd",
        unit=unit,
        imprint=imprint,
        notes=notes,
    )


# -- header --------------------------------------------------------------------------------------


def _read_text(stream: io.BufferedIOBase, name: str) -> _Text:
    magic = read_line(stream, name)
    if not magic.startswith("NRRD000") or magic[7:] not in {"1", "2", "3", "4", "5"}:
        raise UnreadableFile(
            f"{name} begins with {magic[:20]!r} and not as NRRD versions 1 to 5 do"
        )
    text = _Text()
    seen = 0
    while line := read_line(stream, name):
        seen += len(line)
        if seen > MAX_HEADER:
            raise UnreadableFile(f"{name} has a header of more than {MAX_HEADER} bytes; damaged")
        if line.startswith("#"):
            continue
        key, mark, value = line.partition(":")
        if not mark:
            raise UnreadableFile(f"{name} has a header line of {len(line)} letters, no field")
        if value.startswith("="):
            text.pairs[key] = value[1:].replace("\\n", "\n").replace("\\\\", "\\")
        else:
            text.fields[key.strip().lower()] = value.strip()
    return text


def _need(text: _Text, key: str, name: str) -> str:
    if key not in text.fields:
        raise UnreadableFile(f"{name} has no field '{key}', which every NRRD header needs")
    return text.fields[key]


def _read_layout(text: _Text, name: str) -> _Layout:
    word = _need(text, "type", name).lower()
    encoding = _need(text, "encoding", name).lower()
    if word not in _TYPE_OF or encoding not in _ENCODINGS:
        raise UnsupportedFormat(
            f"{name} keeps {word!r} values in encoding {encoding!r}, and plica reads whole and "
            "real numbers in raw, gzip, bzip2 and ascii; convert it first"
        )
    sides = parse_sides(_need(text, "sizes", name), f"{name}: sizes")
    if _need(text, "dimension", name) != str(len(sides)):
        raise UnreadableFile(f"{name} has {len(sides)} sizes for {text.fields['dimension']} axes")
    stored = np.dtype(_TYPE_OF[word])
    if stored.itemsize > 1 and encoding not in {"ascii", "text", "txt"}:
        endian = _need(text, "endian", name).lower()
        if endian not in {"little", "big"}:
            raise UnreadableFile(f"{name}: endian is {endian!r}, but little or big was expected")
        stored = stored.newbyteorder("<" if endian == "little" else ">")
    kinds = tuple(text.fields.get("kinds", "").lower().split())
    kinds = kinds if len(kinds) == len(sides) else ("",) * len(sides)
    spatial = _spatial_axes(text, sides, kinds, name)
    return _Layout(sides, kinds, stored, _ENCODINGS[encoding], spatial)


def _spatial_axes(
    text: _Text, sides: tuple[int, ...], kinds: tuple[str, ...], name: str
) -> tuple[int, ...]:
    if "space directions" in text.fields:
        columns = _split_vectors(text.fields["space directions"])
        if len(columns) != len(sides):
            raise UnreadableFile(f"{name} has {len(columns)} space directions, {len(sides)} axes")
        spatial = tuple(axis for axis, column in enumerate(columns) if column != "none")
    else:
        spatial = tuple(axis for axis, kind in enumerate(kinds) if kind in {"domain", "space", ""})
    if len(spatial) not in (2, 3) or len(sides) - len(spatial) > 1:
        raise UnsupportedFormat(
            f"{name} has {len(spatial)} axes in space of {len(sides)}, and plica reads two or "
            "three, with one further axis at most; cut it first"
        )
    return spatial


def _split_vectors(text: str) -> list[str]:
    """Parenthesised vectors and the word none, which stands for an axis outside space."""
    parts = []
    for part in text.replace("(", " (").split(" ("):
        inside, mark, after = part.partition(")")
        if mark:
            parts.append(inside)
        parts.extend((after if mark else part).split())
    return parts


# -- pixels --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _open_pixels(
    stream: io.BufferedIOBase, path: Path, text: _Text
) -> Iterator[tuple[io.BufferedIOBase, int]]:
    """The stream that holds the pixels, standing at them, and its file's size."""
    named = text.fields.get("data file", text.fields.get("datafile"))
    if named is None:
        yield stream, path.stat().st_size
        return
    if named.upper().startswith("LIST") or "%" in named:
        raise UnsupportedFormat(
            f"{path.name} spreads its pixels over several files, and plica reads one; join them"
        )
    pixel_file = find_pixel_file(path, named)
    with pixel_file.open("rb") as detached:
        yield detached, pixel_file.stat().st_size


def _find_pixels(
    stream: io.BufferedIOBase, size: int, layout: _Layout, text: _Text, name: str
) -> None:
    """Go to the first value."""
    lines = _whole(text, "line skip", name)
    skip = _whole(text, "byte skip", name)
    if skip == -1 and layout.encoding == "raw":
        stream.seek(size - layout.needed)
    else:
        skip_header(stream, lines=lines, count=max(skip, 0), name=name)


def _read_stored(
    stream: io.BufferedIOBase, size: int, layout: _Layout, name: str, *, mapped: bool
) -> Pixels:
    count = math.prod(layout.sides)
    if layout.encoding == "ascii":
        return read_ascii(stream, count, layout.stored, name)
    if mapped and layout.encoding == "raw":
        check_rest(stream, size, layout.needed, name)
        values = map_values(stream, layout.stored, count)
        if values is not None:
            return values
    return read_packed(stream, layout.encoding, layout.needed, name).view(layout.stored)


def _whole(text: _Text, key: str, name: str) -> int:
    word = text.fields.get(key, text.fields.get(key.replace(" ", ""), "0"))
    return parse_skip(word, f"{name}: {key}")


def _arrange(stored: Pixels, layout: _Layout, volume: int | None, name: str) -> Pixels:
    """(channel, i, j, k) of the flat array, whose first axis runs fastest."""
    array = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    array = array.reshape(layout.sides, order="F")
    others = [axis for axis in range(array.ndim) if axis not in layout.spatial]
    array = np.moveaxis(array, others, range(len(others)))
    if not others:
        array = array[None]
    elif layout.kinds[others[0]] not in _CHANNEL_KINDS:
        chosen = choose_volume(array.shape[0], volume, name)
        array = array[chosen : chosen + 1]
    return array[..., None] if len(layout.spatial) == 2 else array


# -- geometry ------------------------------------------------------------------------------------


def _read_affine(text: _Text, layout: _Layout, name: str) -> tuple[Float64, bool, tuple[str, ...]]:
    """The affine in RAS+ millimetres, whether lengths are known, and notes."""
    if "space directions" not in text.fields:
        return _affine_of_spacings(text, layout)
    columns = [part for part in _split_vectors(text.fields["space directions"]) if part != "none"]
    world = len(columns[0].replace(",", " ").split())
    if world not in (2, 3):
        raise UnsupportedFormat(f"{name} stands in a space of {world} dimensions, not 2 or 3")
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, column in enumerate(columns):
        affine[:world, axis] = parse_numbers(column, world, f"{name}: space directions")
    origin = text.fields.get("space origin", "(" + ",".join("0" * world) + ")")
    affine[:world, 3] = parse_numbers(origin.strip("() "), world, f"{name}: space origin")
    to_mm, unit_note = _read_space_units(text)
    affine[:3] *= to_mm
    to_ras, note = _to_ras(text)
    affine = complete_plane(to_ras @ affine, (1, 1, 1) if len(columns) == 2 else (2, 2, 2))
    if not is_usable(affine):
        raise UnreadableFile(
            f"{name} has space directions that are singular or not finite; correct its header"
        )
    return affine, True, tuple(part for part in (note, unit_note) if part)


def _to_ras(text: _Text) -> tuple[Float64, str]:
    space = text.fields.get("space", "").lower()
    if space in _SPACES:
        x, y = _SPACES[space]
        return np.diag([x, y, 1.0, 1.0]), ""
    return LPS_TO_RAS, (
        f"The file's space is {'not anatomical' if space else 'not named'}: it was taken as left, "
        "back, head."
    )


def _read_space_units(text: _Text) -> tuple[float, str]:
    words = set(text.fields.get("space units", "").replace('"', " ").split())
    if not words or words == {"mm"}:
        return 1.0, ""
    if len(words) == 1 and (word := words.pop()) in _TO_MM:
        return _TO_MM[word], f"Lengths were in {word} and became millimetres."
    return 1.0, "The file's units of length are not known: millimetres were assumed."


def _affine_of_spacings(text: _Text, layout: _Layout) -> tuple[Float64, bool, tuple[str, ...]]:
    words = text.fields.get("spacings", "").split()
    spacing = np.ones(3)
    known = len(words) == len(layout.sides)
    for at, axis in enumerate(layout.spatial):
        value = parse_numbers(words[axis], 1, "spacings")[0] if known else math.nan
        known = known and bool(0 < value < 1e6)
        spacing[at] = value if known else 1.0
    affine = np.diag([*(np.array(PICTURE_SPACING_MM) * spacing), 1.0])
    missing = "orientation" if known else "orientation and spacing"
    note = f"The file does not say its {missing}: axes were taken as left, back, head."
    return affine, known, (note,)


# -- writing -------------------------------------------------------------------------------------

_NAMES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32",
    "uint32": "uint32", "int64": "int64", "uint64": "uint64", "float32": "float",
    "float64": "double",
}  # fmt: skip


def write(image: Image, path: Path, *, dtype: str | None = None, overwrite: bool = False) -> None:
    """Write one gzipped .nrrd in LPS, as most viewers expect it.

    Args:
        image: What to write; several channels become a first axis.
        path: Ends in .nrrd.
        dtype: Pixel type; None keeps whole numbers and makes reals float32.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        OutputError: The values do not fit the type, or the file cannot be written.

    Examples:
        >>> write(brain, Path("copy.nrrd"))
        >>> np.array_equal(plica.read("copy.nrrd").pixels, brain.pixels)
        True
    """
    pixels = cast_for_writing(image.pixels, dtype, tuple(_NAMES))
    header = _compose(image, pixels)
    packer = zlib.compressobj(3, zlib.DEFLATED, 31)
    with new_file(path, overwrite=overwrite) as file:
        file.write(header.encode("utf-8"))
        for at in range(pixels.shape[3]):
            # (channel, i, j) of one slice, the channel running fastest.
            part = pixels[..., at].astype(pixels.dtype.newbyteorder("<"), copy=False)
            file.write(packer.compress(part.tobytes(order="F")))
            release(pixels)
        file.write(packer.flush())


def _compose(image: Image, pixels: Pixels) -> str:
    affine = LPS_TO_RAS @ image.grid.affine
    columns = [_vector(affine[:3, axis]) for axis in range(3)]
    sides = [str(side) for side in image.grid.shape]
    kinds = ["domain"] * 3
    if image.channels > 1:
        columns.insert(0, "none")
        sides.insert(0, str(image.channels))
        colour = image.unit is Unit.DISPLAY and image.channels == 3
        kinds.insert(0, "RGB-color" if colour else "vector")
    lines = [
        "NRRD0005",
        f"type: {_NAMES[pixels.dtype.name]}",
        f"dimension: {len(sides)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(sides)}",
        f"space directions: {' '.join(columns)}",
        f"kinds: {' '.join(kinds)}",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(affine[:3, 3])}",
        f"plica:={Imprint.of(image).to_text()}",
    ]
    return "\n".join(lines) + "\n\n"


def _vector(numbers: Float64) -> str:
    return "(" + ",".join(repr(float(number)) for number in numbers) + ")"
