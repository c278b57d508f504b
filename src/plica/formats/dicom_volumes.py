"""Part frames into volumes where there are several at each place, and choose one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plica.errors import AmbiguousSource, NotAVolume
from plica.formats.dicom_frames import MARKS, Frame
from plica.formats.dicom_stacking import along_normal, distance_mm, place_of, same_place_mm
from plica.formats.terms import COMPLEX_COMPONENTS

LISTED = 8
CLOCKS = frozenset({"AcquisitionTime", "ContentTime", "FrameAcquisitionDateTime"})


@dataclass(frozen=True, eq=False)
class Volume:
    """Frames of which no two share a place.

    Args:
        frames: In no particular order.
        label: What tells it from its siblings: "DiffusionBValue 1000", "" where it has none.
        note: The same as it may go into outputs: a value that is no number is left out.
    """

    frames: tuple[Frame, ...]
    label: str
    note: str = ""


def choose_volume(frames: Sequence[Frame], wanted: int | None, source: str) -> Volume:
    """The one volume there is, or the one asked for.

    Args:
        frames: All with a place.
        wanted: Which volume, from 0.
        source: Name of the file or series, for messages.

    Raises:
        AmbiguousSource: There are several and none was asked for, or there is none of that number.
        NotAVolume: Some places have more frames than others.
    """
    volumes = part_volumes(frames)
    if wanted is None:
        if len(volumes) == 1:
            return volumes[0]
        raise AmbiguousSource(
            f"{source} holds {len(volumes)} volumes ({_listed(volumes)}): choose one with "
            f"volume=0 to volume={len(volumes) - 1}"
        )
    if not 0 <= wanted < len(volumes):
        raise AmbiguousSource(
            f"{source} has no volume {wanted}: it holds {len(volumes)}, from volume=0 to "
            f"volume={len(volumes) - 1}"
        )
    return volumes[wanted]


def _listed(volumes: Sequence[Volume]) -> str:
    labels = [f"{number}: {volume.label}" for number, volume in enumerate(volumes)]
    more = [f"and {len(labels) - LISTED} more"] if len(labels) > LISTED else []
    return "; ".join(labels[:LISTED] + more)


def part_volumes(frames: Sequence[Frame]) -> list[Volume]:
    """Volumes in the order of what tells them apart.

    Frames of one multi-frame file may point several ways: each way is a volume (or more).

    Raises:
        NotAVolume: Some places have more frames than others.
    """
    ways = _part_by_direction(frames)
    if len(ways) > 1 and any(frame.layout.frames == 1 for frame in frames):
        return [Volume(tuple(frames), "")]  # stacking names the two files that disagree
    volumes = []
    for number, way in enumerate(ways):
        prefix = f"stack {number + 1}" if len(ways) > 1 else ""
        for volume in _part_by_place(way):
            label, note = (
                ", ".join(filter(None, (prefix, words))) for words in (volume.label, volume.note)
            )
            volumes.append(Volume(volume.frames, label, note))
    return volumes


def _part_by_direction(frames: Sequence[Frame]) -> list[list[Frame]]:
    ways: list[list[Frame]] = []
    for frame in frames:
        for way in ways:
            if place_of(way[0]).points_like(place_of(frame)):
                way.append(frame)
                break
        else:
            ways.append([frame])
    return ways


def _part_by_place(frames: Sequence[Frame]) -> list[Volume]:
    places = _places(frames)
    counts = {len(place) for place in places}
    if counts == {1}:
        return [Volume(tuple(frames), "")]
    telling = _telling_mark(places)
    if telling is not None:
        return _by_mark(frames, telling)
    if len(counts) > 1:
        raise _uneven(places)
    _check_numbered(places)
    ordered = [sorted(place, key=_instance) for place in places]
    told = [f"image {number + 1} at each place" for number in range(len(places[0]))]
    return [
        Volume(tuple(place[number] for place in ordered), words, words)
        for number, words in enumerate(told)
    ]


def _places(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames at one place along the normal, together, in the order of places."""
    first = place_of(frames[0])
    ordered = sorted(frames, key=lambda frame: along_normal(frame, first))
    along = np.array([along_normal(frame, first) for frame in ordered])
    steps = np.diff(along)
    limit = same_place_mm(steps)
    places = [[ordered[0]]]
    for frame, step in zip(ordered[1:], steps, strict=True):
        if step < limit:
            places[-1].append(frame)
        else:
            places.append([frame])
    return places


def _telling_mark(places: Sequence[Sequence[Frame]]) -> str | None:
    """The attribute that has, at every place, the same values, each once."""
    for _, keyword in MARKS:
        values = [sorted(frame.marks.get(keyword, "") for frame in place) for place in places]
        if len(set(values[0])) == len(values[0]) > 1 and all(v == values[0] for v in values):
            return keyword
    return None


def _by_mark(frames: Sequence[Frame], keyword: str) -> list[Volume]:
    values = sorted({frame.marks.get(keyword, "") for frame in frames}, key=_numeric)
    return [
        Volume(
            tuple(frame for frame in frames if frame.marks.get(keyword, "") == value),
            f"{keyword} {value or 'absent'}",
            _say_safely(keyword, value),
        )
        for value in values
    ]


def _say_safely(keyword: str, value: str) -> str:
    """What tells a volume apart, without words of the source and without when it was made."""
    plain = value in COMPLEX_COMPONENTS or math.isfinite(_numeric(value)[0])
    return f"{keyword} {value}" if plain and keyword not in CLOCKS else keyword


def _numeric(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("-inf"), value


def _instance(frame: Frame) -> tuple[float, int]:
    return frame.header.number("InstanceNumber") or 0.0, frame.number


def _check_numbered(places: Sequence[Sequence[Frame]]) -> None:
    """Without an attribute that tells, the order of the instance numbers must."""
    for place in places:
        if len({_instance(frame) for frame in place}) < len(place):
            raise _same_place(place)


def _uneven(places: Sequence[Sequence[Frame]]) -> NotAVolume:
    fullest = max(places, key=len)
    return _same_place(fullest)


def _same_place(place: Sequence[Frame]) -> NotAVolume:
    one, other = place[0], place[1]
    return NotAVolume(
        f"{one.name} and {other.name} are at the same place ({distance_mm(one, other):.3f} mm "
        "apart), other places have another number of images, and nothing tells which belong "
        "together: a copy, or two series in one; remove one"
    )
