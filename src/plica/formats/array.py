"""NumPy's .npy and .npz, never pickled; an array knows no millimetres, so the caller must."""

from __future__ import annotations

import io
import math
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plica.errors import InputError, UnreadableFile, UnsupportedFormat, UnusablePixels
from plica.formats.affines import PICTURE_SPACING_MM
from plica.formats.assembly import assemble
from plica.formats.atomic import new_file
from plica.formats.imprint import Imprint, read_imprint
from plica.formats.limits import DEFAULT_MAX_BYTES, check_expansion
from plica.formats.scaling import cast_for_writing, check_pixel_type, choose_type
from plica.formats.streams import check_rest, map_values, read_bytes
from plica.grid import Float64, Grid
from plica.image import Image, Pixels, Unit

Spacing = tuple[float, float, float]

_ZIP_BROKEN = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError, ValueError
)  # fmt: skip
_HEADER_BROKEN = (
    ValueError, OSError, EOFError, TypeError, SyntaxError, RecursionError, tokenize.TokenError
)  # fmt: skip
_SMALL = 1 << 20
_TYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
    "float32", "float64",
)  # fmt: skip


def read(
    path: Path,
    *,
    volume: int | None = None,
    spacing_mm: Spacing | None = None,
    unit: Unit | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    mapped: bool = False,
) -> Image:
    """Read an array.

    Axes: (row, column) for two, as pictures are kept; (i, j, k) for three; (channel, i, j, k) for
    four. An .npz may hold `pixels` with `affine` (4×4, RAS+ mm) or `spacing_mm`, and `unit`.

    Args:
        path: The .npy or .npz file.
        volume: Not for arrays: their fourth axis is channels.
        spacing_mm: Voxel size along i, j, k; needed unless an .npz says it.
        unit: What the values measure; None takes the .npz's own or a noted guess.
        max_bytes: Refuse more bytes than this.
        mapped: Map the pixels of an .npy, in place of reading them.

    Raises:
        InputError: The spacing is not known.
        UnreadableFile: Damaged or truncated, or it holds pickled objects.
        UnsupportedFormat: Values that are no numbers, or other than two to four axes.
        TooLarge: Past the limit.

    Examples:
        >>> read(Path("ct.npy"), spacing_mm=(0.8, 0.8, 2.0)).grid.shape
        (48, 40, 24)
    """
    if volume is not None:
        raise InputError(f"{path.name}: an array's axes are (channel, i, j, k); it has no volumes")
    if not path.is_file():
        raise UnreadableFile(f"{path.name}: there is no such file; check the path")
    with path.open("rb") as file:
        packed = file.read(2) == b"PK"
        file.seek(0)
        if packed:
            arrays = _read_npz(file, path, max_bytes)
        else:
            size = path.stat().st_size
            arrays = {"pixels": _read_npy(file, size, path.name, max_bytes, mapped=mapped)}
    pixels = arrays["pixels"]
    imprint = read_imprint(_text(arrays.get("plica")), path.name)
    flat = pixels.ndim == 2
    shaped = _with_four_axes(pixels, path.name)
    grid = _settle_grid(shaped, flat, arrays, imprint, spacing_mm, path.name)
    said = _read_unit(arrays, path.name)
    notes = ("Two axes were taken as (row, column).",) if flat else ()
    return assemble(shaped, grid, reader="array", unit=unit, said=said, imprint=imprint,
                    notes=notes)  # fmt: skip


def _with_four_axes(array: Pixels, name: str) -> Pixels:
    if array.ndim not in (2, 3, 4):
        raise UnsupportedFormat(
            f"{name} has {array.ndim} axes, and two (row, column), three (i, j, k) or four "
            "(channel, i, j, k) were expected"
        )
    if not array.size:
        raise UnusablePixels(f"{name} has the shape {array.shape}: it holds no values")
    check_pixel_type(array.dtype, name)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.ndim == 2:
        return native.T[None, :, :, None]
    return native[None] if array.ndim == 3 else native


def _settle_grid(
    pixels: Pixels,
    flat: bool,
    arrays: dict[str, Any],
    imprint: Imprint | None,
    spacing_mm: Spacing | None,
    name: str,
) -> Grid:
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    if "affine" in arrays:
        if spacing_mm is not None:
            raise InputError(f"{name} has its own affine; leave spacing_mm out")
        affine = _numbers(arrays["affine"], name, "affine")
        return Grid(shape, affine, imprint.calibrated if imprint else True)
    own = arrays.get("spacing_mm")
    spacing: tuple[float, ...] | None = spacing_mm
    if own is not None:
        spacing = tuple(_numbers(own, name, "spacing_mm").ravel().tolist())
    if spacing is None:
        raise InputError(
            f"{name} is an array and does not say how large a voxel is; give spacing_mm=(i, j, k), "
            "or (1, 1, 1) if only voxels matter"
        )
    if len(spacing) != 3 or not all(math.isfinite(side) and side > 0 for side in spacing):
        raise InputError(f"{name}: three spacings above zero were expected, but got {spacing}")
    signs = PICTURE_SPACING_MM if flat else (1.0, 1.0, 1.0)
    return Grid.from_spacing(
        shape, [side * sign for side, sign in zip(spacing, signs, strict=True)]
    )


def _numbers(array: Pixels, name: str, key: str) -> Float64:
    if array.dtype.kind not in "iuf":
        raise UnreadableFile(f"{name}: {key} should hold numbers, but is of type {array.dtype}")
    return array.astype(np.float64)


def _text(array: Any) -> str:
    return str(array) if array is not None and array.dtype.kind == "U" else ""


