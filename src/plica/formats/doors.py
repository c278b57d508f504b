"""The front door: one `read` and one `write` for all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plica.errors import (
    InputError,
    LatentError,
    NotAnImage,
    OutputError,
    PlicaError,
    UnsupportedFormat,
)
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.sniff import ENDINGS, find_ending, identify
from plica.formats.units import parse_unit
from plica.image import Image, Unit
from plica.latent import Latent
from plica.registry import Registry

if TYPE_CHECKING:
    from plica.formats.dicom_template import Template

# Readers of images. Each takes (path, volume=, unit=, max_bytes=); pictures and arrays spacing_mm=
# too, and DICOM what the standard needs.
FORMATS = Registry(
    "format",
    (
        ("dicom", "plica.formats.dicom:read"),
        ("nifti", "plica.formats.nifti:read"),
        ("nrrd", "plica.formats.nrrd:read"),
        ("metaimage", "plica.formats.metaimage:read"),
        ("mgh", "plica.formats.mgh:read"),
        ("minc", "plica.formats.minc:read"),
        ("picture", "plica.formats.picture:read"),
        ("array", "plica.formats.array:read"),
    ),
)

# Writers by ending. Each takes (image, path, dtype=, overwrite=).
WRITERS = Registry(
    "output ending",
    (
        (".nii", "plica.formats.nifti_writing:write"),
        (".nii.gz", "plica.formats.nifti_writing:write"),
        (".nrrd", "plica.formats.nrrd:write"),
        (".mha", "plica.formats.metaimage:write"),
        (".png", "plica.formats.picture_writing:write_png"),
        (".tif", "plica.formats.picture_writing:write_tiff"),
        (".tiff", "plica.formats.picture_writing:write_tiff"),
        (".npy", "plica.formats.array:write_npy"),
        (".npz", "plica.formats.array:write_npz"),
    ),
)

_NAMES = {
    "dicom": "DICOM",
    "nifti": "a NIfTI image",
    "nrrd": "an NRRD image",
    "metaimage": "a MetaImage",
    "mgh": "an MGH image",
    "minc": "a MINC image",
    "picture": "a picture",
    "array": "a NumPy array",
}
_WITHOUT_SPACING = {"picture", "array"}
_MAPPABLE = {"nifti", "nrrd", "metaimage", "array"}


def read(  # noqa: PLR0913 - the one door; all but the path by name
    path: str | PathLike[str],
    *,
    volume: int | None = None,
    series: str | int | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    unit: Unit | str | None = None,
    identity: bool = False,
    max_bytes: int = DEFAULT_MAX_BYTES,
    mapped: bool = False,
) -> Image:
    """Read an image: a file of any format, a folder or zip of a DICOM series.

    The format is told by the file's content; a name that promises another is an error.

    Args:
        path: File, folder or zip.
        volume: Which of several volumes or pages, from 0.
        series: Which of several DICOM series: its number from 1, or the start of its mark, as the
            error that lists them says.
        spacing_mm: Voxel size along i, j, k, for pictures and arrays, which do not know it.
        unit: What the values measure, where the file does not say or says wrongly.
        identity: Keep patient, study and series attributes in the provenance (DICOM).
        max_bytes: Refuse images of more decoded bytes than this.
        mapped: Map the pixels of a file that is not packed (NIfTI, NRRD, MetaImage, .npy) in place
            of reading them, so that the image takes no memory. The file must not be changed as
            long as the image is used. Others are read as ever.

    Raises:
        InputError: It cannot be read, or is not clear; the message says what to do.

    Examples:
        >>> plica.read("thorax.nii.gz").unit
        <Unit.HU: 'HU'>
    """
    place = Path(path)
    found = identify(place)
    if found == "latent":
        raise UnsupportedFormat(
            f"{place.name} is a latent, not an image: decode it (plica decode), or read it with "
            "plica.read_latent"
        )
    reader: Callable[..., Image] = FORMATS.get_thing(found)
    wanted = None if series is None else str(series)
    asked: dict[str, Any] = {"volume": volume, "max_bytes": max_bytes}
    known = parse_unit(unit)
    if found == "dicom":
        _refuse(spacing_mm is not None, place, "a DICOM series knows its spacing", "spacing_mm")
        with _pointing_at_others(place):
            image: Image = reader(place, series=wanted, identity=identity, **asked)
        return image if known is None else image.with_pixels(image.pixels, unit=known)
    _refuse(wanted is not None, place, "only DICOM has series", "series")
    if found in _WITHOUT_SPACING:
        asked["spacing_mm"] = spacing_mm
    else:
        _refuse(spacing_mm is not None, place, "the file knows its spacing", "spacing_mm")
    if found in _MAPPABLE:
        asked["mapped"] = mapped
    return reader(place, unit=known, **asked)


@contextmanager
def _pointing_at_others(folder: Path) -> Iterator[None]:
    """Of a folder without DICOM, the error says what it holds instead, and how that is read."""
    try:
        yield
    except NotAnImage as error:
        inside = sorted(folder.rglob("*")) if folder.is_dir() else []
        others = [one for one in inside if ENDINGS.get(find_ending(one.name), "dicom") != "dicom"]
        if not others:
            raise
        count = f"{len(others)} file{'s' if len(others) > 1 else ''} of other formats"
        raise NotAnImage(
            f"{folder.name} holds no DICOM images, but {count}: name one, such as {others[0]}"
        ) from error


def _refuse(needless: bool, path: Path, reason: str, argument: str) -> None:
    if needless:
        raise InputError(f"{path.name}: {reason}; leave {argument} out")


def read_latent(path: str | PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES) -> Latent:
    """Read a latent that `write` wrote.

    Args:
        path: The `.latent` file.
        max_bytes: Refuse more decoded bytes than this.

    Raises:
        UnreadableFile: It is not there.
        LatentError: It is no latent, or damaged.
        TooLarge: Past the limit.

    Examples:
        >>> plica.read_latent("ct.latent").codes.shape
        (1, 12, 10, 6)
    """
    from plica.formats import latents

    place = Path(path)
    if place.is_file() and not latents.is_latent(place):
        _refuse_image(place)
    return latents.read(place, max_bytes=max_bytes)


def _refuse_image(path: Path) -> None:
    """Say what a file is that was taken for a latent, where that is known."""
    try:
        found = identify(path)
    except PlicaError:
        return  # reading it says what is wrong
    if found in _NAMES:
        raise LatentError(
            f"{path.name}: this is {_NAMES[found]}, not a latent: encode it (plica encode); "
            "codes written for viewers know no way back: decode the .latent"
        )


def write(
    thing: Image | Latent,
    path: str | PathLike[str],
    *,
    dtype: str | None = None,
    like: str | PathLike[str] | Template | None = None,
    ratio: float | None = None,
    number: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an image or a latent, and say where; the ending chooses the format.

    `.nii .nii.gz .nrrd .mha .png .tif .tiff .npy .npz` for images (and for a latent's codes on
    their own grid), `.latent` for latents, and a folder for a DICOM series: a path without an
    ending, or one ending in "/" or ".dcm".

    Args:
        thing: What to write.
        path: Where; its folder is made if it is missing.
        dtype: Pixel type; for latents "float32", "float16", "bfloat16" or "int8". None keeps
            whole numbers and makes reals float32.
        like: For DICOM: a file, folder or zip that holds the series it derives from.
        ratio: For DICOM alone: how many times fewer bytes the image went through, which the
            standard wants said of lossy images.
        number: For DICOM alone: SeriesNumber; None takes the first that is free from that of `like`
            and a thousand on.
        overwrite: Whether what is there may be replaced.

    Raises:
        OutputError: It exists, cannot be written, or the values do not fit.

    Examples:
        >>> plica.write(image, "decoded/thorax.nii.gz").name
        'thorax.nii.gz'
    """
    place = Path(path)
    ending = find_ending(place.name)
    as_folder = str(path).endswith("/") or not place.suffix or ending == ".dcm"
    if like is not None and not as_folder:
        raise OutputError(f"{place.name}: only DICOM is written like another; leave `like` out")
    if ending == ".latent":
        _write_latent(thing, place, dtype=dtype, overwrite=overwrite)
        return place
    if isinstance(thing, Latent):
        from plica.formats.latents import to_image

        thing = to_image(thing)
    if as_folder:
        _refuse_dtype(dtype, place)
        _write_series(thing, place, like, overwrite=overwrite, ratio=ratio, number=number)
        return place
    if ending not in WRITERS:
        raise OutputError(
            f"{place.name}: no format is written under this ending; choose one of "
            f"{', '.join(WRITERS)}, .latent, or a folder for DICOM"
        )
    WRITERS.get_thing(ending)(thing, place, dtype=dtype, overwrite=overwrite)
    return place


def _write_latent(thing: Image | Latent, path: Path, *, dtype: str | None, overwrite: bool) -> None:
    from plica.formats import latents
    from plica.formats.codes import STORAGE_TYPES

    if not isinstance(thing, Latent):
        raise OutputError(f"{path.name} would be a latent, but this is an image; encode it first")
    for known in STORAGE_TYPES:
        if known == (dtype or "float32"):
            latents.write(thing, path, dtype=known, overwrite=overwrite)
            return
    raise OutputError(
        f"codes cannot be stored as {dtype!r}; choose one of {', '.join(STORAGE_TYPES)}"
    )


def _write_series(
    image: Image, folder: Path, like: str | PathLike[str] | Template | None, **how: Any
) -> None:
    from plica.formats import dicom

    template = Path(like) if isinstance(like, str | PathLike) else like
    dicom.write(image, folder, like=template, method=image.provenance.decoder, **how)


def _refuse_dtype(dtype: str | None, folder: Path) -> None:
    if dtype is not None:
        raise OutputError(f"{folder.name}: DICOM chooses its own pixel type; leave dtype out")
