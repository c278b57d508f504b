"""A latent's record and tensors, composed and parsed alike for files of one and shards of many.

The record is JSON (schema 1): codec, kind, grids, factor, trail, unit, display, provenance without
identity, and how the codes are stored. Tensors: `codes`; `codes.scale` for int8;
`trail.<record>.<name>` for what the way back needs in arrays.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from plica.errors import LatentError, OutputError, PlicaError
from plica.formats.codes import STORAGE_TYPES, Packed, StorageType, measure_loss, pack, unpack
from plica.formats.imprint import Checker, parse_json
from plica.formats.limits import DEFAULT_MAX_BYTES, check_size
from plica.formats.tensors import Container, check_data, name_dtype, read_tensor
from plica.formats.terms import known_modality
from plica.image import Provenance
from plica.latent import (
    MOST_OF_SETTING,
    MOST_SETTINGS,
    CodecIdentity,
    Latent,
    LatentKind,
    Record,
    Trail,
)

SCHEMA = 1
APART = 2
"""The schema of a record in a shard whose codec stands beside it, once for all of the shard."""
CODEC = "codec"
"""The key of a shard's codec among its header's metadata."""
RECORD = "plica"
"""The key of a record among a header's metadata."""

_KINDS = ("raw", "projected", "bitstream")
_FIELDS = {
    "schema", "kind", "codec", "prepared", "source", "factor", "trail", "unit", "display",
    "provenance", "stored",
}  # fmt: skip


# -- composing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Composed:
    """A latent as it will stand on disk.

    Args:
        seen: The latent as a reader will see it: without identity, its codes after rounding.
        tensors: (safetensors' type, array) by name.
        record: The JSON text.
    """

    seen: Latent
    tensors: Mapping[str, tuple[str, NDArray[Any]]]
    record: str


