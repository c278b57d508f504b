"""Selection: a protocol's sample of a cohort, and each image cut as the protocol says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plica.cohort import Case, Cohort
from plica.errors import InputError, SettingsError, UnusablePixels
from plica.evaluation.protocol import Crop, Group, Protocol, Resize, Sample, Triple
from plica.image import Image, Unit
from plica.preparation.resize import resize

DATASET = "dataset"
"""Label that says which data set a case is of."""

Bools = NDArray[np.bool_]
_WORLD_AXES = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}


@dataclass(frozen=True)
class Selected:
    """An image that is judged, in one of the draws.

    Args:
        case: The image.
        group: The kind it is judged as; "" where there is one kind.
        draw: In which draw, from 0.
    """

    case: Case
    group: str
    draw: int


@dataclass(frozen=True)
class Selection:
    """The images that are judged, by draw, group and key.

    Args:
        all: Each once in each draw.
        split: Of the cohort; "" where it has none.
        notes: What a reader must know: how many there were, and what was not drawn anew.
    """

    all: tuple[Selected, ...]
    split: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Selected]:
        return iter(self.all)

    @property
    def groups(self) -> tuple[str, ...]:
        """In order of first appearance."""
        return tuple(dict.fromkeys(selected.group for selected in self.all))


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image as the protocol wants it judged.

    Args:
        image: Cut, resized and clipped; on its own grid, which lies where it did in the patient.
        data_range: What counts as the full range of values; None leaves it to `measure`.
        region: Where metrics look, on the image's grid; None looks everywhere.
        notes: What was done, one line each.
    """

    image: Image
    data_range: float | None = None
    region: Bools | None = None
    notes: tuple[str, ...] = ()


# -- which images --------------------------------------------------------------------------------


def select(
    protocol: Protocol,
    cohort: Cohort,
    *,
    split: str | None = None,
    groups: Sequence[str] | None = None,
    limit: int | None = None,
) -> Selection:
    """Draw a protocol's sample from a cohort: the same images whatever their order.

    Args:
        split: Which one; None takes the first of `protocol.splits` the cohort has.
        groups: Which of the protocol's groups; None takes all, and each must have images.
        limit: At most so many images of each group, in one draw, whatever the protocol draws.

    Raises:
        InputError: The cohort has no such split, no images of a group, or fewer than the protocol
            insists on; the message says where the images are to be had.
        SettingsError: The protocol trains probes and has no sample of images, or the limit is
            below 1.
        UnknownName: There is no such group.

    Examples:
        >>> from plica.evaluation.protocol import read_protocol
        >>> drawn = select(read_protocol("reconstruction"), cohort, split="train", limit=2)
        >>> len(drawn), drawn.groups
        (2, ('',))
    """
    if protocol.kind == "probe":
        raise SettingsError(
            f"{protocol.name} trains classifiers on whole cohorts and draws no sample: "
            "use `plica evaluate probe`"
        )
    if limit is not None and limit < 1:
        raise SettingsError(f"the limit is at least one image of each group, but it is {limit}")
    chosen, cases = _choose_split(protocol, cohort, split)
    if not cases:
        raise InputError("the cohort is empty: there is nothing to judge")
    kinds = _sort_into_groups(protocol, cases, groups)
    drawn: list[Selected] = []
    notes: list[str] = []
    for name, members in kinds.items():
        draws, note = _draw(protocol, name, members, limit)
        drawn += draws
        notes += [note] if note else []
    drawn.sort(key=lambda one: one.draw)  # stable: groups and keys keep their order
    return Selection(tuple(drawn), chosen, tuple(notes))


def _choose_split(
    protocol: Protocol, cohort: Cohort, split: str | None
) -> tuple[str, tuple[Case, ...]]:
    if split is not None:
        return split, cohort.of_split(split).cases
    if cohort.splits in ((), ("",)):
        return "", cohort.cases
    for name in protocol.splits:
        if name in cohort.splits:
            return name, cohort.of_split(name).cases
    raise InputError(
        f"the cohort has the splits {', '.join(map(repr, cohort.splits))} and {protocol.name} is "
        f"run on {' or '.join(map(repr, protocol.splits))}: say which split is judged"
    )


