"""Stack planes into one volume by where they are, or say why they do not stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plica.errors import NotAVolume
from plica.formats.dicom_frames import Frame
from plica.formats.dicom_planes import Plane

STEP_TOLERANCE = 0.01  # of the step, or millimetres, whichever is larger
TILT_NOTED_DEGREES = 0.05
DRIFT_NOTED_MM = 0.005
SPACING_TOLERANCE_MM = 1e-4
MOST_RUNS = 5
"""Of evenly spaced slices that a refusal lists."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames in the order of growing k, and the affine of the whole (RAS+ mm)."""

    frames: tuple[Frame, ...]
    affine: NDArray[np.float64]
    notes: tuple[str, ...]


def stack(frames: Sequence[Frame]) -> Stack:
    """One volume of frames that each have a place.

    k grows along right × down. The step is the mean of the steps between neighbours; steps may
    differ from it by 1 % or 0.01 mm. A step that leans against the normal (a tilted gantry) is
    kept as it is, as a sheared affine.

    Raises:
        NotAVolume: Two frames differ in size, spacing or direction, share a place, or the steps
            are uneven.
    """
    first = place_of(frames[0])
    _check_alike(frames)
    ordered = sorted(frames, key=lambda frame: along_normal(frame, first))
    if len(ordered) == 1:
        return _single(ordered[0])
    positions = np.array([place_of(frame).position for frame in ordered])
    steps = np.diff(positions, axis=0)
    _check_duplicates(ordered, steps, first)
    _check_steps(ordered, steps)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    drift = _check_drift(ordered, positions, step)
    notes = _notes(step, first, ordered, drift)
    return Stack(tuple(ordered), _affine(place_of(ordered[0]), step), notes)


def place_of(frame: Frame) -> Plane:
    """The frame's plane.

    Raises:
        NotAVolume: It has none.
    """
    if frame.plane is None:
        raise NotAVolume(
            f"{frame.name} does not say where it is (ImagePositionPatient, "
            "ImageOrientationPatient, PixelSpacing): read it alone"
        )
    return frame.plane


def along_normal(frame: Frame, first: Plane) -> float:
    """Millimetres along the normal of `first`."""
    return float(place_of(frame).position @ first.normal)


def distance_mm(frame: Frame, other: Frame) -> float:
    """Between the first pixels of two frames that have a place."""
    return float(np.linalg.norm(place_of(frame).position - place_of(other).position))


def _affine(first: Plane, step: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, 0] = first.right * first.spacing[0]
    affine[:3, 1] = first.down * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return affine


def _single(frame: Frame) -> Stack:
    plane = place_of(frame)
    notes: tuple[str, ...] = ()
    if frame.step_mm is None:
        step, notes = 1.0, ("One slice of unstated thickness: 1 mm is taken.",)
    else:
        step, keyword = frame.step_mm
        notes = (f"One slice: its extent along k is {keyword}.",)
    return Stack((frame,), _affine(plane, plane.normal * step), notes)


def _check_alike(frames: Sequence[Frame]) -> None:
    """All frames have the first one's size, spacing and directions."""
    reference = frames[0]
    plane = place_of(reference)
    for frame in frames[1:]:
        here = place_of(frame)
        if not plane.points_like(here):
            cosine = np.clip(abs(plane.normal @ here.normal), 0, 1)
            raise NotAVolume(
                f"{reference.name} and {frame.name} point different ways (their planes are "
                f"{np.degrees(np.arccos(cosine)):.2f} degrees apart): a localizer, or two series "
                "in one; read them apart"
            )
        sizes = [(f.layout.columns, f.layout.rows, f.layout.samples) for f in (reference, frame)]
        if sizes[0] != sizes[1]:
            raise NotAVolume(
                f"{reference.name} has {sizes[0][0]}×{sizes[0][1]} pixels and {frame.name} "
                f"{sizes[1][0]}×{sizes[1][1]}: they do not stack; read them apart"
            )
        if np.abs(np.subtract(plane.spacing, here.spacing)).max() > SPACING_TOLERANCE_MM:
            raise NotAVolume(
                f"{reference.name} has pixels of {plane.spacing[0]:g}×{plane.spacing[1]:g} mm and "
                f"{frame.name} of {here.spacing[0]:g}×{here.spacing[1]:g}: they do not stack"
            )


def tolerance_mm(step: float) -> float:
    """How far from even a step of that length may be."""
    return STEP_TOLERANCE * max(step, 1.0)


def _check_duplicates(frames: Sequence[Frame], steps: NDArray[np.float64], first: Plane) -> None:
    along = steps @ first.normal
    for number, step in enumerate(along):
        if step < same_place_mm(along):
            one, other = frames[number], frames[number + 1]
            apart = distance_mm(one, other)
            raise NotAVolume(
                f"{one.name} and {other.name} are at the same place along the stack "
                f"({step:.3f} mm apart along it, {apart:.3f} mm in all), and not every place has "
                "as many: a copy, or two series in one; remove one"
            )


