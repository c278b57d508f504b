"""A box cut out of an image, and put back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.grid import Grid
from plica.image import Image, Pixels
from plica.latent import Record
from plica.preparation.components import label_components
from plica.preparation.scaling import name_type, to_type
from plica.preparation.undo import Undo

Mask = NDArray[np.bool_]
CELL_MM = 3.0
"""Parts are found on cells about this wide: coarser than noise, finer than a finger."""

_FILLED = 0.25  # of a cell's voxels must be above the ceiling: speckles of noise are not


@dataclass(frozen=True)
class Box:
    """Voxels `start` … `start + shape` of a grid."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """For indexing (i, j, k)."""
        i, j, k = (slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))
        return i, j, k

    def slabs_outside(self, sides: Sequence[int]) -> list[tuple[slice, ...]]:
        """Up to six blocks that together are all of a grid but the box, each voxel once."""
        slabs: list[tuple[slice, ...]] = []
        inner: tuple[slice, ...] = (slice(None),)
        for axis, (inside, side) in enumerate(zip(self.slices, sides, strict=True)):
            rest = (slice(None),) * (2 - axis)
            before, after = slice(0, inside.start), slice(inside.stop, side)
            slabs += [(*inner, before, *rest), (*inner, after, *rest)]
            inner = (*inner, inside)
        return slabs


def find_box(
    marked: Mask, grid: Grid, *, margin_mm: float, multiple: int, least_part: float
) -> Box:
    """The box of all considerable parts of a mask, with a margin.

    All parts that reach `least_part` of the largest count, not the largest alone: two legs, two
    hands, or arms beside the body are parts of their own.

    Args:
        marked: Which voxels (i, j, k) are above the ceiling.
        grid: Where they are.
        margin_mm: Left around the parts, at least one cell.
        multiple: The box's sides become multiples of it, where the grid is large enough.
        least_part: Size of a part that counts, as a fraction of the largest.

    Examples:
        >>> marked = np.zeros(scan.grid.shape, bool)
        >>> marked[10:20, 10:20, 5:10] = True
        >>> find_box(marked, scan.grid, margin_mm=2.0, multiple=4, least_part=0.1)
        Box(start=(5, 7, 4), shape=(20, 16, 8))
    """
    spacing = np.array(grid.spacing_mm)
    sides = np.array(grid.shape)
    block = np.clip(np.rint(CELL_MM / spacing), 1, np.maximum(sides // 16, 1)).astype(int)
    labels = label_components(_pool(marked, block) >= _FILLED)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    if not sizes.any():
        return Box((0, 0, 0), grid.shape)
    wanted = (sizes >= least_part * sizes.max()) & (sizes > 0)
    margin = np.maximum(np.ceil(margin_mm / spacing), block).astype(int)
    start, stop = np.zeros(3, int), sides.copy()
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        held = np.flatnonzero(wanted[labels].any(axis=others))
        start[axis] = max(0, held[0] * block[axis] - margin[axis])
        stop[axis] = min(sides[axis], (held[-1] + 1) * block[axis] + margin[axis])
    return _grow(start, stop, sides, multiple)


def crop(
    image: Image, box: Box, step: str, marked: Mask, *, keep_border: bool
) -> tuple[Image, Record]:
    """Cut the box out, and count what is left behind.

    Args:
        image: Cut into a view; nothing is copied.
        box: What to keep.
        step: Whose record it becomes.
        marked: Which voxels were taken for anatomy, to count those left outside.
        keep_border: Keep everything outside in the record, packed.

    Examples:
        >>> box, marked = Box((4, 4, 0), (40, 32, 24)), scan.pixels[0] > -500
        >>> inside, record = crop(scan, box, "mine", marked, keep_border=False)
        >>> inside.grid.shape
        (40, 32, 24)
    """
    undo: dict[str, Any] = {"start": list(box.start), "grid": image.grid.to_json()}
    undo |= {"fill": [0.0] * image.channels, "dtype": name_type(image.pixels.dtype)}
    undo["kept"] = False
    if box.shape == image.grid.shape:
        return image, Record(step, undo)
    slabs = box.slabs_outside(image.grid.shape)
    border = _gather(image.pixels, slabs)
    inner = (slice(None), *box.slices)
    undo["fill"] = [float(_most_usual(one)) for one in border]
    loss, arrays = {}, {}
    if keep_border:
        undo["kept"] = True
        arrays["border"] = _pack(to_type(border, np.dtype(undo["dtype"])))
    else:
        loss = _count_outside(image.pixels[inner], border, undo["fill"])
        if loss:
            left = sum(int(np.count_nonzero(marked[slab[1:]])) for slab in slabs)
            loss["foreground_voxels_outside"] = left
    line = f"cropped to {box.shape} voxels from {box.start} of {image.grid.shape}"
    cropped = replace(
        image,
        pixels=image.pixels[inner],
        grid=image.grid.window(box.start, box.shape),
        provenance=image.provenance.after(line),
    )
    return cropped, Record(step, undo, loss, arrays)


def put_back(image: Image, record: Record) -> Image:
    """Undo `crop`: outside, what was kept, or the background."""
    undo = Undo(record)
    full = undo.grid()
    start = undo.triple("start", 0, max(full.shape))
    box = Box(start, image.grid.shape)
    reach = [a + n for a, n in zip(start, box.shape, strict=True)]
    if any(end > side for end, side in zip(reach, full.shape, strict=True)):
        raise undo.damage(f"{box.shape} voxels from {start} do not lie in {full.shape}")
    undo.refuse_growth(full.shape, image)
    fill = np.array(undo.numbers("fill", image.channels))
    kept = undo.flag("kept")
    pixels = np.empty((image.channels, *full.shape), image.pixels.dtype)
    if kept:
        border = _unpack(
            undo, (image.channels, (pixels.size - image.pixels.size) // image.channels)
        )
        _scatter(pixels, box.slabs_outside(full.shape), to_type(border, pixels.dtype))
    else:
        pixels[:] = to_type(fill, pixels.dtype)[:, None, None, None]
    pixels[(slice(None), *box.slices)] = image.pixels
    back = [-one for one in start]
    return replace(image, pixels=pixels, grid=image.grid.window(back, full.shape))


# -- finding -------------------------------------------------------------------------------------


def _pool(mask: Mask, block: Pixels) -> NDArray[np.float64]:
    """Fraction of marked voxels in each cell; cells at the far ends may be smaller."""
    sums: NDArray[Any] = mask.view(np.uint8)
    counts = np.ones((1, 1, 1))
    for axis in (2, 1, 0):
        side, width = mask.shape[axis], int(block[axis])
        edges = np.arange(0, side, width)
        if width > 1:
            sums = np.add.reduceat(sums, edges, axis=axis, dtype=np.uint32)
        widths = np.diff(np.append(edges, side))
        counts = counts * widths.reshape([-1 if one == axis else 1 for one in range(3)])
    return sums / counts


def _grow(start: Pixels, stop: Pixels, sides: Pixels, multiple: int) -> Box:
    shape = np.minimum(-(-(stop - start) // multiple) * multiple, sides)
    start = np.clip(start - (shape - (stop - start)) // 2, 0, sides - shape)
    a, b, c = (int(one) for one in start)
    i, j, k = (int(one) for one in shape)
    return Box((a, b, c), (i, j, k))


# -- counting ------------------------------------------------------------------------------------


def _most_usual(values: Pixels) -> Any:
    """The median, taken from among the values themselves."""
    middle = len(values) // 2
    return np.partition(values, middle)[middle]


def _count_outside(inside: Pixels, border: Pixels, fill: Sequence[float]) -> dict[str, Any]:
    """What is lost when everything outside becomes the background."""
    changed, energy, largest, kept_energy = 0, 0.0, 0.0, 0.0
    for level, lost, kept in zip(fill, border, inside, strict=True):
        for part in _parts(lost):
            apart = np.abs(part - level)
            changed += int(np.count_nonzero(apart))
            energy += float(np.square(apart).sum())
            largest = max(largest, float(apart.max()))
        for part in (one for plane in kept for one in _parts(plane.ravel())):
            kept_energy += float(np.square(part - level).sum())
    if changed == 0:
        return {}
    return {
        "outside_fraction": border.size / (border.size + inside.size),
        "voxels_changed": changed,
        "energy_fraction": energy / (energy + kept_energy),
        "largest_change": largest,
    }


def _parts(values: Pixels) -> Iterator[NDArray[np.float64]]:
    """Pieces that fit a processor's cache: no float64 copy of a volume."""
    for start in range(0, len(values), 2**15):
        yield values[start : start + 2**15].astype(np.float64)


