"""Which format a file is of: told by its first bytes, compared with what its name says."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np

from plica.errors import NotAnImage, UnreadableFile, UnsupportedFormat
from plica.formats.streams import GZIP_MAGIC

_HEAD = 1024

ENDINGS = {
    ".dcm": "dicom", ".dicom": "dicom", ".nii.gz": "nifti", ".nii": "nifti", ".hdr": "nifti",
    ".img": "nifti", ".hdr.gz": "nifti", ".img.gz": "nifti", ".nrrd": "nrrd", ".nhdr": "nrrd",
    ".mha": "metaimage", ".mhd": "metaimage", ".mgz": "mgh", ".mgh": "mgh", ".mgh.gz": "mgh",
    ".mnc": "minc", ".png": "picture", ".jpg": "picture", ".jpeg": "picture", ".tif": "picture",
    ".tiff": "picture", ".npy": "array", ".npz": "array", ".latent": "latent",
}  # fmt: skip
"""What a name promises; an ending that is not here promises nothing."""

_READ_PACKED = ("nifti", "nrrd", "metaimage", "mgh")
"""Formats whose readers unpack a gzipped file on the way."""

_KNOWN_OTHERS = (
    (b"GIF8", "a GIF picture", "save it as PNG"),
    (b"BM", "a BMP picture", "save it as PNG"),
    (b"RIFF", "a WebP picture or a sound", "save a picture as PNG"),
    (b"%PDF", "a PDF document", "export its pictures as PNG"),
    (b"\0\0\0\x0cjP  ", "a bare JPEG 2000 picture", "wrap it in DICOM or save it as PNG"),
    (b"\xff\x4f\xff\x51", "a bare JPEG 2000 codestream", "wrap it in DICOM or save it as PNG"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it"),
    (b"BZh", "a bzip2 archive", "unpack it"),
    (b"\xfd7zXZ", "an xz archive", "unpack it"),
    (b"#!", "a script", "give an image"),
    (b"\x7fELF", "a program", "give an image"),
    (b"MZ", "a program", "give an image"),
)
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def identify(path: Path) -> str:
    """The name of the format a file is of; folders are DICOM series.

    Raises:
        UnreadableFile: Absent, empty, damaged, or not what its name says.
        UnsupportedFormat: Of a kind plica has no reader for.
        NotAnImage: Text.
    """
    if path.is_dir():
        return "dicom"
    if not path.is_file():
        raise UnreadableFile(f"{path}: there is no such file or folder; check the path")
    head, packed = _read_head(path)
    if not head:
        raise UnreadableFile(f"{path.name} is empty; get it again")
    if packed:
        _refuse_packed(head, path)
    found = _identify_head(head, path)
    promised = ENDINGS.get(find_ending(path.name))
    if promised is not None and promised != found:
        raise UnreadableFile(
            f"{path.name} is named as {promised} and holds {found}; rename it if that is right"
        )
    return found


def find_ending(name: str) -> str:
    """The known ending of a file name in small letters; "" where there is none."""
    small = name.lower()
    fitting = [ending for ending in ENDINGS if small.endswith(ending) and small != ending]
    return max(fitting, key=len, default="")


def _read_head(path: Path) -> tuple[bytes, bool]:
    """The first bytes, unpacked if gzipped, and whether they were."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not head.startswith(GZIP_MAGIC):
            return head, False
        with gzip.open(path) as unpacked:
            return unpacked.read(_HEAD), True
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(
            f"{path.name} cannot be read ({error}); it is damaged or truncated, get it again"
        ) from error


def _refuse_packed(head: bytes, path: Path) -> None:
    """Refuse what no reader unpacks: its parser would meet gzip's bytes, and call them damage."""
    found = "zip" if head.startswith(b"PK") else _identify_magic(head)
    if found and found not in _READ_PACKED:
        raise UnsupportedFormat(
            f"{path.name} is packed by gzip, and of gzipped files plica reads NIfTI, NRRD, "
            f"MetaImage and MGH; unpack it first: gunzip -k {path.name}"
        )


def _identify_head(head: bytes, path: Path) -> str:
    found = _identify_magic(head)
    if found:
        return found
    if head.startswith(b"PK"):
        return _identify_zip(path)
    _refuse_known(head, path.name)
    return _identify_bare_dicom(head, path)


