"""How much memory a file may ask for, and how far a packed one may unfold."""

from __future__ import annotations

from plica.errors import TooLarge

DEFAULT_MAX_BYTES = 4 << 30
"""Decoded pixels one image may need: 4 GiB, a CT of 512 × 512 × 8192 in 16 bit."""

# Deflate cannot do better than 1032:1 and scans reach about 100:1 (a label map: more), so a large
# file beyond this was made to fill memory, or is so empty that the caller should say it is meant.
MAX_EXPANSION = 300
_SMALL_PART = 16


def check_size(name: str, needed: int, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
    """Refuse an image that declares more bytes than the limit, before memory is taken.

    Args:
        name: The file, for the message.
        needed: Bytes of the decoded pixels.
        max_bytes: The limit.

    Raises:
        TooLarge: It does.

    Examples:
        >>> check_size("ct.nii.gz", 10**14)
        Traceback (most recent call last):
            ...
        plica.errors.TooLarge: ct.nii.gz declares 90.9 TiB of pixels, and the limit is 4.0 GiB; ...
    """
    if needed > max_bytes:
        raise TooLarge(
            f"{name} declares {describe_bytes(needed)} of pixels, and the limit is "
            f"{describe_bytes(max_bytes)}; pass max_bytes={needed} if the file is to be trusted"
        )


def check_expansion(
    name: str, packed: int, unpacked: int, max_bytes: int = DEFAULT_MAX_BYTES
) -> None:
    """Refuse a packed file that unfolds like a decompression bomb, before it is unpacked.

    Small results pass whatever their ratio: up to a sixteenth of the limit (256 MiB by default).

    Args:
        name: The file, for the message.
        packed: Bytes on disk.
        unpacked: Bytes declared to come out.
        max_bytes: The limit.

    Raises:
        TooLarge: It expands more than 300 times and past a sixteenth of the limit, or past it.

    Examples:
        >>> check_expansion("ct.nii.gz", packed=10_000, unpacked=2**31)
        Traceback (most recent call last):
            ...
        plica.errors.TooLarge: ct.nii.gz ...
    """
    check_size(name, unpacked, max_bytes)
    if unpacked > max_bytes // _SMALL_PART and unpacked > MAX_EXPANSION * packed:
        raise TooLarge(
            f"{name} would unfold {describe_bytes(packed)} to {describe_bytes(unpacked)}, more "
            f"than {MAX_EXPANSION} times, as a decompression bomb does; pass "
            f"max_bytes={unpacked * _SMALL_PART} if the file is to be trusted"
        )


def describe_bytes(count: int) -> str:
    """A number of bytes for people: "512 bytes", "3.2 MiB"."""
    if count < 1024:
        return f"{count} bytes"
    size = count / 1024
    for unit in ("KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
