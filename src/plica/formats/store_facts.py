"""A store's own record, store.json: whose latents it holds, and how they are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plica.errors import LatentError, OutputError, UnreadableFile
from plica.formats.codes import STORAGE_TYPES, StorageType
from plica.formats.imprint import Checker, parse_json
from plica.formats.latent_record import read_codec, spell_codec
from plica.latent import CodecIdentity

SCHEMA = 1
FACTS = "store.json"
_FORMAT = "plica store"
_FIELDS = {"schema", "format", "codec", "dtype", "settings"}
_MOST_BYTES = 1 << 22
_SUM = "sha256"


def compose_facts(codec: CodecIdentity, dtype: StorageType, settings: Mapping[str, Any]) -> str:
    """The text of store.json.

    Raises:
        OutputError: There is no such type, or the settings cannot be kept as JSON.
    """
    if dtype not in STORAGE_TYPES:
        raise OutputError(
            f"codes cannot be stored as {dtype!r}; choose one of {', '.join(STORAGE_TYPES)}"
        )
    record = {
        "schema": SCHEMA, "format": _FORMAT, "codec": spell_codec(codec), "dtype": dtype,
        "settings": dict(settings),
    }  # fmt: skip
    try:
        record[_SUM] = _sum(record)
        return json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    except (TypeError, ValueError) as error:
        raise OutputError(f"the store's settings cannot be kept as JSON ({error})") from error


def _sum(record: Mapping[str, Any]) -> str:
    """SHA-256 of what the record says, however it is laid out."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_facts(path: Path) -> tuple[CodecIdentity, StorageType, dict[str, Any]]:
    """What store.json says: the codec, the type of number, the settings.

    Raises:
        UnreadableFile: There is none, or it is another program's.
        LatentError: It is damaged, or of a newer plica.
    """
    if not path.is_file():
        raise _refuse(path, f"it has no {FACTS}")
    what = f"{path.parent.name}/{FACTS}"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise LatentError(f"{what} is larger than {_MOST_BYTES} bytes; it is none of plica's")
        text = path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{what} cannot be read: {error.strerror or error}") from error
    record = parse_json(text, what, LatentError)
    if record.get("format") != _FORMAT:
        raise _refuse(path, f"its {FACTS} is another program's")
    checker = Checker(what, LatentError)
    if (schema := checker.of_type(record.get("schema"), int, "schema")) > SCHEMA:
        raise LatentError(
            f"{what} was written by a newer plica (schema {schema}; this one knows {SCHEMA}); "
            "update plica"
        )
    if schema != SCHEMA:
        raise checker.fail("schema", schema, f"{SCHEMA}")
    said = record.pop(_SUM, None)  # stores written before there was one are read as they are
    if said is not None and said != _sum(record):
        raise LatentError(f"{what} was damaged: it is not the one written; get it again")
    if set(record) != _FIELDS:
        raise checker.fail("fields", sorted(record), ", ".join(sorted(_FIELDS)))
    if record["dtype"] not in STORAGE_TYPES:
        raise checker.fail("dtype", record["dtype"], f"one of {', '.join(STORAGE_TYPES)}")
    return (
        read_codec(record["codec"], checker),
        record["dtype"],
        checker.of_type(record["settings"], dict, "settings"),
    )


def _refuse(path: Path, why: str) -> UnreadableFile:
    return UnreadableFile(
        f"{path.parent} is no store of latents: {why}; give the folder that `plica bulk encode` "
        "was told to write"
    )