def same_place_mm(along: NDArray[np.float64]) -> float:
    """Slices nearer than this along the normal are at one place."""
    distances = np.abs(along)
    apart = distances[distances > STEP_TOLERANCE]
    typical = float(np.median(apart)) if apart.size else 1.0
    return min(max(1e-3, STEP_TOLERANCE * typical), 0.1)


def _check_steps(frames: Sequence[Frame], steps: NDArray[np.float64]) -> None:
    typical = np.median(steps, axis=0)
    length = float(np.linalg.norm(typical))
    apart = np.linalg.norm(steps - typical, axis=1)
    if apart.max() <= tolerance_mm(length):
        return
    uneven = int((apart > tolerance_mm(length)).sum())
    runs = _find_runs(steps)
    tells = uneven > 1 and 2 * len(runs) <= len(steps)  # else steps change at nearly every slice
    said = _tell_runs(frames, steps, runs) if tells else _tell_worst(frames, length, apart, steps)
    raise NotAVolume(f"{said}: {_why_uneven(uneven, len(steps))}")


def _tell_worst(
    frames: Sequence[Frame],
    length: float,
    apart: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> str:
    """The one step that is furthest from the usual length, and how many more there are."""
    worst = int(np.argmax(apart))
    gap = float(np.linalg.norm(steps[worst]))
    uneven = int((apart > tolerance_mm(length)).sum())
    more = f" ({uneven} of {len(steps)} steps differ)" if uneven > 1 else ""
    return (
        f"slices are {length:.3f} mm apart, but {gap:.3f} mm between {frames[worst].name} and "
        f"{frames[worst + 1].name}{more}"
    )


def _find_runs(steps: NDArray[np.float64]) -> list[range]:
    """Steps in a row that are alike, by their numbers."""
    runs = [range(1)]
    for number in range(1, len(steps)):
        first = steps[runs[-1].start]
        apart = float(np.linalg.norm(steps[number] - first))
        if apart <= tolerance_mm(float(np.linalg.norm(first))):
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs


def _tell_runs(frames: Sequence[Frame], steps: NDArray[np.float64], runs: list[range]) -> str:
    """Which slices lie evenly, so that they can be taken out: of many runs, the first ones."""
    parts = []
    for run in runs[:MOST_RUNS]:
        length = float(np.linalg.norm(steps[run].mean(axis=0)))
        ends = f"{frames[run.start].name} to {frames[run.stop].name}"
        where = f"{ends} lie " if len(run) > 1 else "one step is "
        parts.append(f"{where}{length:.3f} mm{' apart' if len(run) > 1 else ''}")
    left = len(runs) - MOST_RUNS
    changes = f", and the spacing changes {left} more time{'s' if left > 1 else ''}"
    return "along the stack, " + ", then ".join(parts) + (changes if left > 0 else "")


def _why_uneven(uneven: int, steps: int) -> str:
    if uneven == 1 or 4 * uneven < steps:
        return "slices are missing, or two series share the folder; complete it, or part them"
    return (
        "two series share the folder, or the spacing changes along the series; "
        "give the evenly spaced slices alone"
    )


def _check_drift(
    frames: Sequence[Frame], positions: NDArray[np.float64], step: NDArray[np.float64]
) -> float:
    """Small unevenness must not add up: the affine places every slice where the file does."""
    even = positions[0] + np.arange(len(frames))[:, None] * step
    apart = np.linalg.norm(positions - even, axis=1)
    worst = int(np.argmax(apart))
    if apart[worst] > max(tolerance_mm(float(np.linalg.norm(step))), 0.05):
        raise NotAVolume(
            f"{frames[worst].name} is {apart[worst]:.3f} mm from where evenly spaced slices "
            f"({np.linalg.norm(step):.3f} mm) would put it: the spacing changes along the series"
        )
    return float(apart[worst])


def _notes(
    step: NDArray[np.float64], first: Plane, frames: Sequence[Frame], drift: float
) -> tuple[str, ...]:
    notes = []
    if drift > DRIFT_NOTED_MM:
        notes.append(f"The slices stand unevenly, by up to {drift:.3f} mm: the grid is even.")
    length = float(np.linalg.norm(step))
    angle = float(np.degrees(np.arccos(np.clip(step @ first.normal / length, -1, 1))))
    if angle > TILT_NOTED_DEGREES:
        notes.append(
            f"The slices are shifted against each other (gantry tilt of {angle:.2f} degrees): "
            "the grid is sheared."
        )
    stated = frames[0].step_mm
    if len(frames) == 2 and stated is not None and abs(stated[0] - length) > tolerance_mm(length):
        notes.append(
            f"The two slices are {length:.3f} mm apart, but {stated[1]} says {stated[0]:g}: "
            "slices may be missing between them."
        )
    return tuple(notes)
