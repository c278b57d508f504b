"""Identities nobody has: put wherever files have room for one, looked for in every byte."""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

PERSON = {
    "PatientName": "Zyxwvutova^Qponmlia",
    "PatientID": "PID5550173886",
    "OtherPatientIDs": "OPI90871236540",
    "PatientBirthDate": "19031217",
    "PatientAddress": "Marzipanallee 4711",
    "PatientComments": "Vermilionaxolotl",
    "ImageComments": "Ochrepangolin",
    "StudyDescription": "Umberquokkaview",
    "SeriesDescription": "Indigomarmotview",
    "AccessionNumber": "ACC7731905226",
    "StudyID": "STU66120945",
    "StudyDate": "19780213",
    "InstitutionName": "Kryptonspital Müßigheim",
    "InstitutionAddress": "Obsidianplatz 99",
    "ReferringPhysicianName": "Wolframsdottir^Sigrun",
    "PerformingPhysicianName": "Hafniumsson^Ketill",
    "OperatorsName": "Iridiumova^Dagny",
    "StationName": "SCANNERZIRKON7",
    "DeviceSerialNumber": "SN8812304477",
    "ProtocolName": "Ceruleanibexprotocol",
}
UIDS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.7712345678901",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.7712345678902",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.7712345678903",
}
LONG_ENOUGH = 7  # letters
CODES = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")  # NumPy's texts are 32
PRIVATE = "Tealcapybaraprivate"
TEXTS = {
    "descrip": "Saffronnarwhal", "aux_file": "Mauvetapir", "db_name": "Puceocelot",
    "NRRD key": "Celadonlynx", "PNG text": "Fuchsiaotter", "TIFF description": "Khakiwombat",
}  # fmt: skip


def mark_dicom(source: Path, target: Path, number: int) -> None:
    """A copy of a slice with markers in its header."""
    file = pydicom.dcmread(source)
    for name, value in {**PERSON, **UIDS}.items():
        setattr(file, name, value)
    file.SpecificCharacterSet = "ISO_IR 192"
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = (
        f"{UIDS['StudyInstanceUID']}.{number}"
    )
    block = file.private_block(0x0099, "PLICA MARKER", create=True)
    block.add_new(1, "LO", PRIVATE)
    nested = Dataset()
    nested.PatientName = PERSON["PatientName"]
    file.RequestAttributesSequence = [nested]
    file.InstanceNumber = number + 1
    file.ImagePositionPatient = [0, 0, 5.0 * number]
    file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    file.save_as(target)


def all_markers() -> dict[str, str]:
    """Every marker by the name of its field; names of persons in their parts."""
    found = dict(PERSON) | UIDS | TEXTS | {"private element": PRIVATE}
    for name in (
        "PatientName",
        "ReferringPhysicianName",
        "PerformingPhysicianName",
        "OperatorsName",
    ):
        family, given = found.pop(name).split("^")
        found |= {f"{name} (family)": family, f"{name} (given)": given}
    born, studied = found["PatientBirthDate"], found["StudyDate"]
    found["PatientBirthDate (ISO)"] = f"{born[:4]}-{born[4:6]}-{born[6:]}"
    found["StudyDate (ISO)"] = f"{studied[:4]}-{studied[4:6]}-{studied[6:]}"
    return found


def find_markers(data: bytes, markers: Mapping[str, str]) -> set[str]:
    """Which markers stand in these bytes or in what is packed in them, however they are spelt."""
    found = set()
    for layer in unpack(data):
        low = layer.lower()
        found |= {
            name for name, value in markers.items() if any(form in low for form in forms(value))
        }
    return found


def forms(value: str) -> list[bytes]:
    """How a text may stand among bytes, all in small letters (base64 too: enough to be seen)."""
    plain = [value.encode(code) for code in CODES]
    plain.append(value.encode("latin-1", "replace"))
    plain.append(value.encode("ascii", "backslashreplace"))
    # Of a short one only five letters are left, which stand among others by chance.
    packed = [_inner_base64(plain[0], shift) for shift in range(3) if len(value) >= LONG_ENOUGH]
    return [form.lower() for form in (*plain, *packed)]


def _inner_base64(part: bytes, shift: int) -> bytes:
    """The letters of base64 that depend on `part` alone, where it begins `shift` bytes late."""
    whole = base64.b64encode(b"\0" * shift + part)
    begin = (0, 2, 3)[shift]
    spare = (len(part) + shift) % 3
    return whole[begin : len(whole) - (4 if spare else 0)]


def unpack(data: bytes, depth: int = 3) -> Iterator[bytes]:
    """The bytes, and what is packed in them: gzip, zip, PNG chunks, Parquet, base64 in pages."""
    yield data
    if depth == 0:
        return
    for inner in _unpack_once(data):
        yield from unpack(inner, depth - 1)


def _unpack_once(data: bytes) -> Iterator[bytes]:
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _unpack_png(data)
    elif data[:4] == b"PAR1":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(io.BytesIO(data))
        yield repr(table.to_pylist()).encode()
        yield repr(table.schema.metadata).encode()
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=]{40,})", data):
        yield base64.b64decode(packed)


def _unpack_png(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind in {b"zTXt", b"iTXt"}:
            for begin in range(len(body)):
                if body[begin : begin + 1] == b"\x78":
                    try:
                        yield zlib.decompress(body[begin:])
                    except zlib.error:
                        continue
        at += 12 + length
