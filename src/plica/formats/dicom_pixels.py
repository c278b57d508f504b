"""Decode the stored values of chosen frames, after checking that header and data agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

from plica.errors import MissingExtra, NotAnImage, UnreadableFile, UnsupportedFormat
from plica.formats.dicom_file import PIXEL_KEYWORDS, Header, guarded
from plica.formats.dicom_isolated import DECODER
from plica.formats.dicom_packbits import unpack_one_bit_frame
from plica.formats.dicom_streams import measure_jpeg, measure_jpeg2000
from plica.formats.limits import check_size

RLE = "1.2.840.10008.1.2.5"
JPEG_12_BIT = "1.2.840.10008.1.2.4.51"
JPEG_LIKE = tuple(f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 57, 70, 80, 81))
JPEG_2000_LIKE = tuple(f"1.2.840.10008.1.2.4.{last}" for last in (90, 91, 201, 202, 203))

# The order in which decoders are asked: the strictest with damaged streams first. GDCM last,
# except for lossless JPEG, which nobody else decodes.
PREFERENCE = ("pylibjpeg", "pyjpegls", "pillow", "pydicom", "gdcm")
PACKAGES = {
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
}


@dataclass(frozen=True)
class Layout:
    """How the pixels of one file are laid out, as its header states it."""

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int
    stored: int
    signed: bool
    photometric: str

    @property
    def is_colour(self) -> bool:
        """Whether a decoded pixel has three values."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"

    @property
    def frame_bits(self) -> int:
        """Bits of one frame as stored uncompressed."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.allocated

    def decoded_bytes(self, frames: int) -> int:
        """Memory `frames` decoded frames take."""
        per_pixel = 3 if self.is_colour else 1
        return self.rows * self.columns * per_pixel * max(1, self.allocated // 8) * frames


def read_layout(header: Header) -> Layout:
    """The layout stated in a header.

    Raises:
        NotAnImage: The file is of a kind without pixels.
        UnreadableFile: It has pixels, but a number needed to read them is missing or absurd.
    """
    if "Rows" not in header and "Columns" not in header:
        raise NotAnImage(
            f"{header.name} holds no pixels: it is a {header.kind}; give an image instead"
        )
    return Layout(
        rows=_positive(header, "Rows"),
        columns=_positive(header, "Columns"),
        samples=_one_of(header, "SamplesPerPixel", (1, 3), 1),
        frames=_positive(header, "NumberOfFrames", 1),
        allocated=_one_of(header, "BitsAllocated", (1, 8, 16, 32, 64), None),
        stored=_positive(header, "BitsStored", header.whole("BitsAllocated")),
        signed=header.whole("PixelRepresentation") == 1,
        photometric=_photometric(header),
    )


def _photometric(header: Header) -> str:
    """As stated; but a segmentation's palette only says how to paint its labels."""
    stated = header.text("PhotometricInterpretation") or "MONOCHROME2"
    return "MONOCHROME2" if header.text("Modality") == "SEG" else stated


def _positive(header: Header, keyword: str, default: int | None = None) -> int:
    value = header.whole(keyword)
    value = default if value is None else value
    if value is None or value < 1:
        raise UnreadableFile(
            f"{header.name}: {keyword} is {value}, where a positive whole number belongs"
        )
    return value


def _one_of(header: Header, keyword: str, allowed: tuple[int, ...], default: int | None) -> int:
    value = _positive(header, keyword, default)
    if value not in allowed:
        raise UnreadableFile(
            f"{header.name}: {keyword} is {value}, but plica knows {', '.join(map(str, allowed))}"
        )
    return value


