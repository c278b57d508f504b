"""List the frames of a file: single, multi-frame and enhanced objects alike."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from plica.errors import UnreadableFile
from plica.formats.dicom_file import Header
from plica.formats.dicom_pixels import Layout, read_layout
from plica.formats.dicom_planes import Plane, make_plane
from plica.formats.dicom_values import Transform, read_transform

# What tells two images at one position apart, the likeliest first. A frame's value is looked for
# in its functional groups and in the dataset.
MARKS: tuple[tuple[str, str], ...] = (
    ("", "DiffusionBValue"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("", "EchoNumbers"),
    ("", "EchoTime"),
    ("MREchoSequence", "EffectiveEchoTime"),
    ("", "TemporalPositionIdentifier"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("", "TemporalPositionIndex"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("", "InversionTime"),
    ("", "FlipAngle"),
    ("", "ComplexImageComponent"),
    ("MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("SegmentIdentificationSequence", "ReferencedSegmentNumber"),
    ("", "ImageType"),
    ("MRImageFrameTypeSequence", "FrameType"),
    ("CTImageFrameTypeSequence", "FrameType"),
    ("", "TriggerTime"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("", "FrameReferenceTime"),
    ("", "AcquisitionNumber"),
    ("FrameContentSequence", "FrameAcquisitionNumber"),
    ("", "ConvolutionKernel"),
    ("FrameContentSequence", "StackID"),
    ("", "AcquisitionTime"),
    ("FrameContentSequence", "FrameAcquisitionDateTime"),
    ("", "ContentTime"),
)
TOMOGRAMS = frozenset({"RECON TOMO", "RECON GATED TOMO"})


@dataclass(frozen=True, eq=False)
class Frame:
    """One plane of pixels that is not decoded yet.

    Args:
        header: The file it is in.
        layout: How that file's pixels are laid out.
        number: Which frame of the file, from 0.
        name: For messages: "instance 12 (IMG12.dcm)".
        plane: Where it is; None where the file does not say.
        step_mm: Distance to the next slice as stated, and by which attribute.
        transform: Its modality transform.
        voi: Where its window stands.
        marks: What may tell it from others at its place.
    """

    header: Header
    layout: Layout
    number: int
    name: str
    plane: Plane | None
    step_mm: tuple[float, str] | None
    transform: Transform
    voi: Header
    marks: dict[str, str] = field(default_factory=dict)


class Groups:
    """The functional groups of a file: an attribute of a frame stands with it or with all."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.shared = header.item("SharedFunctionalGroupsSequence")
        self.each = header.items("PerFrameFunctionalGroupsSequence")

    def find(self, frame: int, sequence: str) -> Header | None:
        """The item of `sequence` that holds for a frame."""
        if frame < len(self.each):
            own = self.each[frame].item(sequence)
            if own is not None:
                return own
        return self.shared.item(sequence) if self.shared is not None else None


def list_frames(header: Header) -> list[Frame]:
    """Every frame of a file, in the file's order.

    Raises:
        NotAnImage: The file holds no pixels.
        UnreadableFile: An attribute that is needed is damaged.
    """
    layout = read_layout(header)
    groups = Groups(header)
    if groups.each and len(groups.each) != layout.frames:
        raise UnreadableFile(
            f"{header.name} contradicts itself: its number of frames is {layout.frames}, but it "
            f"describes {len(groups.each)}"
        )
    if layout.frames > 1 << 16:
        raise UnreadableFile(f"{header.name} announces {layout.frames} frames; at most 65536 do")
    if layout.frames > 1 and not groups.each:
        return _alike_frames(header, layout, groups)
    planes = dataset_planes(header, layout.frames)
    return [
        _frame(header, layout, groups, number, planes[number]) for number in range(layout.frames)
    ]


def _alike_frames(header: Header, layout: Layout, groups: Groups) -> list[Frame]:
    """Frames that differ in number and place only: their attributes are read once."""
    planes = dataset_planes(header, layout.frames)
    first = _frame(header, layout, groups, 0, planes[0])
    return [
        replace(first, number=number, name=name_frame(header, layout, number), plane=plane)
        for number, plane in enumerate(planes)
    ]


