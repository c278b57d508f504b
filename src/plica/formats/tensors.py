"""The safetensors container, read with numpy alone and no more trust than its size allows.

Layout (huggingface/safetensors): eight bytes with the length of a JSON header, the header, then
the tensors' bytes end to end. Numpy has no bfloat16: such a tensor comes as its 16 bits.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.errors import LatentError
from plica.formats.imprint import Checker, parse_json
from plica.formats.streams import read_bytes

CHUNK = 1 << 20
CHECKSUM = "sha256"
"""The key of the tensors' checksum among a header's metadata."""

HEADER_CHECKSUM = "header_sha256"
"""The key of the header's own checksum: of its length and text, this sum's digits written as 0."""

_UNSEALED = "0" * 64

MAX_HEADER = 16 << 20  # as parsed JSON up to twenty times that
DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip
_NAMES = {np.dtype(kind).name: name for name, kind in DTYPES.items() if name != "BF16"}


@dataclass(frozen=True)
class Tensor:
    """Where one tensor's bytes are, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Container:
    """What a header says.

    Args:
        metadata: Free texts.
        tensors: By name, in the order of their bytes.
        data_at: The file's byte where the first tensor begins.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    data_at: int


def read_container(file: io.BufferedIOBase, size: int, name: str) -> Container:
    """The header, checked against its checksum and the file's size; no tensor is read.

    Raises:
        LatentError: It is none, is damaged, or its tensors do not fill the file.
    """
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise LatentError(
            f"{name} is no latent file, or a damaged one: its header would be {length} bytes of a "
            f"file of {size}"
        )
    text = file.read(length)
    if len(text) < length:
        raise LatentError(f"{name} is truncated within its header; get it again")
    record = parse_json(text, f"{name}: the header", LatentError)
    checker = Checker(f"{name}: the header", LatentError)
    metadata = checker.of_type(record.pop("__metadata__", {}), dict, "__metadata__")
    for key, value in metadata.items():
        checker.of_type(value, str, f"__metadata__.{key[:40]}")
    _check_header(start + text, metadata.get(HEADER_CHECKSUM), name)
    tensors = {key: _read_tensor(value, key, checker) for key, value in record.items()}
    _check_filled(tensors, size - 8 - length, name)
    return Container(metadata, tensors, 8 + length)


def _check_header(whole: bytes, said: str | None, name: str) -> None:
    """The header is the one written, where it carries its own checksum."""
    if said is None:
        return
    is_digest = re.fullmatch("[0-9a-f]{64}", said)
    if not is_digest or _seal(whole.replace(_quote(said), _quote(_UNSEALED))) != said:
        raise LatentError(f"{name} was damaged: its header is not the one written; get it again")


def _quote(digits: str) -> bytes:
    return f'"{HEADER_CHECKSUM}":"{digits}"'.encode()


def _seal(whole: bytes) -> str:
    """The checksum of a header whose own checksum still stands as zeros."""
    return hashlib.sha256(whole).hexdigest()


def _read_tensor(value: Any, key: str, checker: Checker) -> Tensor:
    key = key[:60]
    entry = checker.of_type(value, dict, key)
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise checker.fail(f"{key}.dtype", dtype, f"one of {', '.join(DTYPES)}")
    shape = checker.of_type(entry.get("shape"), list, f"{key}.shape")
    ends = checker.of_type(entry.get("data_offsets"), list, f"{key}.data_offsets")
    for number in (*shape, *ends):
        if checker.of_type(number, int, f"{key}.shape") < 0:
            raise checker.fail(f"{key}.shape", number, "a number of at least 0")
    if len(ends) != 2 or len(shape) > 16:
        raise checker.fail(f"{key}.data_offsets", ends, "a beginning and an end")
    needed = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if ends[1] - ends[0] != needed:
        raise checker.fail(f"{key}.data_offsets", ends, f"{needed} bytes for shape {shape}")
    return Tensor(dtype, tuple(shape), ends[0], ends[1])


def _check_filled(tensors: Mapping[str, Tensor], room: int, name: str) -> None:
    """Tensors lie end to end and fill the file, so that none is read twice and nothing hides."""
    at = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != at:
            raise LatentError(f"{name}: its tensors overlap or leave gaps; it is damaged")
        at = tensor.end
    if at != room:
        raise LatentError(
            f"{name} should hold {at} bytes of tensors and holds {room}; it is truncated or damaged"
        )


def read_tensor(file: io.BufferedIOBase, container: Container, key: str, name: str) -> NDArray[Any]:
    """One tensor, in the machine's byte order; bfloat16 as its bits (uint16)."""
    tensor = container.tensors[key]
    kind = np.dtype(DTYPES[tensor.dtype])
    file.seek(container.data_at + tensor.start)
    data = read_bytes(file, tensor.end - tensor.start, name)
    if tensor.dtype == "BOOL":
        return (data != 0).reshape(tensor.shape)
    return data.view(kind).reshape(tensor.shape).astype(kind.newbyteorder("="), copy=False)


