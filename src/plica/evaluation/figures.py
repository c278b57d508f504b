"""Figures: source | latent | decoded | residual side by side, with scales of values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from plica.errors import InputError, SettingsError
from plica.evaluation import canvas as c
from plica.evaluation.planes import PLANES, View, choose_views
from plica.evaluation.tones import (
    Rgb,
    Tone,
    choose_residual_range,
    choose_tone,
    diverge,
    format_value,
    glance,
    share_beyond,
)
from plica.formats.atomic import new_file, refuse_existing
from plica.image import Image, Unit

MARGIN, GUTTER, HEADER, LINE = 32, 18, 92, 23
LABEL_HEIGHT, ROW_GAP = 34, 14
LONGER_SIDE, SHORTER_SIDE, LONGEST_SIDE, TALLEST = 448, 256, 900, 1800
NATIVE_FROM = 0.8  # an image that need shrink by less than this is shown voxel by voxel
SHALLOW = 2.6  # pictures wider than this many heights stand under each other
NARROWEST = 190  # a column keeps room for its scale
MOST_CODES = 16  # code channels shown
CODE_PERCENTILES = (1.0, 99.0)
OUTLINE = (88, 214, 141)  # neither a grey nor a colour of residuals
LEAST_SHARE = 1e-6  # that a caption gives in digits
ROUNDING = 1e-6  # of a pixel: averages of zeros may be off by less
RESIDUAL_SHARE = 0.25  # of a window asked for: the residual is drawn to a quarter of its width
SEAM = 2  # pixels between the channels of a latent


@dataclass(frozen=True, eq=False)
class Column:
    """One kind of picture in the figure: source, latent, decoded or residual.

    Args:
        label: Its heading.
        draw: Colours (height, width, 3) of a view at a size in pixels.
        scale: Ends, unit and colours of its scale of values; None where values mean nothing.
        note: What stands beneath it where there is no scale.
        letters: Whether its pictures carry orientation letters.
    """

    label: str
    draw: Callable[[View, tuple[int, int]], Rgb]
    scale: tuple[tuple[float, float], str, Callable[[NDArray[np.float64]], Rgb]] | None
    note: str = ""
    letters: bool = False


@dataclass(frozen=True)
class Reach:
    """How far a residual's scale of colours goes, on either side of zero.

    Args:
        limit: Its ends, in the image's unit.
        beyond: Share of the values that lie further out; None where no value differs.
        why: Where it comes from, for the caption.
    """

    limit: float
    beyond: float | None
    why: str


@dataclass(frozen=True, eq=False)
class Focus:
    """What of a volume a figure shows.

    Args:
        planes: Which of "axial", "coronal", "sagittal", in this order.
        centre: The voxel the planes cut through; None for the middle, or where it is liveliest.
        region: Where a mask is true, (i, j, k): its outline is drawn on all but the latent.
        residual_range: The residual is drawn from minus this to plus this, in the image's unit.
            None takes a quarter of the width of the window that was asked for, so that panels in
            one window can be compared; without a window, a round number that 99 % of this pair's
            values keep under, and the caption says that it is no other panel's.
    """

    planes: Sequence[str] = PLANES
    centre: tuple[int, int, int] | None = None
    region: NDArray[np.bool_] | None = None
    residual_range: float | None = None


def write_panel(
    path: Path, source: Image, decoded: Image, *, overwrite: bool = False, **options: Any
) -> None:
    """Draw a `panel` and write it as PNG, whole or not at all.

    Raises:
        OutputError: The file exists, or cannot be written.

    Examples:
        >>> write_panel(Path("ct.png"), scan, decoded, title="linear-4x1-3d")
    """
    refuse_existing(path, overwrite=overwrite)
    picture = panel(source, decoded, **options)
    with new_file(path, overwrite=overwrite) as file:
        picture.save(file, format="PNG", optimize=True)


def panel(
    source: Image,
    decoded: Image,
    *,
    latent: Image | None = None,
    title: str = "",
    caption: str = "",
    window: tuple[float, float] | None = None,
    focus: Focus | None = None,
) -> Pillow.Image:
    """A picture that shows what a codec kept of an image, and what it lost.

    Sections are shown as radiologists look at them: the patient's right at the left, front or head
    up; voxels keep their true proportions. A volume is cut in its middle.

    Args:
        latent: The codes as an image on their own grid, drawn where they lie on the source.
        title: One line.
        caption: What else to say; how the figure was drawn is added to it.
        window: Lowest and highest value drawn, in the image's unit. None takes the file's own
            window, or else one that suits the unit (HU: soft tissue, or lung where there is much
            of it; 8-bit: all; otherwise percentiles).
        focus: Which planes of a volume, through where, around what, and how far residuals go; its
            middle if left out.

    Raises:
        InputError: The two images are not on one grid, or differ in channels.
        SettingsError: The window, the residual's range or a plane is none.

    Examples:
        >>> panel(scan, decoded, title="head").save("head.png")
    """
    _refuse_unlike(source, decoded)
    focus = focus or Focus()
    region = focus.region
    views = choose_views(source, tuple(focus.planes), focus.centre)
    tone = choose_tone(source, window)
    residual = _subtract(source, decoded)
    reach = choose_reach(residual, window, focus.residual_range)
    columns = [
        _image_column("source", source, tone),
        *([_latent_column(latent)] if latent is not None else []),
        _image_column("decoded", decoded, tone),
        _residual_column(residual, reach.limit, source.unit),
    ]
    if region is not None:
        columns = [_outlined(column, region) for column in columns]
    said = [
        caption,
        *_explain(source, decoded, tone, reach),
        _name_slices(views),
        _say_outline(views, region) if region is not None else "",
    ]
    return _compose(
        columns,
        views,
        heading=(title or "source and decoded", _describe(source)),
        caption=" ".join(said).strip(),
    )


def choose_reach(
    residual: NDArray[np.float32],
    window: tuple[float, float] | None = None,
    asked: float | None = None,
) -> Reach:
    """The range asked for; or a quarter of the window asked for; or one that suits this pair.

    Raises:
        SettingsError: It is no number above 0.
    """
    if asked is not None:
        if not (math.isfinite(asked) and asked > 0):
            raise SettingsError(
                f"a residual's range is a number above 0 in the image's unit, not {asked}"
            )
        limit, why = float(asked), "as asked for"
    elif window is not None:
        limit, why = RESIDUAL_SHARE * (window[1] - window[0]), "a quarter of the window"
    else:
        limit = choose_residual_range(residual)[0] or 1.0
        why = "chosen for this pair: not comparable with other panels"
    differs = bool(((residual != 0) & np.isfinite(residual)).any())
    return Reach(limit, share_beyond(residual, limit) if differs else None, why)


def _refuse_unlike(source: Image, decoded: Image) -> None:
    if not source.grid.agrees_with(decoded.grid) or source.channels != decoded.channels:
        raise InputError(
            f"a panel needs two images on one grid, but got {source.pixels.shape} and "
            f"{decoded.pixels.shape} (channel, i, j, k), or voxels that lie elsewhere: "
            "resample one onto the other first"
        )


def _subtract(source: Image, decoded: Image) -> NDArray[np.float32]:
    """Decoded minus source, the mean over channels, as (1, i, j, k)."""
    out = np.zeros((1, *source.grid.shape), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # ∞ − ∞ is NaN, and drawn as missing
        for channel in range(source.channels):
            out[0] += decoded.pixels[channel].astype(np.float32)
            out[0] -= source.pixels[channel].astype(np.float32)
    return out / np.float32(source.channels)


# -- columns -------------------------------------------------------------------------------------


def _image_column(label: str, image: Image, tone: Tone) -> Column:
    # Colour or one channel: what has two, four or more channels is shown by its first.
    shown = image.pixels if image.channels == 3 else image.pixels[:1]

    def draw(view: View, size: tuple[int, int]) -> Rgb:
        return _to_rgb(tone(_resize(view.cut(shown), size, tone.low)))

    def paint(values: NDArray[np.float64]) -> Rgb:
        return _to_rgb(tone(values)[None, None])[0]

    scale = ((tone.low, tone.high), _name_unit(image.unit), paint)
    return Column(label, draw, scale, letters=True)


def _residual_column(residual: NDArray[np.float32], limit: float, unit: Unit) -> Column:
    def draw(view: View, size: tuple[int, int]) -> Rgb:
        return diverge(_resize(view.cut(residual), size, 0.0)[0] / limit)

    def paint(values: NDArray[np.float64]) -> Rgb:
        return diverge(values / limit)

    scale = ((-limit, limit), _name_unit(unit), paint)
    return Column("residual", draw, scale)


def _latent_column(latent: Image) -> Column:
    n = min(latent.channels, MOST_CODES)
    tones = []
    for m in range(n):
        seen = glance(latent.pixels[[m]])
        low, high = np.percentile(seen, CODE_PERCENTILES)
        if low == high:  # codes that are almost all alike: what stands out must be seen
            low, high = seen.min(), seen.max()
        tones.append(Tone(float(low), float(high), "its own percentiles"))
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)

    def draw(view: View, size: tuple[int, int]) -> Rgb:
        page = np.empty((*size, 3), np.uint8)
        page[:] = c.PAGE
        height, width = (max(1, (side - SEAM * (across - 1)) // across) for side in size)
        lead = (size[0] - down * height - SEAM * (down - 1)) // 2  # empty rows above the first
        places, inside = _find_codes(latent, view, (height, width))
        for m, tone in enumerate(tones):
            top, left = lead + (m // across) * (height + SEAM), (m % across) * (width + SEAM)
            grey = tone(latent.pixels[(m, *places)]) * inside
            page[top : top + height, left : left + width] = _to_rgb(grey[None])
        return page

    first = f", the first {n} shown" if n < latent.channels else ""
    sides = latent.grid.shape if latent.is_volume else latent.grid.shape[:2]
    cells = "×".join(map(str, (latent.channels, *sides)))
    return Column("latent", draw, None, note=f"{cells} codes{first}, each channel on its own scale")


def _outlined(column: Column, region: NDArray[np.bool_]) -> Column:
    """The same with a region's outline, on what is drawn voxel by voxel."""
    if column.scale is None:
        return column
    bare = column.draw

    def draw(view: View, size: tuple[int, int]) -> Rgb:
        page = np.array(bare(view, size))
        page[_find_border(_cover(view, size, region))] = OUTLINE
        return page

    return replace(column, draw=draw)


