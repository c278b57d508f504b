"""Drafts: files that grow box by box, so that a decoded image need not be whole in memory.

    .nii .npy           pixels are laid into the file itself, mapped
    all others          into a file without a name beside the output, from which it is then written
    small images        into memory

Mapped pages are given back as they are laid (`plica.boxes.release`), so that the process holds
no more than a box of them.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from plica.errors import OutputError
from plica.formats import doors
from plica.formats.atomic import new_file
from plica.formats.sniff import find_ending
from plica.image import Image, Pixels

# Below it an image is simply kept in memory.
SMALL_BYTES = 2**26


class Draft:
    """Where one decoded image is laid, and how it becomes a file; nothing is left if it fails.

    Args:
        choose: Names the file for an image whose values are not there yet.
        overwrite: Whether a file of that name may be replaced.
        small_bytes: Images below it are kept in memory.

    Examples:
        >>> with Draft(lambda image: Path("decoded.nii")) as draft:
        ...     written = draft.finish(codec.decode_into(latent, draft.begin))
        >>> plica.read(written).grid.shape
        (48, 40, 24)
    """

    def __init__(
        self,
        choose: Callable[[Image], Path],
        *,
        overwrite: bool = False,
        small_bytes: int = SMALL_BYTES,
    ) -> None:
        self._choose, self._overwrite, self._small = choose, overwrite, small_bytes
        self._stack = contextlib.ExitStack()
        self._laid = False

    def __enter__(self) -> Draft:
        """Begin; nothing is made yet."""
        self._stack.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take away what was not finished."""
        if kind is None and self._laid:
            kind = OutputError  # never finished: what was laid is no file
            error = OutputError("the image was never finished")
        self._stack.__exit__(kind, error, trace)

    def begin(self, outline: Image) -> Pixels:
        """Room for the pixels of an image, (channel, i, j, k), in the type they are written in.

        Raises:
            OutputError: The file exists, or there is no room for it.
        """
        path = self._choose(outline)
        if outline.pixels.size * outline.pixels.itemsize < self._small:
            return np.empty(outline.pixels.shape, outline.pixels.dtype)
        laying = _LAYOUTS.get(find_ending(path.name))
        layout = laying(outline) if laying else None
        if layout is None:
            return self._lay_beside(path, outline)
        head, dtype, shape, order = layout
        file = self._stack.enter_context(new_file(path, overwrite=self._overwrite))
        self._laid = True
        file.write(head)
        file.flush()
        size = math.prod(shape) * dtype.itemsize
        _reserve(file, len(head) + size)
        mapped = np.memmap(file.name, dtype, "r+", offset=len(head), shape=shape, order=order)
        return np.moveaxis(np.asarray(mapped), -1, 0) if order == "F" else np.asarray(mapped)

    def finish(self, image: Image, **how: Any) -> Path:
        """Write what is not in its file yet, and let it appear under its name.

        Args:
            image: Of the pixels `begin` gave, filled.
            how: As `plica.write` takes it.

        Returns:
            The file or folder.
        """
        path = self._choose(image)
        if not self._laid:
            doors.write(image, path, overwrite=self._overwrite, **how)
        self._laid = False
        self._stack.close()
        return path

    def _lay_beside(self, path: Path, outline: Image) -> Pixels:
        """Room in a file without a name, on the disk the output will be on."""
        folder = next(one for one in path.absolute().parents if one.is_dir())
        try:
            opened = tempfile.TemporaryFile(dir=folder, prefix=".plica-")  # noqa: SIM115 - next line
            file = self._stack.enter_context(opened)
            _reserve(file, outline.pixels.size * outline.pixels.itemsize)
            order: Literal["F", "C"] = "C" if path.name.endswith(".npz") else "F"  # as it is kept
            shape = outline.pixels.shape
            mapped = np.memmap(file, outline.pixels.dtype, "r+", shape=shape, order=order)
        except OSError as error:
            raise OutputError(
                f"there is no room beside {path} to decode it into: {error.strerror or error}"
            ) from error
        return np.asarray(mapped)


_Layout = tuple[bytes, np.dtype[Any], tuple[int, ...], Literal["F", "C"]]


def _lay_nifti(outline: Image) -> _Layout | None:
    """Slices one after another, channels after those; colour lies otherwise."""
    from plica.formats import nifti_writing

    found = nifti_writing.compose(outline)
    if found is None:
        return None
    head, dtype = found
    channels, *sides = outline.pixels.shape
    return head, dtype, (*sides, channels), "F"


def _lay_npy(outline: Image) -> _Layout:
    from plica.formats import array

    head, dtype = array.compose_npy(outline)
    return head, dtype, outline.pixels.shape, "C"


_LAYOUTS: dict[str, Callable[[Image], _Layout | None]] = {".nii": _lay_nifti, ".npy": _lay_npy}


def _reserve(file: io.BufferedWriter | Any, size: int) -> None:
    """Take the room now: a full disk met through a map would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        os.truncate(file.fileno(), size)