def write_container(
    file: io.BufferedIOBase,
    tensors: Mapping[str, tuple[str, NDArray[Any]]],
    metadata: Mapping[str, str],
) -> None:
    """Write tensors, given as (safetensors type, array), largest alignment first.

    The metadata gains "sha256", the checksum of their bytes, which `check_data` looks at, and
    "header_sha256", the checksum of all that stands before them, which every reader looks at.
    """
    parts = lay_out(tensors)
    places, at = {}, 0
    for part in parts:
        places[part.key] = Tensor(part.dtype, part.shape, at, at + len(part.data))
        at += len(part.data)
    sums = {CHECKSUM: checksum(parts), HEADER_CHECKSUM: _UNSEALED}
    whole = _compose_header(places, {**metadata, **sums})
    file.write(whole.replace(_quote(_UNSEALED), _quote(_seal(whole))))
    for part in parts:
        file.write(part.data)


@dataclass(frozen=True)
class Part:
    """One tensor, ready to be written.

    Args:
        key: Its name.
        dtype: safetensors' name of its type.
        shape: Its sides.
        itemsize: Bytes of one number.
        data: Its numbers, little-endian.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    itemsize: int
    data: bytes


def lay_out(tensors: Mapping[str, tuple[str, NDArray[Any]]]) -> list[Part]:
    """Tensors in the order they are written in: the largest numbers first, so all are aligned."""
    order = sorted(tensors, key=lambda key: (-tensors[key][1].dtype.itemsize, key))
    return [
        Part(key, dtype, array.shape, array.dtype.itemsize, _to_bytes(array))
        for key, (dtype, array) in ((key, tensors[key]) for key in order)
    ]


def checksum(parts: list[Part]) -> str:
    """SHA-256 of tensors' bytes, one after another."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.data)
    return digest.hexdigest()


def write_header(
    file: io.BufferedIOBase, places: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> bytes:
    """Write what stands before the tensors: the header's length and the header, which come back."""
    whole = _compose_header(places, metadata)
    file.write(whole)
    return whole


def _compose_header(places: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    for key, tensor in places.items():
        header[key] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [tensor.start, tensor.end],
        }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _to_bytes(array: NDArray[Any]) -> bytes:
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return little.tobytes()


def check_data(file: io.BufferedIOBase, container: Container, name: str) -> None:
    """The tensors' bytes are those that were written, where the header says their checksum.

    Raises:
        LatentError: They are not.
    """
    said = container.metadata.get(CHECKSUM)
    if said is not None and measure_checksum(file, container) != said:
        raise LatentError(f"{name} was damaged: its bytes are not those written; get it again")


def measure_checksum(file: io.BufferedIOBase, container: Container) -> str:
    """SHA-256 of the tensors' bytes as they are, in their order."""
    digest = hashlib.sha256()
    for tensor in sorted(container.tensors.values(), key=lambda each: (each.start, each.end)):
        file.seek(container.data_at + tensor.start)
        left = tensor.end - tensor.start
        while left and (chunk := file.read(min(left, CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def name_dtype(array: NDArray[Any]) -> str:
    """Safetensors' name of an array's type.

    Raises:
        LatentError: It has none.
    """
    if array.dtype.name not in _NAMES:
        raise LatentError(f"an array of type {array.dtype} cannot be kept in a latent file")
    return _NAMES[array.dtype.name]