# -- keeping the border --------------------------------------------------------------------------


def _gather(pixels: Pixels, slabs: Sequence[tuple[slice, ...]]) -> Pixels:
    """What stands outside, (channel, voxel): slabs, for an index per voxel is far slower."""
    return np.concatenate([pixels[slab].reshape(len(pixels), -1) for slab in slabs], axis=1)


def _scatter(pixels: Pixels, slabs: Sequence[tuple[slice, ...]], border: Pixels) -> None:
    done = 0
    for slab in slabs:
        shape = pixels[slab].shape
        count = int(np.prod(shape[1:]))
        pixels[slab] = border[:, done : done + count].reshape(shape)
        done += count


def _pack(border: Pixels) -> NDArray[np.uint8]:
    """Deflated, the bytes of one significance together: high bytes hardly change."""
    plain = np.ascontiguousarray(border).astype(border.dtype.newbyteorder("<"), copy=False)
    planes = plain.reshape(-1).view(np.uint8).reshape(-1, border.dtype.itemsize).T
    return np.frombuffer(zlib.compress(planes.tobytes(), 6), np.uint8)


def _unpack(undo: Undo, shape: tuple[int, int]) -> Pixels:
    dtype = undo.pixel_type()
    expected = shape[0] * shape[1] * dtype.itemsize
    packed = undo.array("border", "u")
    engine = zlib.decompressobj()
    try:
        planes = engine.decompress(packed.tobytes(), expected + 1)  # never more than is expected
    except zlib.error as error:
        raise undo.damage(f"what was kept outside the box cannot be unpacked ({error})") from error
    if len(planes) != expected:
        raise undo.damage("what was kept outside the box does not fit it")
    values = np.frombuffer(planes, np.uint8).reshape(dtype.itemsize, -1).T
    return np.ascontiguousarray(values).view(dtype.newbyteorder("<")).reshape(shape).astype(dtype)