def _identify_magic(head: bytes) -> str:
    """The format whose files begin so; "" where none does."""
    fitting = (
        ("dicom", head[128:132] == b"DICM"),
        ("nifti", _is_nifti(head)),
        ("nrrd", head.startswith(b"NRRD000")),
        ("picture", head.startswith(_PICTURES)),
        ("array", head.startswith(b"\x93NUMPY")),
        ("minc", head.startswith((b"CDF\1", b"CDF\2", b"\x89HDF\r\n\x1a\n"))),
        ("mgh", _is_mgh(head)),
        ("latent", head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 32),
        ("metaimage", _is_metaimage(head)),
    )
    return next((found for found, fits in fitting if fits), "")


def _is_nifti(head: bytes) -> bool:
    sizes = [int.from_bytes(head[:4], order) for order in ("little", "big")]
    return 348 in sizes or (540 in sizes and head[4:7] in {b"n+2", b"ni2"})


def _is_mgh(head: bytes) -> bool:
    if len(head) < 32 or head[:4] != b"\0\0\0\1":
        return False
    *sides, kind = np.frombuffer(head[4:24], ">i4").tolist()
    return min(sides) > 0 and kind in {0, 1, 2, 3, 4, 10}


def _is_metaimage(head: bytes) -> bool:
    first = head.split(b"\n", 1)[0]
    return first.split(b"=")[0].strip() in {b"ObjectType", b"NDims", b"Comment"} and b"=" in first


def _identify_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UnreadableFile(
            f"{path.name} is a damaged or truncated zip archive ({error}); get it again"
        ) from error
    if any(name.endswith(".npy") for name in names):
        return "array"
    if any(name.endswith("data.pkl") for name in names):
        raise UnsupportedFormat(
            f"{path.name} is a PyTorch file, which may run code when loaded and is not opened; "
            "save the image as NIfTI or .npy"
        )
    others = {ENDINGS[find_ending(name)] for name in names if find_ending(name)} - {"dicom"}
    if others and not any(name.lower().endswith(".dcm") for name in names):
        raise UnsupportedFormat(
            f"{path.name} is a zip of {', '.join(sorted(others))} files, and only zips of DICOM "
            "series are read as they are; unpack it"
        )
    return "dicom"


def _refuse_known(head: bytes, name: str) -> None:
    for magic, kind, advice in _KNOWN_OTHERS:
        if head.startswith(magic):
            raise UnsupportedFormat(f"{name} is {kind}, which plica does not read; {advice}")
    if head[:1] == b"\x80" and head[1:2] in {b"\2", b"\3", b"\4", b"\5"}:
        raise UnsupportedFormat(
            f"{name} is a Python pickle, which can run code and is never opened; save the image as "
            "NIfTI or .npy"
        )
    _refuse_text(head, name)


def _refuse_text(head: bytes, name: str) -> None:
    if any(byte < 9 or 13 < byte < 32 for byte in head):
        return
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").lower()
    if text.startswith("version https://git-lfs"):
        raise UnreadableFile(
            f"{name} is a git-lfs pointer and not the file itself; run: git lfs pull"
        )
    if text.startswith(("<!doctype html", "<html")):
        raise UnreadableFile(
            f"{name} is a web page, probably an error or login page saved under this name; "
            "download the file again"
        )
    if "data description file" in text or "# === data" in text:
        raise UnsupportedFormat(f"{name} is a Philips PAR header; convert it with dcm2niix")
    if text.startswith("type") and "-attribute" in text:
        raise UnsupportedFormat(f"{name} is an AFNI header; convert it with 3dAFNItoNIFTI")
    promised = ENDINGS.get(find_ending(name))
    if promised is not None:
        raise UnreadableFile(f"{name} is named as {promised} and holds text; get the image itself")
    raise NotAnImage(f"{name} is text, not an image")


def _identify_bare_dicom(head: bytes, path: Path) -> str:
    """DICOM without its preamble, which only a DICOM parser can tell."""
    from plica.formats.dicom import is_dicom

    if is_dicom(path):
        return "dicom"
    promised = ENDINGS.get(find_ending(path.name))
    wanted = f"{promised}, as its name says," if promised else "any format plica reads"
    raise UnreadableFile(
        f"{path.name} begins with {head[:8]!r}, which is not {wanted.rstrip(',')}; it is damaged "
        "or of another kind"
    )
