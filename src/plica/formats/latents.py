"""Latent ⇄ file: safetensors whose header says everything, readable without torch.

`__metadata__["plica"]` is a JSON record (schema 1): codec, kind, grids, factor, trail, unit,
display, provenance without identity, and how the codes are stored. Tensors: `codes`; `codes.scale`
for int8; `trail.<record>.<name>` for what the way back needs in arrays. `__metadata__["sha256"]`
is the checksum of their bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from plica.errors import LatentError, OutputError, PlicaError, UnreadableFile
from plica.formats.atomic import new_file
from plica.formats.codes import STORAGE_TYPES, Packed, StorageType, measure_loss, pack, unpack
from plica.formats.imprint import Checker, parse_json
from plica.formats.limits import DEFAULT_MAX_BYTES, check_size
from plica.formats.tensors import (
    Container,
    check_data,
    name_dtype,
    read_container,
    read_tensor,
    write_container,
)
from plica.image import Image, Provenance, Unit
from plica.latent import CodecIdentity, Latent, LatentKind, Record, Trail

SCHEMA = 1
_KINDS = ("raw", "projected", "bitstream")
_FIELDS = {
    "schema", "kind", "codec", "prepared", "source", "factor", "trail", "unit", "display",
    "provenance", "stored",
}  # fmt: skip


# -- writing -------------------------------------------------------------------------------------


def write(
    latent: Latent, path: Path, *, dtype: StorageType = "float32", overwrite: bool = False
) -> Latent:
    """Write a latent whole or not at all.

    Args:
        latent: What to write. A bitstream's bytes are kept as they are, whatever `dtype` says.
        path: The file, by custom ending in .latent.
        dtype: How codes are stored; int8 with one scale per code channel.
        overwrite: Whether a file of that name may be replaced.

    Returns:
        The latent as a reader will see it: codes after rounding, and in `stored` the type and
        what it cost (rms_error, relative_rms_error, max_error, in the codes' own scale).

    Raises:
        OutputError: The codes do not fit the type, or the file cannot be written.
        LatentError: A record of the trail cannot be kept as JSON.

    Example:
        >>> write(latent, Path("ct.latent"), dtype="int8").stored["rms_error"]  # doctest: +SKIP
        0.0041
    """
    if dtype not in STORAGE_TYPES:
        raise OutputError(
            f"codes cannot be stored as {dtype!r}; choose one of {', '.join(STORAGE_TYPES)}"
        )
    seen, packed = _store(latent, dtype)
    tensors = {"codes": (packed.dtype, packed.array)}
    if packed.scale is not None:
        tensors["codes.scale"] = ("F32", packed.scale)
    for at, record in enumerate(latent.trail.records):
        for key, array in record.arrays.items():
            tensors[f"trail.{at}.{key}"] = (name_dtype(np.asarray(array)), np.asarray(array))
    text = _compose(seen)
    with new_file(path, overwrite=overwrite) as file:
        write_container(file, tensors, {"format": "plica latent", "plica": text})
    return seen


def _store(latent: Latent, dtype: StorageType) -> tuple[Latent, Packed]:
    """The latent as it will be read, and its codes as they will stand in the file."""
    bare = replace(latent, provenance=replace(latent.provenance, identity={}))
    if latent.codes.dtype == np.uint8:
        exact = {"dtype": "uint8", **measure_loss(np.zeros(0, np.float32), np.zeros(0, np.float32))}
        return replace(bare, stored=exact), Packed("U8", latent.codes)
    codes = np.asarray(latent.codes, np.float32)
    packed = pack(codes, dtype)
    restored = unpack(packed, "the latent")
    stored = {"dtype": dtype, **measure_loss(codes, restored)}
    return replace(bare, codes=restored, stored=stored), packed


def _compose(latent: Latent) -> str:
    record = {
        "schema": SCHEMA,
        "kind": latent.kind,
        "codec": {
            "name": latent.codec.name,
            "fingerprint": latent.codec.fingerprint,
            "card": dict(latent.codec.card),
        },
        "prepared": latent.prepared.to_json(),
        "source": latent.source.to_json(),
        "factor": [int(side) for side in latent.factor],
        "trail": {
            "version": Trail.VERSION,
            "records": [
                {
                    "step": record.step,
                    "undo": dict(record.undo),
                    "loss": dict(record.loss),
                    "arrays": sorted(record.arrays),
                }
                for record in latent.trail.records
            ],
        },
        "unit": latent.unit.value,
        "display": latent.display.to_json(),
        "provenance": latent.provenance.to_json(),
        "stored": dict(latent.stored),
    }
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise LatentError(
            f"the latent's record cannot be kept as JSON ({error}); a preparation step must put "
            "arrays into Record.arrays and only finite numbers into its undo"
        ) from error


def _plain(value: object) -> object:
    """The Python number of a numpy one; json refuses those."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


# -- reading -------------------------------------------------------------------------------------


def is_latent(path: Path) -> bool:
    """Whether the file is a latent of plica's, whole or not: its header begins as ours does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            container = read_container(file, path.stat().st_size, path.name)
        except PlicaError:
            return path.suffix == ".latent"
    return "plica" in container.metadata


def read_header(path: Path) -> dict[str, Any]:
    """What a latent's header says, checked; its codes are not read.

    Args:
        path: The latent file.

    Returns:
        The record of the module's docstring, with `shape` (code channel, i, j, k), `bytes` (the
        file's size) and `tensors` ({name: {dtype, shape}}).

    Raises:
        LatentError: It is none, is damaged, or was written by a newer plica.

    Example:
        >>> read_header(Path("ct.latent"))["codec"]["name"]  # doctest: +SKIP
        'medvae-4x1-3d'
    """
    with _open(path) as file:
        size = path.stat().st_size
        container, record = _read_record(file, size, path.name)
    _interpret(record, path.name)
    return {
        **record,
        "shape": list(container.tensors["codes"].shape),
        "bytes": size,
        "tensors": {
            key: {"dtype": tensor.dtype, "shape": list(tensor.shape)}
            for key, tensor in container.tensors.items()
        },
    }


def read(path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Latent:
    """Read a latent; its codes become float32, a bitstream's bytes stay uint8.

    Args:
        path: The latent file.
        max_bytes: Refuse more decoded bytes than this.

    Raises:
        LatentError: It is none, is damaged, or was written by a newer plica.
        TooLarge: Past the limit.

    Example:
        >>> read(Path("ct.latent")).grid.spacing_mm  # doctest: +SKIP
        (3.1, 3.1, 4.0)
    """
    with _open(path) as file:
        size = path.stat().st_size
        container, record = _read_record(file, size, path.name)
        check_size(path.name, 4 * size, max_bytes)  # int8 codes become four bytes each
        facts = _interpret(record, path.name)
        check_data(file, container, path.name)
        codes = _read_codes(file, container, facts["kind"], path.name)
        trail = _read_trail(file, container, record["trail"], path.name)
    try:
        return Latent(codes=codes, trail=trail, **facts)
    except PlicaError as error:
        raise LatentError(f"{path.name}: {error}") from error


def _open(path: Path) -> io.BufferedReader:
    if not path.is_file():
        raise UnreadableFile(f"{path.name}: there is no such file; check the path")
    return path.open("rb")


def _read_record(file: io.BufferedIOBase, size: int, name: str) -> tuple[Container, dict[str, Any]]:
    container = read_container(file, size, name)
    if "plica" not in container.metadata:
        raise LatentError(
            f"{name} is a safetensors file without plica's record: weights, or another program's"
        )
    record = parse_json(container.metadata["plica"], f"{name}: plica's record", LatentError)
    schema = record.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise LatentError(
            f"{name} was written by a newer plica (schema {schema}; this one knows {SCHEMA}); "
            "update plica"
        )
    if schema != SCHEMA or isinstance(schema, bool):
        raise LatentError(f"{name}: the schema is {schema!r}, but {SCHEMA} was expected; damaged")
    if set(record) != _FIELDS:
        odd = sorted(set(record) ^ _FIELDS)
        raise LatentError(f"{name}: plica's record lacks or adds {', '.join(odd)[:80]}; damaged")
    _check_tensors(container, record, name)
    return container, record


def _check_tensors(container: Container, record: dict[str, Any], name: str) -> None:
    """The tensors are those the record speaks of, and no others."""
    codes = container.tensors.get("codes")
    if codes is None or len(codes.shape) != 4:
        raise LatentError(f"{name} holds no codes of four axes; it is damaged")
    expected = {"codes"} | ({"codes.scale"} if codes.dtype == "I8" else set())
    checker = Checker(name, LatentError)
    trail = checker.of_type(record["trail"], dict, "trail")
    for at, entry in enumerate(checker.of_type(trail.get("records"), list, "trail.records")):
        arrays = checker.of_type(entry, dict, "trail.records").get("arrays", [])
        for key in checker.of_type(arrays, list, "trail.arrays"):
            expected.add(f"trail.{at}.{checker.of_type(key, str, 'trail.arrays')}")
    if set(container.tensors) != expected:
        odd = sorted(set(container.tensors) ^ expected)
        raise LatentError(f"{name} lacks or adds the tensors {', '.join(odd)[:80]}; it is damaged")


def _interpret(record: dict[str, Any], name: str) -> dict[str, Any]:
    """The record as a Latent's arguments, without codes and trail."""
    checker = Checker(name, LatentError)
    if record["kind"] not in _KINDS:
        raise checker.fail("kind", record["kind"], f"one of {', '.join(_KINDS)}")
    factor = checker.of_type(record["factor"], list, "factor")
    if len(factor) != 3 or any(checker.of_type(side, int, "factor") < 1 for side in factor):
        raise checker.fail("factor", factor, "three whole numbers above zero")
    _check_trail(record["trail"], checker)
    return {
        "kind": cast(LatentKind, record["kind"]),
        "codec": _read_codec(record["codec"], checker),
        "prepared": checker.grid(record["prepared"], "prepared"),
        "source": checker.grid(record["source"], "source"),
        "factor": tuple(factor),
        "unit": checker.unit(record["unit"]),
        "display": checker.display(record["display"]),
        "provenance": _read_provenance(record["provenance"], checker),
        "stored": checker.of_type(record["stored"], dict, "stored"),
    }


def _read_codec(value: Any, checker: Checker) -> CodecIdentity:
    record = checker.of_type(value, dict, "codec")
    return CodecIdentity(
        name=checker.of_type(record.get("name"), str, "codec.name"),
        fingerprint=checker.of_type(record.get("fingerprint"), str, "codec.fingerprint"),
        card=checker.of_type(record.get("card"), dict, "codec.card"),
    )


def _read_provenance(value: Any, checker: Checker) -> Provenance:
    record = checker.of_type(value, dict, "provenance")
    if set(record) != set(Provenance().to_json()):
        raise checker.fail("provenance", sorted(record), "the fields of a provenance")
    for key in ("reader", "modality", "series", "content"):
        checker.of_type(record[key], str, f"provenance.{key}")
    for key in ("notes", "steps"):
        for line in checker.of_type(record[key], list, f"provenance.{key}"):
            checker.of_type(line, str, f"provenance.{key}")
    if checker.of_type(record["identity"], dict, "provenance.identity"):
        raise checker.fail(
            "provenance.identity", "(not shown)", "nothing: latents keep no identity"
        )
    return Provenance.from_json(record)


def _check_trail(value: Any, checker: Checker) -> None:
    trail = checker.of_type(value, dict, "trail")
    version = checker.of_type(trail.get("version"), int, "trail.version")
    if version != Trail.VERSION:
        raise checker.fail("trail.version", version, f"version {Trail.VERSION}; update plica")
    for entry in trail["records"]:
        checker.of_type(entry.get("step"), str, "trail.step")
        for key in ("undo", "loss"):
            checker.of_type(entry.get(key, {}), dict, f"trail.{key}")


def _read_codes(
    file: io.BufferedIOBase, container: Container, kind: str, name: str
) -> NDArray[Any]:
    dtype = container.tensors["codes"].dtype
    array = read_tensor(file, container, "codes", name)
    if dtype == "U8":
        return array
    if kind == "bitstream":
        raise LatentError(f"{name} is a bitstream kept as {dtype}; U8 was expected; it is damaged")
    scale = None
    if dtype == "I8":
        if container.tensors["codes.scale"].dtype != "F32":
            raise LatentError(f"{name} keeps its scales in another type than F32; it is damaged")
        scale = read_tensor(file, container, "codes.scale", name)
    return unpack(Packed(dtype, array, scale), name)


def _read_trail(
    file: io.BufferedIOBase, container: Container, trail: Mapping[str, Any], name: str
) -> Trail:
    records = []
    for at, entry in enumerate(trail["records"]):
        arrays = {}
        for key in entry.get("arrays", []):
            tensor = f"trail.{at}.{key}"
            if container.tensors[tensor].dtype == "BF16":
                raise LatentError(f"{name}: {tensor} is bfloat16, which no trail is kept in")
            arrays[key] = read_tensor(file, container, tensor, name)
        records.append(Record(entry["step"], entry.get("undo", {}), entry.get("loss", {}), arrays))
    return Trail(tuple(records))


# -- to an image ---------------------------------------------------------------------------------


def to_image(latent: Latent) -> Image:
    """The codes as an image on their own coarser grid, to be laid over the scan in a viewer.

    Raises:
        LatentError: A bitstream has no places.

    Example:
        >>> to_image(latent).grid.spacing_mm  # doctest: +SKIP
        (2.8, 2.8, 4.0)
    """
    if latent.kind == "bitstream":
        raise LatentError(
            f"the latent of {latent.codec.name} is a stream of bytes, which have no place in the "
            "image; decode it instead"
        )
    return Image(
        np.asarray(latent.codes, np.float32),
        latent.grid,
        unit=Unit.NORMALISED,
        provenance=latent.provenance.after(f"codes of {latent.codec.name} ({latent.kind})"),
    )