def _frame(
    header: Header, layout: Layout, groups: Groups, number: int, plane: Plane | None
) -> Frame:
    values = groups.find(number, "PixelValueTransformationSequence") or header
    return Frame(
        header=header,
        layout=layout,
        number=number,
        name=name_frame(header, layout, number),
        plane=_group_plane(header, groups, number) or plane,
        step_mm=_step(groups.find(number, "PixelMeasuresSequence") or header),
        transform=read_transform(values, layout.signed),
        voi=groups.find(number, "FrameVOILUTSequence") or header,
        marks=_marks(header, groups, number),
    )


def name_frame(header: Header, layout: Layout, number: int) -> str:
    """For messages: "instance 12 (IMG12.dcm)" or "frame 3 of cine.dcm"."""
    if layout.frames > 1:
        return f"frame {number + 1} of {header.name}"
    instance = header.text("InstanceNumber")
    return f"instance {instance} ({header.name})" if instance else header.name


def _step(source: Header) -> tuple[float, str] | None:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = source.number(keyword)
        if value is not None and value > 0:
            return value, keyword
    return None


def _group_plane(header: Header, groups: Groups, number: int) -> Plane | None:
    """The plane of a frame whose place stands in functional groups."""
    place = groups.find(number, "PlanePositionSequence")
    directions = groups.find(number, "PlaneOrientationSequence")
    measures = groups.find(number, "PixelMeasuresSequence")
    if place is None or directions is None or measures is None:
        return None
    position = place.numbers("ImagePositionPatient", 3)
    orientation = directions.numbers("ImageOrientationPatient", 6)
    spacing = measures.numbers("PixelSpacing", 2)
    if not (position and orientation and spacing):
        return None
    return make_plane(header.name, position, orientation, spacing)


def dataset_planes(header: Header, frames: int) -> list[Plane | None]:
    """The planes of all frames of a file whose place stands in the dataset itself."""
    source = header.item("DetectorInformationSequence") or header
    position = source.numbers("ImagePositionPatient", 3)
    orientation = source.numbers("ImageOrientationPatient", 6)
    spacing = header.numbers("PixelSpacing", 2)
    if not (position and orientation and spacing):
        return [None] * frames
    first = make_plane(header.name, position, orientation, spacing)
    offsets = _offsets(header, first, frames)
    if offsets is None:
        return [first] if frames == 1 else [None] * frames
    return [first.moved(first.normal * offset) for offset in offsets]


def _offsets(header: Header, first: Plane, frames: int) -> list[float] | None:
    """How far along the normal each frame is from the stated position.

    GridFrameOffsetVector (RT dose, PS3.3 C.8.8.3.2) begins with 0 and is relative, or is the
    patient's own z coordinate. Reconstructed nuclear medicine tomograms have equal steps.
    """
    offsets = header.numbers("GridFrameOffsetVector")
    if offsets:
        if len(offsets) < frames:
            raise UnreadableFile(
                f"{header.name}: GridFrameOffsetVector has {len(offsets)} offsets for "
                f"{frames} frames"
            )
        return _relative(header, first, offsets[:frames])
    step = header.number("SpacingBetweenSlices")
    if step and TOMOGRAMS & set(header.texts("ImageType")):
        return [step * number for number in range(frames)]
    return None


def _relative(header: Header, first: Plane, offsets: list[float]) -> list[float]:
    if offsets[0] == 0:
        return offsets
    along = float(first.normal[2])
    if abs(abs(along) - 1) > 1e-3:
        raise UnreadableFile(
            f"{header.name}: GridFrameOffsetVector holds z coordinates, but its planes are not "
            "axial"
        )
    return [(offset - float(first.position[2])) / along for offset in offsets]


def _marks(header: Header, groups: Groups, number: int) -> dict[str, str]:
    marks: dict[str, str] = {}
    for sequence, keyword in MARKS:
        source = groups.find(number, sequence) if sequence else header
        if source is not None and keyword in source:
            marks[keyword] = marks.get(keyword) or "\\".join(source.texts(keyword))
    return marks