def _sort_into_groups(
    protocol: Protocol, cases: Sequence[Case], groups: Sequence[str] | None
) -> dict[str, list[Case]]:
    """The cases of each group, by key; groups in the protocol's order."""
    ordered = sorted(cases, key=lambda case: case.key)
    if not protocol.groups:
        return _sort_by_label(protocol, ordered, groups)
    wanted = [protocol.group(name) for name in groups] if groups else list(protocol.groups)
    members: dict[str, list[Case]] = {group.name: [] for group in wanted}
    for case in ordered:
        fitting = [group.name for group in wanted if _belongs(case, group)]
        if len(fitting) > 1:
            raise InputError(
                f"the case {case.key} belongs to {' and '.join(fitting)} of {protocol.name}: "
                f"tell them apart by the label '{DATASET}', or choose one of the groups"
            )
        for name in fitting:
            members[name].append(case)
    missing = [group for group in wanted if not members[group.name]]
    if missing:
        raise InputError(_missing(protocol, missing, members))
    return members


def _sort_by_label(
    protocol: Protocol, cases: Sequence[Case], groups: Sequence[str] | None
) -> dict[str, list[Case]]:
    members: dict[str, list[Case]] = {}
    for case in cases:
        members.setdefault(case.labels.get(protocol.group_by, ""), []).append(case)
    if absent := [name for name in groups or () if name not in members]:
        there = ", ".join(repr(name) for name in sorted(members) if name)
        raise InputError(
            f"no image has {protocol.group_by} '{absent[0]}'; "
            + (f"there are: {there}" if there else "none has any")
        )
    return {name: members[name] for name in (groups or sorted(members))}


def _belongs(case: Case, group: Group) -> bool:
    if case.labels.get(DATASET, "") in group.data:
        return True
    return bool(group.where) and all(
        case.labels.get(label) in values for label, values in group.where.items()
    )


def _missing(
    protocol: Protocol, missing: Sequence[Group], members: Mapping[str, list[Case]]
) -> str:
    names = ", ".join(group.name for group in missing)
    present = [name for name, cases in members.items() if cases]
    advice = f", or judge only {', '.join(present)} (--group)" if present else ""
    sources = "; ".join(
        f"{dataset.title} ({dataset.homepage}) as {DATASET} = {dataset.name}: {dataset.layout}"
        for group in missing
        for dataset in map(protocol.dataset, group.data)
    )
    return (
        f"{protocol.name} needs images of {names}, and the cohort has none. Add them with the "
        f"label '{DATASET}'{advice}. They are in: {sources}"
    )


def _draw(
    protocol: Protocol, group: str, cases: list[Case], limit: int | None
) -> tuple[list[Selected], str]:
    """A group's draws, and what must be said of them."""
    sample = protocol.sample_of(group)
    kind = group or "images"
    if limit is not None:
        return _draw_limited(sample, group, cases, limit)
    if sample.images == 0:
        return [Selected(case, group, draw) for draw in range(sample.draws) for case in cases], ""
    if len(cases) < sample.images and sample.fewer == "refuse":
        raise InputError(
            f"{protocol.name} draws {sample.images} {kind}, and the cohort has {len(cases)}: "
            "add images, or judge by a protocol that takes what there is"
        )
    if len(cases) <= sample.images:
        note = f"{kind}: all {len(cases)} are judged, once: the protocol draws {sample.images}"
        note += f" in each of {sample.draws} draws" if sample.draws > 1 else ""
        return [Selected(case, group, 0) for case in cases], note
    drawn = [
        Selected(case, group, draw)
        for draw in range(sample.draws)
        for case in _take(cases, sample.images, sample.seed + draw)
    ]
    return drawn, f"{kind}: {sample.images} of {len(cases)} in each of {sample.draws} draw(s)"