def _cover(view: View, size: tuple[int, int], region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that have any of the region: in a picture made smaller a small one must not go."""
    return np.asarray(_resize(view.cut(region[None]), size, 0.0)[0] > ROUNDING)


def _say_outline(views: list[View], region: NDArray[np.bool_]) -> str:
    covers = [
        _cover(view, size, region) for view, size in zip(views, _choose_sizes(views), strict=True)
    ]
    if any(_find_border(cover).any() for cover in covers):
        return "The region is outlined in green."
    return "" if any(cover.any() for cover in covers) else "The region is in no slice shown."


def _find_border(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels just outside, with a neighbour inside: what lies inside stays to be seen."""
    padded = np.pad(inside, 1)
    beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return np.asarray(beside & ~inside)


def _find_codes(
    latent: Image, view: View, size: tuple[int, int]
) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.bool_]]:
    """Which code lies at each pixel of a view, and whether one does: looked up in the world."""
    world = view.grid.to_world(view.indices(*size))
    index = np.rint(latent.grid.to_index(world)).astype(np.intp)
    last = np.array(latent.grid.shape) - 1
    inside = np.asarray(((index >= 0) & (index <= last)).all(axis=-1))
    held = np.clip(index, 0, last)
    return (held[..., 0], held[..., 1], held[..., 2]), inside