def compose(latent: Latent, dtype: StorageType, *, codec_apart: bool = False) -> Composed:
    """What is to be written of a latent.

    Args:
        latent: Whose.
        dtype: How its codes are stored.
        codec_apart: Whether its codec, of which the card is long, is left to the shard's header.

    Raises:
        OutputError: There is no such type, or the codes do not fit it.
        LatentError: A record of the trail cannot be kept as JSON.

    Examples:
        >>> composed = compose(latent, "float16")
        >>> sorted(composed.tensors)
        ['codes']
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
    return Composed(seen, tensors, _compose_record(seen, codec_apart))


def _store(latent: Latent, dtype: StorageType) -> tuple[Latent, Packed]:
    """The latent as it will be read, and its codes as they will stand in the file."""
    known = known_modality(latent.provenance.modality)
    bare = replace(latent, provenance=replace(latent.provenance, modality=known, identity={}))
    if latent.codes.dtype == np.uint8:
        exact = {"dtype": "uint8", **measure_loss(np.zeros(0, np.float32), np.zeros(0, np.float32))}
        return replace(bare, stored=exact), Packed("U8", latent.codes)
    codes = np.asarray(latent.codes, np.float32)
    packed = pack(codes, dtype)
    restored = unpack(packed, "the latent")
    stored = {"dtype": dtype, **measure_loss(codes, restored)}
    return replace(bare, codes=restored, stored=stored), packed


def _compose_record(latent: Latent, codec_apart: bool) -> str:
    record = {
        "schema": APART if codec_apart else SCHEMA,
        "kind": latent.kind,
        **({} if codec_apart else {"codec": spell_codec(latent.codec)}),
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
    return _dump(record)


def compose_codec(codec: CodecIdentity) -> str:
    """The text of a codec that stands once for many latents.

    Raises:
        LatentError: Its card cannot be kept as JSON.
    """
    return _dump(spell_codec(codec))


def spell_codec(codec: CodecIdentity) -> dict[str, Any]:
    """Which codec it was, as records say it; its settings only where there are some.

    Args:
        codec: Whose.

    Examples:
        >>> sorted(spell_codec(latent.codec))
        ['card', 'fingerprint', 'name']
    """
    record = {"name": codec.name, "fingerprint": codec.fingerprint, "card": dict(codec.card)}
    return {**record, "settings": dict(codec.settings)} if codec.settings else record


def _dump(record: Mapping[str, Any]) -> str:
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


# -- parsing -------------------------------------------------------------------------------------


def parse_record(container: Container, name: str) -> dict[str, Any]:
    """The record in a header, its fields and the tensors it speaks of checked.

    Args:
        container: The header of a file, or the part of a shard's that is one latent's.
        name: For messages.

    Raises:
        LatentError: There is none, it is damaged, or was written by a newer plica.
    """
    if RECORD not in container.metadata:
        raise LatentError(
            f"{name} is a safetensors file without plica's record: weights, or another program's"
        )
    record = parse_json(container.metadata[RECORD], f"{name}: plica's record", LatentError)
    schema = record.get("schema")
    beside = container.metadata.get(CODEC)
    known = SCHEMA if beside is None else APART
    if isinstance(schema, int) and schema > known:
        raise LatentError(
            f"{name} was written by a newer plica (schema {schema}; this one knows {known}); "
            "update plica"
        )
    if beside is not None and schema == APART:
        record.setdefault("codec", parse_json(beside, f"{name}: the shard's codec", LatentError))
    elif schema != SCHEMA or isinstance(schema, bool):
        raise LatentError(f"{name}: the schema is {schema!r}, but {SCHEMA} was expected; damaged")
    if set(record) != _FIELDS:
        odd = sorted(set(record) ^ _FIELDS)
        raise LatentError(f"{name}: plica's record lacks or adds {', '.join(odd)[:80]}; damaged")
    _check_tensors(container, record, name)
    return record


def parse(
    file: io.BufferedIOBase, container: Container, name: str, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> Latent:
    """The latent a container holds; its bytes are checked against their checksum.

    Raises:
        LatentError: It is damaged, or was written by a newer plica.
        TooLarge: Past the limit.
    """
    record = parse_record(container, name)
    size = sum(tensor.end - tensor.start for tensor in container.tensors.values())
    check_size(name, 4 * size, max_bytes)  # int8 codes become four bytes each
    facts = interpret(record, name)
    check_data(file, container, name)
    codes = _read_codes(file, container, facts["kind"], name)
    trail = _read_trail(file, container, record["trail"], name)
    try:
        return Latent(codes=codes, trail=trail, **facts)
    except PlicaError as error:
        raise LatentError(f"{name}: {error}") from error


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


def interpret(record: dict[str, Any], name: str) -> dict[str, Any]:
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
        "codec": read_codec(record["codec"], checker),
        "prepared": checker.grid(record["prepared"], "prepared"),
        "source": checker.grid(record["source"], "source"),
        "factor": tuple(factor),
        "unit": checker.unit(record["unit"]),
        "display": checker.display(record["display"]),
        "provenance": _read_provenance(record["provenance"], checker),
        "stored": checker.of_type(record["stored"], dict, "stored"),
    }


def read_codec(value: Any, checker: Checker) -> CodecIdentity:
    """Which codec a record says; each fact of it checked.

    Args:
        value: What `spell_codec` made, or a stranger did.
        checker: Says what is wrong.

    Raises:
        PlicaError: The checker's: it is damaged.

    Examples:
        >>> from plica.formats.imprint import Checker
        >>> read_codec(spell_codec(latent.codec), Checker("it", LatentError)) == latent.codec
        True
    """
    record = checker.of_type(value, dict, "codec")
    return CodecIdentity(
        name=checker.of_type(record.get("name"), str, "codec.name"),
        fingerprint=checker.of_type(record.get("fingerprint"), str, "codec.fingerprint"),
        card=checker.of_type(record.get("card"), dict, "codec.card"),
        settings=_read_settings(record.get("settings", {}), checker),
    )


def _read_settings(value: Any, checker: Checker) -> dict[str, Any]:
    """A few truths, numbers and words by name: they are handed to whoever builds the codec."""
    settings = checker.of_type(value, dict, "codec.settings")
    if len(settings) > MOST_SETTINGS:
        raise checker.fail("codec.settings", len(settings), f"at most {MOST_SETTINGS}")
    for name, one in settings.items():
        if not name.isidentifier() or len(name) > MOST_OF_SETTING:
            raise checker.fail("codec.settings", name[:MOST_OF_SETTING], "names of settings")
        if not isinstance(one, bool | int | float | str) or len(str(one)) > MOST_OF_SETTING:
            raise checker.fail(
                f"codec.settings.{name}", type(one).__name__, "a truth, number or short word"
            )
    return dict(settings)


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
