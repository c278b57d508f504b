"""PNG, JPEG and TIFF at 8 and 16 bit: pictures, which know nothing of millimetres."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plica.errors import (
    AmbiguousSource,
    InputError,
    TooLarge,
    UnreadableFile,
    UnsupportedFormat,
    UnusablePixels,
)
from plica.formats.affines import PICTURE_SPACING_MM
from plica.formats.assembly import assemble, choose_volume
from plica.formats.imprint import Imprint, read_imprint
from plica.formats.limits import DEFAULT_MAX_BYTES, check_expansion
from plica.formats.scaling import rescale
from plica.formats.tiff import LZW, describe_page, is_deep, read_deep
from plica.grid import Grid
from plica.image import Image, Pixels, Unit

Spacing = tuple[float, float, float]

# All that Pillow's three readers let through for files that are not what they should be.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError,
    OverflowError, ZeroDivisionError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
_MAX_PAGES = 20_000
_BYTES = {"1": 1, "L": 1, "P": 3, "LA": 2, "PA": 4, "RGB": 3, "RGBA": 4, "I": 4, "F": 4}
_DEEP_GREY = {"I;16", "I;16L", "I;16B", "I;16N"}
_ORIENTATION = 0x0112
_DESCRIPTION = 270


@dataclass(frozen=True)
class _Page:
    """One decoded page: (row, column, channel), and what had to be decided."""

    array: Pixels
    notes: tuple[str, ...]
    white_is_zero: bool = False


def read(
    path: Path,
    *,
    volume: int | None = None,
    spacing_mm: Spacing | None = None,
    unit: Unit | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Image:
    """Read a picture: 8 bits as for a screen, 16 bits as relative values; colour has 3 channels.

    A picture's dots per inch are of print, not of the patient: without `spacing_mm` the grid is
    not calibrated. A 16-bit picture that plica wrote comes back in its own unit and place. Pages
    of a TIFF stack along k.

    Args:
        path: The file.
        volume: Which page of a TIFF, from 0; None stacks all if they are of one size.
        spacing_mm: Pixel size along i (columns) and j (rows), and the distance of pages along k.
        unit: What the values measure, where it is known.
        max_bytes: Refuse more decoded bytes than this.

    Raises:
        UnreadableFile: Damaged, truncated, or edited since plica wrote it.
        UnsupportedFormat: Animated, CMYK, or a depth plica does not read.
        UnusablePixels: Partly transparent.
        AmbiguousSource: Pages of several sizes.
        TooLarge: Past the limit.

    Examples:
        >>> read(Path("photo.png"), spacing_mm=(0.14, 0.14, 1)).grid.spacing_mm
        (0.14, 0.14, 1.0)
    """
    pages, text = _open_pages(path, volume, max_bytes)
    imprint = read_imprint(text, path.name)
    stacked = np.stack([page.array for page in pages])  # (page, row, column, channel)
    pixels = stacked.transpose(3, 2, 1, 0)
    deep = pixels.dtype != np.uint8 and pixels.shape[0] == 1
    notes = tuple(dict.fromkeys(note for page in pages for note in page.notes))
    if imprint is not None:
        pixels = _restore(pixels, imprint, path.name)
    elif pages[0].white_is_zero:
        pixels = np.iinfo(pixels.dtype).max - pixels
        notes = (*notes, "Stored 0 is white: values were turned round.")
    return assemble(
        pixels,
        _settle_grid(pixels, imprint, spacing_mm, path.name),
        reader="picture",
        unit=unit,
        said=Unit.RELATIVE if deep else Unit.DISPLAY,
        imprint=imprint,
        notes=notes,
    )


def _open_pages(path: Path, volume: int | None, max_bytes: int) -> tuple[list[_Page], str]:
    """The pages asked for, and the text plica may have left beside them."""
    if not path.is_file():
        raise UnreadableFile(f"{path.name}: there is no such file; check the path")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # about odd metadata; what matters is checked here
            return _read_pages(file, path, volume, max_bytes)
    except _BROKEN as error:
        if "pixel mode" in str(error):  # Pillow's word for a kind of TIFF it has no reader for
            raise UnsupportedFormat(
                f"{path.name} keeps its pixels in a way plica has no reader for; save it as grey "
                "or RGB of 8 or 16 bits"
            ) from error
        raise UnreadableFile(
            f"{path.name} cannot be read as a picture ({str(error)[:80]}); it is damaged or "
            "truncated, get it again"
        ) from error


def _settle_grid(
    pixels: Pixels, imprint: Imprint | None, spacing_mm: Spacing | None, name: str
) -> Grid:
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    own = imprint.grid if imprint else None
    if own is None:
        spacing = np.array(PICTURE_SPACING_MM) * (spacing_mm or (1.0, 1.0, 1.0))
        return Grid.from_spacing(shape, spacing.tolist(), calibrated=spacing_mm is not None)
    if own.shape != shape:
        raise UnreadableFile(
            f"{name} holds {shape} pixels, but plica wrote {own.shape}: it was cropped or resized "
            "since, and its place in the patient is not known; remove its 'plica' comment"
        )
    if spacing_mm is not None:
        raise InputError(f"{name} knows its own spacing; leave spacing_mm out")
    return own


def _restore(pixels: Pixels, imprint: Imprint, name: str) -> Pixels:
    """The true values of a picture that plica wrote."""
    if not imprint.stored:
        return pixels
    kind = str(imprint.stored["dtype"])
    if kind not in {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
                    "float16", "float32", "float64"}:  # fmt: skip
        raise UnreadableFile(f"{name}: plica's own comment names the pixel type {kind[:30]!r}")
    real = rescale(pixels, float(imprint.stored["slope"]), float(imprint.stored["intercept"]))
    target = np.dtype(kind)
    if target.kind in "iu":
        real = np.rint(real) if real.dtype.kind == "f" else real
        limits = np.iinfo(target)
        if int(real.min()) < limits.min or int(real.max()) > limits.max:
            raise UnreadableFile(f"{name}: its values do not fit {kind}, which its comment names")
    return real.astype(target)


# -- Pillow --------------------------------------------------------------------------------------


def _open(file: io.BufferedIOBase, name: str) -> Any:
    """One of Pillow's three readers, chosen here: its own door would offer forty more."""
    from PIL import JpegImagePlugin, PngImagePlugin, TiffImagePlugin

    start = file.read(8)
    file.seek(0)
    if start.startswith(b"\x89PNG"):
        return PngImagePlugin.PngImageFile(file)
    if start.startswith(b"\xff\xd8"):
        return JpegImagePlugin.JpegImageFile(file)
    if start[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return TiffImagePlugin.TiffImageFile(file)
    raise UnreadableFile(f"{name} is neither PNG nor JPEG nor TIFF; it begins with {start!r}")


def _read_pages(
    file: io.BufferedIOBase, path: Path, volume: int | None, max_bytes: int
) -> tuple[list[_Page], str]:
    """The pages asked for, and the text of plica's comment if there is one."""
    picture = _open(file, path.name)
    size = path.stat().st_size
    if picture.format == "TIFF":
        count, text = _count_pages(picture, path.name), picture.tag_v2.get(_DESCRIPTION, "")
    else:
        if getattr(picture, "is_animated", False):
            raise UnsupportedFormat(f"{path.name} is animated; save the one frame that is meant")
        count, text = 1, picture.info.get("plica", "")
    chosen = range(count) if volume is None else [choose_volume(count, volume, path.name)]
    pages: list[_Page] = []
    looks: tuple[Any, ...] = ()
    for at in chosen:
        if count > 1:
            picture.seek(at)
        _check_room(picture, size, len(chosen), path.name, max_bytes)
        look = (picture.size, picture.mode)
        if pages and look != looks:
            raise AmbiguousSource(
                f"{path.name} has {count} pages of several sizes or kinds; choose one with "
                f"volume=0 to volume={count - 1}"
            )
        looks = look
        pages.append(_decode(picture, path))
    if len({page.array.shape for page in pages}) > 1:
        raise AmbiguousSource(
            f"{path.name} has pages turned differently, or in grey and in colour; choose one with "
            f"volume=0 to volume={count - 1}"
        )
    return pages, text if isinstance(text, str) else ""


def _count_pages(picture: Any, name: str) -> int:
    count = 1
    while count <= _MAX_PAGES:
        try:
            picture.seek(count)
        except EOFError:
            picture.seek(0)
            return count
        count += 1
    raise TooLarge(f"{name} has more than {_MAX_PAGES} pages; split it")


def _check_room(picture: Any, size: int, pages: int, name: str, max_bytes: int) -> None:
    """Compare the declared size with the limit before anything is decoded."""
    columns, rows = picture.size
    if min(columns, rows) < 1:
        raise UnreadableFile(f"{name} declares {columns} × {rows} pixels; it is empty or damaged")
    per_pixel = 2 if picture.mode in _DEEP_GREY else _BYTES.get(picture.mode, 4)
    if _is_deep_colour(picture):
        per_pixel *= 2
    check_expansion(name, size, columns * rows * per_pixel * pages, max_bytes)


def _rawmode(picture: Any) -> str:
    if not picture.tile:
        return ""
    args = picture.tile[0][3]
    return str(args if isinstance(args, str) else (args or ("",))[0])


def _is_deep_colour(picture: Any) -> bool:
    """Whether Pillow would cut 16-bit channels to 8 bits in silence."""
    return ";16" in _rawmode(picture) and picture.mode in {"RGB", "RGBA", "LA", "RGBX", "CMYK"}


def _decode(picture: Any, path: Path) -> _Page:
    """One page as (row, column, channel)."""
    raw, deep_colour = _rawmode(picture), _is_deep_colour(picture)  # gone once pixels are loaded
    dots = picture.info.get("dpi")
    notes = (
        [] if dots is None else ["Its dots per inch are of print and say nothing of the patient."]
    )
    tags = getattr(picture, "tag_v2", None)
    if tags is not None and is_deep(tags):
        return _decode_deep_tiff(picture, path, notes)
    before = picture.getexif().get(_ORIENTATION, 1)
    key = picture.info.get("transparency") if picture.mode != "P" else None
    if deep_colour:
        array = _decode_deep_colour(picture, path, raw)
    else:
        array, note = _decode_plain(picture, raw, path.name)
        notes.extend(note)
    array = _drop_opaque(array, key, path.name)
    # Pillow turns a TIFF by itself, and no other; what is left of the mark is left to do.
    array = _turn(array, picture.getexif().get(_ORIENTATION, 1))
    return _Page(np.ascontiguousarray(array), (*notes, *_note_turn(before)))


def _note_turn(mark: int) -> tuple[str, ...]:
    if mark not in range(2, 9):
        return ()
    return (f"The picture was turned upright as its orientation mark ({mark}) says.",)


def _decode_deep_tiff(picture: Any, path: Path, notes: list[str]) -> _Page:
    tags = picture.tag_v2
    page = describe_page(tags, "<" if tags.prefix == b"II" else ">", path.name)
    mark = int(tags.get(_ORIENTATION, 1))
    if page.compression == LZW and page.stored.kind == "u" and picture.mode == "I;16":
        # Pillow reads this one right, and has turned it.
        array = np.asarray(picture).astype(np.uint16)[..., None]
    else:
        with path.open("rb") as file:
            array = _turn(_drop_opaque(read_deep(file, page, path.name), None, path.name), mark)
    array = np.ascontiguousarray(array)
    return _Page(array, (*notes, *_note_turn(mark)), page.white_is_zero and array.dtype.kind == "u")


def _decode_plain(picture: Any, raw: str, name: str) -> tuple[Pixels, list[str]]:
    mode = picture.mode
    if mode == "1":
        return np.asarray(picture.convert("L")), ["One bit per pixel became 0 and 255."]
    if mode == "P":
        array = np.asarray(picture.convert("RGBA"))
        if (array[..., :1] == array[..., 1:3]).all():
            return array[..., [0, 3]], ["The palette was applied; it is grey."]
        return array, ["The palette was applied."]
    if mode in _DEEP_GREY or (mode == "I" and raw.startswith("I;16B")):
        return np.asarray(picture).astype(np.uint16), []
    if raw == "LX":
        mode = "LX"  # a second sample of no said meaning, which Pillow drops and calls LA
    if mode in {"L", "LA", "RGB", "RGBA", "I", "F"}:
        few = raw in {"L;2", "L;4"}
        return np.asarray(picture), ["2 or 4 bits were widened to 8."] if few else []
    raise UnsupportedFormat(
        f"{name} keeps its colours as {mode}, and plica reads grey, RGB and palettes; convert it"
    )


def _decode_deep_colour(picture: Any, path: Path, raw: str) -> Pixels:
    """16-bit colour of a PNG, which Pillow has no mode for.

    It unpacks the upper byte of each channel into 8 bits. Told that the bytes come in the other
    order, it unpacks the lower one: two passes give both.
    """
    if raw not in {"RGB;16B", "RGBA;16B"}:
        raise UnsupportedFormat(
            f"{path.name} keeps {picture.mode} in 16 bits, and plica reads 16-bit grey and RGB; "
            "convert it"
        )
    upper = np.array(picture).astype(np.uint16)
    with path.open("rb") as file:
        again = _open(file, path.name)
        again.tile = [(*tuple(tile)[:3], raw[:-1] + "L") for tile in again.tile]
        lower = np.array(again)
    return (upper << 8) | lower


def _drop_opaque(array: Pixels, key: Any, name: str) -> Pixels:
    """(row, column, 1 or 3), without an alpha channel that hides nothing."""
    if array.ndim == 2:
        array = array[..., None]
    hidden = False
    if array.shape[2] in (2, 4):
        hidden = bool((array[..., -1] != np.iinfo(array.dtype).max).any())
        array = array[..., :-1]
    elif isinstance(key, int | tuple):
        hidden = bool((array == np.array(key)).all(axis=2).any())
    if hidden:
        raise UnusablePixels(
            f"{name} is partly transparent, and what lies behind is not known; flatten it first"
        )
    return array


def _turn(array: Pixels, mark: int) -> Pixels:
    """(row, column, channel) turned as an EXIF orientation mark says."""
    turns = {
        2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, 1),
    }  # fmt: skip
    return turns[mark](array) if mark in turns else array
