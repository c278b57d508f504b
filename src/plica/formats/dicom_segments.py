"""Segmentation objects: choose one segment, and give its pixels their meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import AmbiguousSource
from plica.formats.dicom_file import Header
from plica.formats.dicom_frames import Frame
from plica.image import Unit

LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
LISTED = 8


def is_labelmap(header: Header) -> bool:
    """Whether pixel values are segment numbers themselves."""
    return header.text("SOPClassUID") == LABELMAP or header.text("SegmentationType") == "LABELMAP"


def segment_number(frame: Frame) -> str:
    """The number of the segment a frame belongs to, "" where it does not say."""
    return frame.marks.get("ReferencedSegmentNumber", "")


def choose_segment(
    frames: Sequence[Frame], wanted: int | None, source: str
) -> tuple[list[Frame], int | None]:
    """The frames of one segment, and which of its volumes is still to be chosen.

    Raises:
        AmbiguousSource: There are several segments and none, or one that is not there, was chosen.
    """
    numbers = sorted({segment_number(frame) for frame in frames}, key=lambda n: (len(n), n))
    if len(numbers) == 1:
        return list(frames), wanted
    check_chosen(frames[0].header, numbers, wanted, source)
    chosen = numbers[wanted or 0]
    return [frame for frame in frames if segment_number(frame) == chosen], None


def check_chosen(header: Header, numbers: Sequence[str], wanted: int | None, source: str) -> None:
    """Refuse no choice, or a wrong one, among several segments.

    Raises:
        AmbiguousSource: So it is; the message names the segments.
    """
    if wanted is not None and 0 <= wanted < len(numbers):
        return
    labels = segment_labels(header)
    named = [f"{at}: {labels.get(number) or number}" for at, number in enumerate(numbers)]
    more = [f"and {len(named) - LISTED} more"] if len(named) > LISTED else []
    what = "" if wanted is None else f"no volume {wanted}: it holds "
    raise AmbiguousSource(
        f"{source} {'holds' if wanted is None else 'has'} {what}{len(numbers)} segments "
        f"({'; '.join(named[:LISTED] + more)}); choose one with volume=0 to "
        f"volume={len(numbers) - 1}"
    )


def segment_labels(header: Header) -> dict[str, str]:
    """Segment numbers and what they are called."""
    return {
        item.text("SegmentNumber"): item.text("SegmentLabel")
        for item in header.items("SegmentSequence")
    }


def label_values(
    header: Header, stored: NDArray[Any], number: str
) -> tuple[NDArray[Any], Unit, list[str]]:
    """Pixels of a segment: its number where it is, or how much of a voxel it fills."""
    if is_labelmap(header):
        return stored, Unit.LABEL, []
    label = int(number) if number.isdigit() else 1
    note = f"The voxels are those of segment {label}."  # its label is free text, and stays behind
    if header.text("SegmentationType") == "FRACTIONAL":
        whole = header.number("MaximumFractionalValue") or 255.0
        fraction = (stored.astype(np.float64) / whole).astype(np.float32)
        return fraction, Unit.RELATIVE, [note, "Its values are fractions from 0 to 1."]
    dtype = np.uint8 if label < 256 else np.uint16
    return (stored != 0).astype(dtype) * dtype(label), Unit.LABEL, [note]