def decode_frames(
    header: Header, layout: Layout, numbers: Sequence[int], *, max_bytes: int
) -> Iterator[NDArray[Any]]:
    """The stored values of the frames `numbers`, each (rows, columns, 1 or 3).

    YBR becomes RGB and a palette is applied; grey values are left as stored, MONOCHROME1 too.

    Raises:
        UnreadableFile: The data are missing, truncated, or contradict the header.
        UnsupportedFormat: No decoder that is present knows the transfer syntax.
        TooLarge: The frames would take more than `max_bytes`.
    """
    check_size(header.name, layout.decoded_bytes(len(numbers)), max_bytes)
    keyword = _pixel_keyword(header)
    syntax = UID(header.transfer_syntax, validation_mode=IGNORE)
    if syntax.is_private or not syntax.is_transfer_syntax:
        said = f" {syntax}" if syntax.is_valid else ""  # else a text that may say anything
        raise UnsupportedFormat(f"{header.name}: the transfer syntax{said} is not a known one")
    if syntax == RLE and layout.allocated == 1:
        frames: Iterator[NDArray[Any]] = _one_bit_frames(header, layout, numbers)
    elif syntax == JPEG_12_BIT and layout.stored > 8:
        frames = _twelve_bit_frames(header, layout, numbers)
    else:
        frames = _decode(header, layout, _decoder(header, syntax), numbers)
    if syntax.is_encapsulated:
        _check_streams(header, layout, syntax, numbers)
    else:
        _check_length(header, layout, keyword)
    for frame in frames:
        yield _as_planes(header, layout, frame)


def _pixel_keyword(header: Header) -> str:
    for keyword in PIXEL_KEYWORDS:
        if keyword in header:
            return keyword
    if header.text("PixelDataProviderURL"):
        raise UnsupportedFormat(
            f"{header.name} keeps its pixels on a server, not in the file: fetch them first"
        )
    raise UnreadableFile(f"{header.name} has an image header but no pixels: fetch the file again")


