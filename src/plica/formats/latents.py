"""Latent ⇄ file: safetensors whose header says everything, readable without torch.

`__metadata__["plica"]` is the JSON record of `latent_record`; the tensors are those it names.
`__metadata__["sha256"]` is the checksum of their bytes, `["header_sha256"]` that of the header.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from plica.errors import LatentError, PlicaError, UnreadableFile
from plica.formats.atomic import new_file
from plica.formats.codes import StorageType
from plica.formats.latent_record import RECORD, compose, interpret, parse, parse_record
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.tensors import (
    CHECKSUM,
    HEADER_CHECKSUM,
    Container,
    check_data,
    read_container,
    write_container,
)
from plica.image import Image, Unit
from plica.latent import Latent

FORMAT = "plica latent"
_METADATA = {"format", RECORD, CHECKSUM, HEADER_CHECKSUM}

# -- writing -------------------------------------------------------------------------------------


def write(
    latent: Latent, path: Path, *, dtype: StorageType = "float32", overwrite: bool = False
) -> Latent:
    """Write a latent whole or not at all.

    Args:
        latent: What to write. A bitstream's bytes are kept as they are, whatever `dtype` says.
        path: The file, by custom ending in .latent.
        dtype: How codes are stored; int8 with one scale per code channel.
        overwrite: Whether a file of that name may be replaced.

    Returns:
        The latent as a reader will see it: codes after rounding, and in `stored` the type and
        what it cost (rms_error, relative_rms_error, max_error, in the codes' own scale).

    Raises:
        OutputError: The codes do not fit the type, or the file cannot be written.
        LatentError: A record of the trail cannot be kept as JSON.

    Examples:
        >>> round(write(latent, Path("small.latent"), dtype="int8").stored["rms_error"], 3)
        0.002
    """
    parts = compose(latent, dtype)
    with new_file(path, overwrite=overwrite) as file:
        write_container(file, parts.tensors, {"format": FORMAT, RECORD: parts.record})
    return parts.seen


# -- reading -------------------------------------------------------------------------------------


def is_latent(path: Path) -> bool:
    """Whether the file is a latent of plica's, whole or not: its header begins as ours does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            container = read_container(file, path.stat().st_size, path.name)
        except PlicaError:
            return path.suffix == ".latent"
    return RECORD in container.metadata


def read_header(path: Path, *, check_below: int = 0) -> dict[str, Any]:
    """What a latent's header says, checked; its codes are not read.

    Args:
        path: The latent file.
        check_below: Check the codes, too, of a file of fewer bytes than this.

    Returns:
        The record of `latent_record`, with `shape` (code channel, i, j, k), `bytes` (the
        file's size), `tensors` ({name: {dtype, shape}}) and `checksums`: of "header" and
        "numbers", each "right", "absent" (older files) or "not checked".

    Raises:
        LatentError: It is none, is damaged, or was written by a newer plica.

    Examples:
        >>> read_header(Path("ct.latent"))["codec"]["name"]
        'linear-4x1-3d'
    """
    with _open(path) as file:
        container = _read_container(file, path)
        size = path.stat().st_size
        checked = size < check_below
        if checked:
            check_data(file, container, path.name)
    record = parse_record(container, path.name)
    interpret(record, path.name)
    return {
        **record,
        "shape": list(container.tensors["codes"].shape),
        "bytes": size,
        "tensors": {
            key: {"dtype": tensor.dtype, "shape": list(tensor.shape)}
            for key, tensor in container.tensors.items()
        },
        "checksums": {
            "header": "right" if HEADER_CHECKSUM in container.metadata else "absent",
            "numbers": "absent" if CHECKSUM not in container.metadata
            else "right" if checked else "not checked",
        },
    }  # fmt: skip


def read(path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Latent:
    """Read a latent; its codes become float32, a bitstream's bytes stay uint8.

    Args:
        path: The latent file.
        max_bytes: Refuse more decoded bytes than this.

    Raises:
        LatentError: It is none, is damaged, or was written by a newer plica.
        TooLarge: Past the limit.

    Examples:
        >>> read(Path("ct.latent")).grid.spacing_mm
        (3.2, 3.2, 8.0)
    """
    with _open(path) as file:
        container = _read_container(file, path)
        return parse(file, container, path.name, max_bytes=max_bytes)


def _open(path: Path) -> io.BufferedReader:
    if not path.is_file():
        raise UnreadableFile(f"{path.name}: there is no such file; check the path")
    return path.open("rb")


def _read_container(file: io.BufferedReader, path: Path) -> Container:
    """The header; a key that no plica wrote is a checksum's name that was damaged."""
    container = read_container(file, path.stat().st_size, path.name)
    if RECORD in container.metadata and (odd := sorted(set(container.metadata) - _METADATA)):
        parse_record(container, path.name)  # of a newer plica, says so
        raise LatentError(f"{path.name}: its header adds {', '.join(odd)[:80]}; it is damaged")
    return container


# -- to an image ---------------------------------------------------------------------------------


def to_image(latent: Latent) -> Image:
    """The codes as an image on their own coarser grid, to be laid over the scan in a viewer.

    Raises:
        LatentError: A bitstream has no places.

    Examples:
        >>> to_image(latent).grid.spacing_mm
        (3.2, 3.2, 8.0)
    """
    if latent.kind == "bitstream":
        raise LatentError(
            f"the latent of {latent.codec.name} is a stream of bytes, which have no place in the "
            "image; decode it instead"
        )
    return Image(
        np.asarray(latent.codes, np.float32),
        latent.grid,
        unit=Unit.NORMALISED,
        provenance=latent.provenance.after(f"codes of {latent.codec.name} ({latent.kind})"),
    )