def _read_unit(arrays: dict[str, Any], name: str) -> Unit | None:
    text = _text(arrays.get("unit"))
    if not text:
        return None
    for unit in Unit:
        if text == unit.value:
            return unit
    raise UnreadableFile(f"{name} names the unit {text[:30]!r}, which plica does not know")


# -- files ---------------------------------------------------------------------------------------


def _read_npy(file: Any, size: int, name: str, max_bytes: int, *, mapped: bool = False) -> Pixels:
    """One array, whose header is compared with the bytes there are before memory is taken."""
    try:
        version = np.lib.format.read_magic(file)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if reader is None:
            raise UnsupportedFormat(f"{name} is of .npy version {version}; save it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about Python 2 headers
            shape, fortran, dtype = reader(file)
    except _HEADER_BROKEN as error:
        raise UnreadableFile(
            f"{name} has no sound .npy header ({str(error)[:80]}); it is damaged"
        ) from error
    if dtype.hasobject:
        raise UnreadableFile(
            f"{name} holds pickled Python objects, which are never loaded: they can run code; save "
            "it as an array of numbers"
        )
    if dtype.kind != "U":
        check_pixel_type(dtype, name)
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=1) < 0 or needed > size:
        raise UnreadableFile(
            f"{name} declares the shape {shape} of {dtype}, and its {size} bytes cannot hold it; "
            "it is truncated or damaged"
        )
    check_expansion(name, size, needed, max_bytes)
    order: Literal["F", "C"] = "F" if fortran else "C"
    if mapped:
        check_rest(file, size, needed, name)
        values = map_values(file, dtype, math.prod(shape))
        if values is not None:
            return values.reshape(shape, order=order)
    return np.ndarray(shape, dtype, read_bytes(file, needed, name).data, order=order)


def _read_npz(file: Any, path: Path, max_bytes: int) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            chosen = _choose_members(members, path.name)
            for info in chosen.values():
                check_expansion(path.name, info.compress_size, info.file_size, max_bytes)
            arrays = {}
            for key, info in chosen.items():
                with archive.open(info) as member:
                    limit = max_bytes if key == "pixels" else _SMALL
                    arrays[key] = _read_npy(member, info.file_size, path.name, limit)
            return arrays
    except _ZIP_BROKEN as error:
        raise UnreadableFile(
            f"{path.name} cannot be unpacked ({str(error)[:80]}); it is damaged or truncated"
        ) from error


def _choose_members(members: dict[str, zipfile.ZipInfo], name: str) -> dict[str, zipfile.ZipInfo]:
    known = {"affine", "spacing_mm", "unit", "plica"}
    images = [key for key in members if key not in known]
    if "pixels" in images:
        images = ["pixels"]
    if len(images) != 1:
        raise UnsupportedFormat(
            f"{name} holds the arrays {', '.join(sorted(members)[:8]) or '(none)'}, and one named "
            "'pixels' was expected"
        )
    chosen = {key: members[key] for key in members if key in known}
    return {"pixels": members[images[0]], **chosen}


# -- writing -------------------------------------------------------------------------------------


def write_npy(
    image: Image, path: Path, *, dtype: str | None = None, overwrite: bool = False
) -> None:
    """Write the pixels alone: (i, j, k), or (channel, i, j, k) where there are several.

    The grid and the unit are not kept: give spacing_mm on reading, or write .npz.

    Args:
        image: What to write.
        path: Ends in .npy.
        dtype: Pixel type; None keeps whole numbers and makes reals float32.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        OutputError: The values do not fit the type, or the file cannot be written.

    Examples:
        >>> write_npy(scan, Path("pixels.npy"))
        >>> np.load("pixels.npy").shape
        (48, 40, 24)
    """
    pixels = cast_for_writing(image.pixels, dtype, _TYPES)
    with new_file(path, overwrite=overwrite) as file:
        np.lib.format.write_array(
            file, pixels[0] if image.channels == 1 else pixels, allow_pickle=False
        )


def compose_npy(outline: Image) -> tuple[bytes, np.dtype[Any]]:
    """All of an .npy up to its first value, and the type of those that follow, in C order.

    Args:
        outline: An image whose values are not looked at.

    Examples:
        >>> head, kind = compose_npy(scan)
        >>> head[1:6], kind
        (b'NUMPY', dtype('int16'))
    """
    dtype = choose_type(outline.pixels.dtype, _TYPES)
    shape = outline.pixels.shape if outline.channels > 1 else outline.grid.shape
    head = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, facts)
    return head.getvalue(), dtype


def write_npz(
    image: Image, path: Path, *, dtype: str | None = None, overwrite: bool = False
) -> None:
    """Write pixels (channel, i, j, k), affine (RAS+ mm), unit and plica's own record.

    Args:
        image: What to write.
        path: Ends in .npz.
        dtype: Pixel type; None keeps whole numbers and makes reals float32.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        OutputError: The values do not fit the type, or the file cannot be written.

    Examples:
        >>> write_npz(scan, Path("ct.npz"))
        >>> plica.read("ct.npz").grid == scan.grid
        True
    """
    arrays = {
        "pixels": cast_for_writing(image.pixels, dtype, _TYPES),
        "affine": np.array(image.grid.affine),
        "unit": np.array(image.unit.value),
        "plica": np.array(Imprint.of(image).to_text()),
    }
    with new_file(path, overwrite=overwrite) as file, zipfile.ZipFile(file, "w") as archive:
        for key, array in arrays.items():
            # A fixed date: equal images make equal files.
            info = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