def _check_length(header: Header, layout: Layout, keyword: str) -> None:
    with guarded(header.name, "reading its pixels"):
        actual = len(header.dataset[keyword].value or b"")
    expected = -(-layout.frame_bits * layout.frames // 8)
    if actual < expected:
        raise UnreadableFile(
            f"{header.name} is truncated: {layout.columns}×{layout.rows} pixels of "
            f"{layout.allocated} bit, {layout.samples} a place and {layout.frames} of them need "
            f"{expected} bytes, but it holds {actual}; fetch the file again"
        )


def encapsulated_frames(header: Header, layout: Layout) -> Iterator[bytes]:
    """The compressed bytes of each frame."""
    extended = None
    if "ExtendedOffsetTable" in header and "ExtendedOffsetTableLengths" in header:
        dataset = header.dataset
        extended = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    yield from generate_frames(
        header.dataset.PixelData, number_of_frames=layout.frames, extended_offsets=extended
    )


def _check_streams(header: Header, layout: Layout, syntax: UID, numbers: Sequence[int]) -> None:
    """Compare what each stream says of its size with the header, before a decoder believes it."""
    wanted, count = set(numbers), 0
    with guarded(header.name, "unpacking its compressed frames"):
        for number, stream in enumerate(encapsulated_frames(header, layout)):
            count += 1
            if number in wanted:
                _check_stream(header, layout, syntax, stream)
            if number >= max(wanted):
                break
    if count <= max(wanted):
        raise UnreadableFile(
            f"{header.name} is truncated: it announces {layout.frames} frames and holds {count}; "
            "fetch the file again"
        )


def _check_stream(header: Header, layout: Layout, syntax: UID, stream: bytes) -> None:
    if syntax not in (*JPEG_LIKE, *JPEG_2000_LIKE):
        return
    try:
        size = measure_jpeg(stream) if syntax in JPEG_LIKE else measure_jpeg2000(stream)
    except UnreadableFile as error:
        raise UnreadableFile(f"{header.name}: {error}; fetch the file again") from error
    if (size.rows, size.columns, size.samples) != (layout.rows, layout.columns, layout.samples):
        raise UnreadableFile(
            f"{header.name} contradicts itself: its header says {layout.columns}×{layout.rows} "
            f"pixels with {layout.samples} values each, its compressed data {size.columns}×"
            f"{size.rows} with {size.samples}"
        )
    # decoders of lossy JPEG cut values to the bits stored; of the others they are whole
    allowed = max(8, layout.stored) if syntax == JPEG_12_BIT else layout.allocated
    if size.precision > allowed:
        raise UnreadableFile(
            f"{header.name} contradicts itself: its header allows {allowed} bits a value, "
            f"its compressed data have {size.precision}; get it anew from where it was compressed"
        )


def _one_bit_frames(
    header: Header, layout: Layout, numbers: Sequence[int]
) -> Iterator[NDArray[Any]]:
    """RLE frames of one bit a pixel, which no decoder package takes."""
    wanted = set(numbers)
    for number, stream in enumerate(encapsulated_frames(header, layout)):
        if number in wanted:
            yield unpack_one_bit_frame(stream, layout.rows, layout.columns)


def _twelve_bit_frames(
    header: Header, layout: Layout, numbers: Sequence[int]
) -> Iterator[NDArray[Any]]:
    """JPEG Extended frames of twelve bits, which none of pydicom's decoders but a GPL one takes.

    Raises:
        MissingExtra: imagecodecs is not installed.
        UnreadableFile: A frame is damaged.
    """
    try:
        from imagecodecs import jpeg8_decode
    except ImportError as error:
        raise MissingExtra(
            f"{header.name}: decoding JPEG of twelve bits", "imagecodecs", "codecs"
        ) from error
    wanted = set(numbers)
    for number, stream in enumerate(encapsulated_frames(header, layout)):
        if number in wanted:
            with guarded(header.name, f"decoding frame {number + 1}"):
                frame = jpeg8_decode(stream)
            yield frame


def _decode(
    header: Header, layout: Layout, decoder: Any, numbers: Sequence[int]
) -> Iterator[NDArray[Any]]:
    plugins = sorted(decoder.available_plugins, key=_preference) or [""]
    if decoder.UID == RLE:
        plugins = ["pydicom"]  # pylibjpeg's panics on damaged runs, past any except
    for number in numbers:
        yield _decode_one(header, layout, decoder, plugins, number)


def _preference(plugin: str) -> int:
    return PREFERENCE.index(plugin) if plugin in PREFERENCE else len(PREFERENCE)


def _decoder(header: Header, syntax: UID) -> Any:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnsupportedFormat(
            f"{header.name}: no decoder knows its transfer syntax, {syntax.name}; convert it to "
            "Explicit VR Little Endian first"
        ) from error
    if not decoder.is_available:
        package = PACKAGES.get(str(syntax), "pylibjpeg with its plugins")
        raise UnsupportedFormat(
            f"{header.name}: no installed package decodes its transfer syntax, {syntax.name}; "
            f"convert the file to an uncompressed one, or install {package}"
        )
    return decoder


def _decode_one(
    header: Header, layout: Layout, decoder: Any, plugins: list[str], number: int
) -> NDArray[Any]:
    """The first plugin that can, decodes; if none can, the first one's reason is given."""
    refused: list[UnreadableFile] = []
    for plugin in plugins:
        try:
            if plugin == "gdcm":
                return _decode_apart(header, layout, number)
            with guarded(header.name, f"decoding frame {number + 1}"):
                frames = decoder.iter_array(
                    header.dataset, indices=[number], decoding_plugin=plugin
                )
                array: NDArray[Any] = next(iter(frames))[0]
                return array
        except UnreadableFile as error:
            refused.append(error)
    raise refused[0]


def _decode_apart(header: Header, layout: Layout, number: int) -> NDArray[Any]:
    """A frame decoded by GDCM in its own process."""
    with guarded(header.name, "unpacking its compressed frames"):
        streams = encapsulated_frames(header, layout)
        stream = next(islice(streams, number, None))
    attributes = {
        "TransferSyntaxUID": header.transfer_syntax,
        "Rows": layout.rows,
        "Columns": layout.columns,
        "SamplesPerPixel": layout.samples,
        "PhotometricInterpretation": layout.photometric,
        "BitsAllocated": layout.allocated,
        "BitsStored": layout.stored,
        "HighBit": layout.stored - 1,
        "PixelRepresentation": int(layout.signed),
    }
    if layout.samples > 1:
        attributes["PlanarConfiguration"] = header.whole("PlanarConfiguration") or 0
    return DECODER.decode(header.name, attributes, stream)


def _as_planes(header: Header, layout: Layout, frame: NDArray[Any]) -> NDArray[Any]:
    if layout.photometric == "PALETTE COLOR" and layout.samples == 1:
        with guarded(header.name, "applying its palette"):
            frame = apply_color_lut(frame, header.dataset)[..., :3]
    frame = frame.reshape(layout.rows, layout.columns, -1)
    return frame.astype(frame.dtype.newbyteorder("="), copy=False)