def _resize(planes: NDArray[Any], size: tuple[int, int], missing: float) -> NDArray[np.float64]:
    """(channel, row, column) at another size: voxels enlarged as they are, or averaged.

    What is not finite becomes `missing` first: in an average it would blot out its neighbours.
    """
    height, width = size
    rows, columns = planes.shape[1:]
    y = np.minimum(((np.arange(height) + 0.5) * rows / height).astype(int), rows - 1)
    x = np.minimum(((np.arange(width) + 0.5) * columns / width).astype(int), columns - 1)
    out = np.where(np.isfinite(planes), planes, missing).astype(np.float64)
    out = _average_rows(out, height) if height < rows else out[:, y]
    out = out.swapaxes(1, 2)
    out = _average_rows(out, width) if width < columns else out[:, x]
    return out.swapaxes(1, 2)


def _average_rows(planes: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """`n` rows, each the mean of those it covers, parts of a row counted by their share."""
    rows = planes.shape[1]
    total = np.concatenate([np.zeros_like(planes[:, :1]), planes.cumsum(axis=1)], axis=1)
    edges = np.arange(n + 1) * rows / n
    whole = np.minimum(edges.astype(int), rows - 1)
    at = total[:, whole] + (edges - whole)[:, None] * planes[:, whole]
    return np.diff(at, axis=1) * (n / rows)


def _to_rgb(grey: NDArray[np.float64]) -> Rgb:
    """(1 or 3, row, column) of brightness to (row, column, 3) of bytes."""
    bytes_ = np.rint(grey * 255).astype(np.uint8)
    return np.moveaxis(np.broadcast_to(bytes_, (3, *bytes_.shape[1:])), 0, -1)


# -- the page ------------------------------------------------------------------------------------


def _compose(
    columns: list[Column], views: list[View], *, heading: tuple[str, str], caption: str
) -> Pillow.Image:
    stacked = len(views) == 1 and views[0].size_mm[1] > SHALLOW * views[0].size_mm[0]
    sizes = _choose_sizes(views)
    cell = max(NARROWEST, *(width for _, width in sizes))
    across = 1 if stacked else len(columns)
    width = max(2 * MARGIN + across * cell + (across - 1) * GUTTER, 560)
    lines = c.wrap(caption, width - 2 * MARGIN)
    heights = [height for height, _ in sizes]
    block = LABEL_HEIGHT + sum(heights) + ROW_GAP * len(heights) + c.SCALE_HEIGHT
    blocks = len(columns) if stacked else 1
    height = HEADER + blocks * block + 12 + LINE * len(lines) + MARGIN
    page = c.Canvas(width, height)
    _draw_heading(page, heading, width)
    for n, column in enumerate(columns):
        left = MARGIN + (0 if stacked else n * (cell + GUTTER))
        top = HEADER + (n * block if stacked else 0)
        _draw_column(page, column, list(zip(views, sizes, strict=True)), (left, top, cell))
    for n, line in enumerate(lines):
        page.write((MARGIN, HEADER + blocks * block + 12 + LINE * n), line, colour=c.QUIET)
    return page.page


def _choose_sizes(views: list[View]) -> list[tuple[int, int]]:
    """Height and width in pixels of each view, all at one number of pixels per millimetre."""
    main = views[0]
    voxel = min(extent / side for extent, side in zip(main.size_mm, main.shape, strict=True))
    scale = LONGER_SIDE / max(main.size_mm)
    scale = max(scale, min(SHORTER_SIDE / min(main.size_mm), LONGEST_SIDE / max(main.size_mm)))
    enlarged = scale * voxel
    if enlarged >= NATIVE_FROM:
        scale = max(1, math.floor(enlarged + 0.3)) / voxel
    widest = max(view.size_mm[1] for view in views)
    scale = min(scale, LONGEST_SIDE / widest, TALLEST / sum(view.size_mm[0] for view in views))
    return [
        (max(1, round(view.size_mm[0] * scale)), max(1, round(view.size_mm[1] * scale)))
        for view in views
    ]


def _draw_heading(page: c.Canvas, heading: tuple[str, str], width: int) -> None:
    title, facts = heading
    room = width - 2 * MARGIN - 16
    page.mark(MARGIN, 26, 4, 48)
    page.write((MARGIN + 16, 22), c.shorten(title, room, c.TITLE_SIZE), size=c.TITLE_SIZE)
    page.write((MARGIN + 16, 58), c.shorten(facts, room), colour=c.QUIET)


def _draw_column(
    page: c.Canvas,
    column: Column,
    rows: list[tuple[View, tuple[int, int]]],
    place: tuple[int, int, int],
) -> None:
    left, top, cell = place
    page.write((left, top + 4), c.shorten(column.label, cell, c.LABEL_SIZE), size=c.LABEL_SIZE)
    top += LABEL_HEIGHT
    for view, (height, width) in rows:
        x = left + (cell - width) // 2
        page.paste(x, top, column.draw(view, (height, width)))
        if column.letters and view.letters:
            page.letter((x, top, width, height), view.letters)
        top += height + ROW_GAP
    if column.scale is not None:
        ends, unit, paint = column.scale
        page.scale((left, top, cell), ends, unit, paint)
    for n, line in enumerate(c.wrap(column.note, cell)[:2]):
        page.write((left + cell / 2, top + n * LINE), line, colour=c.QUIET, anchor="ma")


# -- words ---------------------------------------------------------------------------------------


def _describe(image: Image) -> str:
    sides = [side for axis, side in enumerate(image.grid.shape) if axis < 2 or side > 1]
    spacing = [f"{step:.3g}" for step in image.grid.spacing_mm[: len(sides)]]
    facts = [
        image.provenance.modality,
        "×".join(map(str, sides)) + (" voxels" if len(sides) == 3 else " pixels"),
        "×".join(spacing) + " mm" if image.grid.calibrated else "no known spacing",
        _name_unit(image.unit),
        f"{image.channels} channels" if image.channels > 1 else "",
    ]
    return "  ·  ".join(fact for fact in facts if fact)


def _explain(source: Image, decoded: Image, tone: Tone, reach: Reach) -> list[str]:
    span, unit = tone.high - tone.low, _name_unit(source.unit)
    said = [
        f"Window {format_value(tone.low, span)} to {format_value(tone.high, span)} {unit} "
        f"({tone.why}){', inverted' if tone.display.inverted else ''}."
    ]
    if reach.beyond is None:
        said.append("Residual = decoded − source: no value differs.")
    else:
        mean = ", mean of the channels" if source.channels > 1 else ""
        share, ends = reach.beyond, format_value(reach.limit, reach.limit)
        beyond = f"{_percent(share)} of values lie" if share else "no value lies"
        said.append(
            f"Residual = decoded − source{mean}, from −{ends} to {ends} {unit} ({reach.why}); "
            f"{beyond} beyond ±{ends} {unit}{' and are drawn as that' if share else ''}."
        )
    missing = [
        f"{count} values of the {name}"
        for name, count in (
            ("source", source.count_nonfinite()),
            ("decoded", decoded.count_nonfinite()),
        )
        if count
    ]
    if missing:
        said.append(f"{' and '.join(missing)} are not finite and drawn as the lowest.")
    return said


def _percent(share: float) -> str:
    if share < LEAST_SHARE:
        return f"less than {100 * LEAST_SHARE:g} %"
    return f"{100 * share:.{3 if share > 0.1 else 2}g} %"


def _name_slices(views: list[View]) -> str:
    cuts = [view.label for view in views if view.grid.shape[view.normal] > 1]
    return f"Slices: {', '.join(cuts)}." if cuts else ""


def _name_unit(unit: Unit) -> str:
    """A unit as written beneath a scale."""
    words = {
        Unit.RELATIVE: "relative units",
        Unit.DISPLAY: "display values",
        Unit.LABEL: "class numbers",
        Unit.NORMALISED: "normalised units",
    }
    return words.get(unit, unit.value)
