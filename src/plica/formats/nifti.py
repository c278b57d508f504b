"""NIfTI-1 and NIfTI-2, .nii, .nii.gz and .hdr with .img: read and written without guessing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plica.errors import UnreadableFile, UnsupportedFormat, UnusablePixels
from plica.formats.affines import complete_plane, farthest_apart_mm, is_usable
from plica.formats.assembly import assemble, choose_volume, from_fortran, settle_calibration
from plica.formats.imprint import Imprint, read_imprint
from plica.formats.limits import DEFAULT_MAX_BYTES, check_expansion, check_size
from plica.formats.nifti_header import LABEL_INTENT, Header, read_header
from plica.formats.scaling import rescale
from plica.formats.streams import could_hold, map_values, open_bytes, read_bytes, skip_bytes
from plica.grid import Float64, Grid
from plica.image import Image, Pixels, Unit

_TOLERATED_MM = 0.1  # quaternions in 32 bits put the corner of a head this far off


def read(
    path: Path,
    *,
    volume: int | None = None,
    unit: Unit | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    mapped: bool = False,
) -> Image:
    """Read one volume.

    The transform with a positive code is taken, sform before qform; without either, spacings
    alone (method 1 of the standard). What had to be decided stands in the provenance's notes.

    Args:
        path: The .nii, .nii.gz, .hdr or .img file.
        volume: Which of a 4D file's volumes, from 0.
        unit: What the values measure; None takes plica's own comment, the label intent, or a
            guess that is noted.
        max_bytes: Refuse more decoded bytes than this.
        mapped: Map the pixels of a file that is not packed, in place of reading them.

    Raises:
        UnreadableFile: Damaged, truncated, or not NIfTI.
        UnsupportedFormat: Complex or 128-bit values, or five axes that matter.
        AmbiguousSource: Several volumes, and none was chosen.
        TooLarge: Past the limit.

    Examples:
        >>> read(Path("brain.nii.gz")).grid.orientation
        'RAS'
    """
    header_path, pixel_path = _find_pair(path)
    with open_bytes(header_path, to_end=header_path != pixel_path) as stream:
        header, comments = read_header(stream, header_path.name)
    if header.paired and pixel_path == header_path:
        raise UnreadableFile(
            f"{path.name} is the header of a pair, and its .img file is not beside it"
        )
    records = (read_imprint(text, path.name) for text in comments)
    imprint = next((record for record in records if record), None)
    volumes, channels = _split_axes(header, imprint, path.name)
    per_volume = math.prod(header.shape) * max(header.colours, 1) * header.stored.itemsize
    _check_room(header, pixel_path, per_volume * channels, volumes, max_bytes)
    stored = _Stored(pixel_path, channels, volumes, choose_volume(volumes, volume, path.name))
    pixels = _read_pixels(header, stored, per_volume, mapped=mapped)
    affine, notes, calibrated = _settle_affine(header, path.name)
    grid = settle_calibration(Grid(header.shape, affine, calibrated), imprint)
    said = Unit.LABEL if header.intent == LABEL_INTENT else None
    if header.colours:
        pixels, said = _drop_opaque_alpha(pixels, path.name), Unit.DISPLAY
    return assemble(
        pixels,
        grid,
        reader=f"nifti-{header.version}",
        unit=unit,
        said=said,
        imprint=imprint,
        notes=notes,
    )


def _find_pair(path: Path) -> tuple[Path, Path]:
    """Header file and pixel file; one and the same for .nii."""
    for ending, other in ((".hdr", ".img"), (".img", ".hdr")):
        for packed in ("", ".gz"):
            if path.name.lower().endswith(ending + packed):
                stem = path.name[: -len(ending + packed)]
                beside = [path.with_name(stem + other + also) for also in ("", ".gz")]
                partner = next((file for file in beside if file.is_file()), path)
                return (path, partner) if ending == ".hdr" else (partner, path)
    return path, path


# -- pixels --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stored:
    """Which part of a pixel file is meant."""

    path: Path
    channels: int
    volumes: int
    chosen: int


def _read_pixels(header: Header, stored: _Stored, per_volume: int, *, mapped: bool) -> Pixels:
    """Pixels (channel, i, j, k) of one volume, in real values."""
    name, channels = stored.path.name, stored.channels
    with open_bytes(stored.path) as stream:
        skip_bytes(stream, header.offset + stored.chosen * per_volume, name)
        if mapped and channels == 1 and not header.colours:
            values = map_values(stream, header.stored, per_volume // header.stored.itemsize)
            if values is not None:
                whole = from_fortran(values, header.shape)[None]
                return rescale(whole, header.slope, header.intercept)
        parts = []
        for channel in range(channels):
            if channel:
                skip_bytes(stream, (stored.volumes - 1) * per_volume, name)
            parts.append(read_bytes(stream, per_volume, name).view(header.stored))
    if header.colours:
        return from_fortran(parts[0], (header.colours, *header.shape))
    shaped = [from_fortran(part, header.shape) for part in parts]
    together = shaped[0][None] if channels == 1 else np.stack(shaped)
    return rescale(together, header.slope, header.intercept, overwrite=True)


def _split_axes(header: Header, imprint: Imprint | None, name: str) -> tuple[int, int]:
    """How many volumes and channels the fourth and fifth axes hold."""
    volumes, channels, *further = (*header.sides[3:5], 1, 1)[:2] + header.sides[5:]
    if math.prod(further) > 1 or (header.colours and channels > 1):
        raise UnsupportedFormat(
            f"{name} has sides {header.sides}, and plica reads up to five axes (i, j, k, volume, "
            "channel); cut it into volumes first"
        )
    if imprint is not None and imprint.channels == volumes and channels == 1 < volumes:
        return 1, volumes
    return volumes, channels


def _check_room(header: Header, path: Path, needed: int, volumes: int, max_bytes: int) -> None:
    """Compare one volume with the limit, and all with what the file can hold."""
    widened = 1 if header.slope in (0, 1) and header.intercept == 0 else 2
    packed = path.stat().st_size
    check_size(path.name, needed * widened, max_bytes)
    if not could_hold(path, header.offset + needed * volumes):
        raise UnreadableFile(
            f"{path.name} declares sides {header.sides} of {header.stored.name} and has only "
            f"{packed} bytes; it is truncated or its header is damaged"
        )
    check_expansion(path.name, packed, needed * widened, max_bytes)


def _drop_opaque_alpha(pixels: Pixels, name: str) -> Pixels:
    if pixels.shape[0] == 3:
        return pixels
    if (pixels[3] != 255).any():
        raise UnusablePixels(
            f"{name} is partly transparent, and what lies behind is not known; flatten it first"
        )
    return pixels[:3]


# -- geometry ------------------------------------------------------------------------------------


def _settle_affine(header: Header, name: str) -> tuple[Float64, tuple[str, ...], bool]:
    """The affine in millimetres, notes, and whether its lengths are known."""
    notes = [header.describe_unit()]
    candidates = {}
    for kind, code in (("sform", header.sform_code), ("qform", header.qform_code)):
        if code <= 0:
            continue
        affine = complete_plane(getattr(header, kind), header.shape)
        if is_usable(affine):
            candidates[kind] = affine
        else:
            notes.append(f"The {kind} is set but singular or not finite, and was passed over.")
    if not candidates:
        affine, note, calibrated = _affine_of_spacing(header)
        notes.append(note)
    else:
        affine, calibrated = next(iter(candidates.values())), True
    if len(candidates) == 2:
        notes.append(_compare(candidates["sform"], candidates["qform"], header))
    scaled = affine.copy()
    scaled[:3] *= header.to_mm
    if not is_usable(scaled):
        raise UnreadableFile(
            f"{name} has spacings of {np.abs(header.pixdim[1:4]).tolist()}, which are no lengths "
            "of voxels; correct its header"
        )
    return scaled, tuple(note for note in notes if note), calibrated


def _affine_of_spacing(header: Header) -> tuple[Float64, str, bool]:
    """Method 1: no transform, only spacings; the standard attaches no orientation to them."""
    spacing = np.abs(header.pixdim[1:4])
    missing = ~(np.isfinite(spacing) & (spacing > 0) & (spacing < 1e6))
    spacing[missing] = 1.0
    if missing[np.array(header.shape) > 1].any():
        return (
            np.diag([*spacing, 1.0]),
            "The file says neither orientation nor spacing: axes were taken as right, front, "
            "head, and 1 for each length that is missing.",
            False,
        )
    return (
        np.diag([*spacing, 1.0]),
        "The file has no transform (sform and qform codes are 0): its axes were taken as right, "
        "front, head.",
        True,
    )


def _compare(sform: Float64, qform: Float64, header: Header) -> str:
    apart = farthest_apart_mm(sform, qform, header.shape) * header.to_mm
    if apart <= _TOLERATED_MM:
        return ""
    return f"The sform and qform put a corner {apart:.1f} mm apart: the sform was taken."