def _draw_limited(
    sample: Sample, group: str, cases: list[Case], limit: int
) -> tuple[list[Selected], str]:
    """One draw of fewer images than the protocol's, and that it is not the protocol's."""
    count = min(limit, len(cases), sample.images or len(cases))
    drawn = [Selected(case, group, 0) for case in _take(cases, count, sample.seed)]
    protocols = f"{sample.images}" if sample.images else "all"
    times = f" in each of {sample.draws} draws" if sample.draws > 1 else ""
    note = f"{group or 'images'}: {count} of {len(cases)}, in one draw: limited to {limit}, where "
    return drawn, f"{note}the protocol draws {protocols}{times}"


def _take(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """The cases whose hashes come first: one more in the cohort changes one of them at most."""

    def rank(case: Case) -> bytes:
        return hashlib.sha256(json.dumps([seed, *case.key]).encode()).digest()

    return sorted(sorted(cases, key=rank)[:count], key=lambda case: case.key)


# -- what of them --------------------------------------------------------------------------------


def prepare(
    image: Image, protocol: Protocol, group: str = "", *, labels: Mapping[str, str] | None = None
) -> Prepared:
    """Cut, resize and clip an image as the protocol says for its group.

    Args:
        labels: The case's, for a group that looks inside boxes.

    Raises:
        UnusablePixels: It is a picture and the protocol judges volumes, or the other way round; or
            it is smaller than a crop that must be whole.
        InputError: The group looks inside boxes and the labels have none.

    Examples:
        >>> from plica.evaluation.protocol import read_protocol
        >>> prepare(brain, read_protocol("medvae-table-2"), "Brain MRIs").image.grid.shape
        (32, 32, 25)
    """
    settings = protocol.group(group)
    _refuse_other_dims(image, protocol, group)
    data_range, notes = _range_of(image, protocol, settings)
    made = image
    if settings.crop:
        made, note = crop_middle(made, settings.crop, settings.name)
        notes.append(note)
    if settings.resize:
        made = resize(made, _target(made, settings.resize))
        notes.append(f"resized to {made.grid.shape} voxels (bicubic)")
    if settings.window and made.unit is Unit.HU:
        made = _clip(made, settings.window)
    region = None
    if settings.boxes:
        region = _look_inside(image, made, settings.boxes, labels or {})
        notes.append("metrics look inside the boxes alone")
    return Prepared(made, data_range, region, tuple(notes))


def _refuse_other_dims(image: Image, protocol: Protocol, group: str) -> None:
    dims = protocol.dims_of(group)
    if dims and (dims == 3) != image.is_volume:
        wanted, got = ("volumes", "picture") if dims == 3 else ("pictures", "volume")
        raise UnusablePixels(
            f"{protocol.name} judges {group or 'images'} as {wanted}, and this is a {got} of "
            f"{image.grid.shape} voxels: "
            "leave it out of the cohort, or choose another protocol"
        )


def _range_of(image: Image, protocol: Protocol, group: Group) -> tuple[float | None, list[str]]:
    if protocol.value_range == "unit":
        return None, []
    if group.window and image.unit is Unit.HU:
        low, high = group.window
        return high - low, [f"clipped to {low:g} … {high:g} HU, which is the range of values"]
    finite = image.pixels[np.isfinite(image.pixels)] if image.count_nonfinite() else image.pixels
    if not finite.size or finite.min() == finite.max():
        return None, []
    low, high = float(finite.min()), float(finite.max())
    return high - low, [f"the range of values is the whole image's: {low:g} … {high:g}"]


def along_patient(image: Image, sides: Sequence[int]) -> Triple:
    """Sides right/left, front/back and head/feet as sides along a volume's own i, j, k.

    Those of a picture, which has no depth to turn, are its columns, rows and 1 as they are.
    """
    if not image.is_volume:
        i, j, k = sides
        return i, j, k
    i, j, k = (sides[_WORLD_AXES[letter]] for letter in image.grid.orientation)
    return i, j, k


def crop_middle(image: Image, crop: Crop, group: str = "") -> tuple[Image, str]:
    """The middle of an image, and in words what was cut.

    Raises:
        UnusablePixels: The image is smaller than a crop that must be whole.
    """
    wanted = along_patient(image, crop.voxels)
    sides = image.grid.shape
    short = any(side < want for side, want in zip(sides, wanted, strict=True))
    if short and crop.smaller == "refuse":
        raise UnusablePixels(
            f"{group} are judged in crops of {wanted} voxels (i, j, k), and this image has {sides}"
        )
    i, j, k = (min(side, want) for side, want in zip(sides, wanted, strict=True))
    start = [(side - kept) // 2 for side, kept in zip(sides, (i, j, k), strict=True)]
    slices = tuple(slice(a, a + n) for a, n in zip(start, (i, j, k), strict=True))
    line = f"cropped to the middle {(i, j, k)} of {sides} voxels"
    line += f": the protocol's crop is {wanted}, and the image is smaller" if short else ""
    cropped = replace(
        image,
        pixels=image.pixels[(slice(None), *slices)],
        grid=image.grid.window(start, (i, j, k)),
        provenance=image.provenance.after(line),
    )
    return cropped, line


def _target(image: Image, wanted: Resize) -> Triple:
    if wanted.shape:
        return along_patient(image, wanted.shape)
    scale = wanted.longest / max(image.grid.shape)
    i, j, k = (1 if n == 1 else max(1, round(n * scale)) for n in image.grid.shape)
    return i, j, k


def _clip(image: Image, window: tuple[float, ...]) -> Image:
    low, high = window
    dtype = image.pixels.dtype
    if dtype.kind in "iu":
        least, greatest = np.iinfo(dtype).min, np.iinfo(dtype).max
        low, high = max(int(np.ceil(low)), least), min(int(np.floor(high)), greatest)
    return image.with_pixels(np.clip(image.pixels, low, high).astype(dtype, copy=False))


# -- boxes ---------------------------------------------------------------------------------------


def parse_boxes(text: str) -> tuple[tuple[float, float, float, float], ...]:
    """Boxes of a picture from a label: "x0 y0 x1 y1; x0 y0 x1 y1".

    Pixels from the picture's upper left corner, x to the right and y down; pixel (0, 0) reaches
    from 0 to 1. A pixel that a box touches belongs to it.

    Raises:
        InputError: It is anything else, or a box is empty.

    Examples:
        >>> parse_boxes("10 20 30 40")
        ((10.0, 20.0, 30.0, 40.0),)
    """
    boxes = []
    for part in filter(str.strip, text.split(";")):
        try:
            x0, y0, x1, y1 = (float(word) for word in part.split())
        except ValueError as error:
            raise InputError(f"a box is four numbers 'x0 y0 x1 y1', but got '{part}'") from error
        if not (np.isfinite([x0, y0, x1, y1]).all() and x0 < x1 and y0 < y1):
            raise InputError(f"a box is 'x0 y0 x1 y1', x0 below x1, y0 below y1; but got '{part}'")
        boxes.append((x0, y0, x1, y1))
    return tuple(boxes)


def _look_inside(source: Image, made: Image, label: str, labels: Mapping[str, str]) -> Bools:
    boxes = parse_boxes(labels.get(label, ""))
    if not boxes:
        raise InputError(
            f"metrics look inside boxes here, and the label '{label}' has none: give 'x0 y0 x1 y1' "
            "in pixels"
        )
    # The grids share their axes: a voxel's place along i in the source hangs on i alone.
    i, j = (_places(source, made, axis) for axis in (0, 1))
    inside = np.zeros(made.grid.shape, np.bool_)
    for x0, y0, x1, y1 in boxes:
        # Every pixel a box touches belongs to it, as in `metrics.regional.Box`.
        across = (i >= np.floor(x0)) & (i < np.ceil(x1))
        down = (j >= np.floor(y0)) & (j < np.ceil(y1))
        plane = across[:, None] & down[None, :]
        inside |= plane[:, :, None]
    if not inside.any():
        raise InputError(f"the boxes {boxes} hold no pixel of {made.grid.shape}")
    return inside


def _places(source: Image, made: Image, axis: int) -> NDArray[np.float64]:
    """Where the voxels' centres along an axis lie in the source, from its first voxel's edge."""
    index = np.zeros((made.grid.shape[axis], 3))
    index[:, axis] = np.arange(made.grid.shape[axis])
    places: NDArray[np.float64] = source.grid.to_index(made.grid.to_world(index))[:, axis] + 0.5
    return places
