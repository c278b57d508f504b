"""Decoders: which compressed DICOM pixels can be read here, and by which packages."""

from __future__ import annotations

from dataclasses import dataclass

SYNTAXES = (
    "RLELossless", "JPEGBaseline8Bit", "JPEGExtended12Bit", "JPEGLossless", "JPEGLosslessSV1",
    "JPEGLSLossless", "JPEGLSNearLossless", "JPEG2000Lossless", "JPEG2000", "HTJ2KLossless",
    "HTJ2KLosslessRPCL", "HTJ2K",
)  # fmt: skip
"""Transfer syntaxes of compressed pixels (PS3.5, annex A.4), by pydicom's keywords."""


@dataclass(frozen=True)
class Decoder:
    """Of one transfer syntax.

    Args:
        name: As the standard has it.
        uid: Its UID.
        packages: What decodes it here, in the order they are tried; empty where nothing does.
    """

    name: str
    uid: str
    packages: tuple[str, ...]


def list_decoders() -> tuple[Decoder, ...]:
    """One for each transfer syntax of compressed pixels.

    Examples:
        >>> list_decoders()[0].name
        'RLE Lossless'
    """
    from pydicom import uid
    from pydicom.pixels import get_decoder

    found = []
    for keyword in SYNTAXES:
        syntax = getattr(uid, keyword)
        found.append(
            Decoder(syntax.name, str(syntax), tuple(get_decoder(syntax).available_plugins))
        )
    return tuple(found)
