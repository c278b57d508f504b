"""A shard's index: one row per latent, in Parquet, readable a column at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plica.errors import InputError, LatentError, MissingExtra
from plica.formats.imprint import Checker, parse_json
from plica.latent import Latent

if TYPE_CHECKING:
    import pyarrow

SCHEMA = 1
COLUMNS = {
    "key": "string", "source": "string", "source_hash": "string", "series": "string",
    "modality": "string", "codec": "string", "fingerprint": "string", "kind": "string",
    "unit": "string", "shape": "int64[3]", "affine": "double[16]", "spacing_mm": "double[3]",
    "calibrated": "bool", "codes_shape": "int64[4]", "codes_affine": "double[16]",
    "dtype": "string", "losses": "string", "bytes": "int64", "sha256": "string",
    "shard": "string", "status": "string", "seconds": "double",
    "codes_at": "int64", "scale_at": "int64",
}  # fmt: skip
"""What each row says.

key: the series' own, a hash of its identity. source: path within the archive; source_hash: of its
bytes. series, modality: as in the latent's provenance. codec, fingerprint: whose codes they are.
kind, unit, shape, affine (4×4 row by row), spacing_mm, calibrated: of the latent and its source
image. codes_shape, codes_affine: of the codes on their own grid (a bitstream has none). dtype: of
the stored codes. losses: JSON by step. bytes, sha256: of the latent's tensors. shard: where they
lie. status, seconds: of the encoding. codes_at, scale_at: the byte of the shard where the codes and
their int8 scales begin (−1: no scales).
"""

GIVEN = {"source": "", "source_hash": "", "status": "done", "seconds": 0.0}
"""What a writer is told and the latent does not say."""

_MOST_BYTES = 1 << 28
_MOST_ROWS = 1 << 22
_FACTS = b"plica"


@dataclass(frozen=True)
class Facts:
    """What an index says of its shard.

    Args:
        shard: Its name.
        rows: How many latents it holds.
        bytes: Of the shard's file.
        header: SHA-256 of the shard's header.
    """

    shard: str
    rows: int
    bytes: int
    header: str


# -- rows ----------------------------------------------------------------------------------------


def describe(latent: Latent, given: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a latent, but for where it lies.

    Args:
        latent: As it is stored.
        given: What the latent does not say: any of `GIVEN`.

    Raises:
        InputError: Something else is given.
    """
    if unknown := sorted(set(given) - set(GIVEN)):
        raise InputError(
            f"a row of a store's index has no {', '.join(unknown)}; the writer is told: "
            f"{', '.join(GIVEN)}"
        )
    placed = latent.kind != "bitstream"
    stored = {key: value for key, value in latent.stored.items() if key != "dtype"}
    losses = {**latent.trail.losses, **({"stored": stored} if any(stored.values()) else {})}
    return {
        **GIVEN,
        **given,
        "series": latent.provenance.series,
        "modality": latent.provenance.modality,
        "codec": latent.codec.name,
        "fingerprint": latent.codec.fingerprint,
        "kind": latent.kind,
        "unit": latent.unit.value,
        "shape": list(latent.source.shape),
        "affine": latent.source.affine.ravel().tolist(),
        "spacing_mm": list(latent.source.spacing_mm),
        "calibrated": latent.source.calibrated,
        "codes_shape": list(latent.codes.shape),
        "codes_affine": latent.grid.affine.ravel().tolist() if placed else None,
        "dtype": str(latent.stored["dtype"]),
        "losses": json.dumps(losses, ensure_ascii=False, allow_nan=False, default=float),
    }


# -- writing -------------------------------------------------------------------------------------


def write_rows(file: Any, rows: Sequence[Mapping[str, Any]], facts: Facts) -> None:
    """Write an index, with a checksum on each of its pages."""
    arrow, parquet = import_arrow("writing a store of latents")
    said = {
        "schema": SCHEMA, "shard": facts.shard, "rows": facts.rows, "bytes": facts.bytes,
        "header": facts.header,
    }  # fmt: skip
    schema = _schema(arrow).with_metadata({_FACTS: json.dumps(said).encode()})
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    table = arrow.Table.from_pydict(columns, schema=schema)
    parquet.write_table(table, file, compression="zstd", write_page_checksum=True)


def _schema(arrow: Any) -> Any:
    kinds = {
        "string": arrow.string(), "bool": arrow.bool_(), "int64": arrow.int64(),
        "double": arrow.float64(),
    }  # fmt: skip
    fields = []
    for name, spelled in COLUMNS.items():
        word, _, count = spelled.rstrip("]").partition("[")
        kind = arrow.list_(kinds[word], int(count)) if count else kinds[word]
        fields.append(arrow.field(name, kind))
    return arrow.schema(fields)


# -- reading -------------------------------------------------------------------------------------


def read_facts(path: Path) -> Facts:
    """What an index says of its shard; no row is read.

    Raises:
        LatentError: It is none, or damaged.
        MissingExtra: pyarrow is needed.
    """
    with _opened(path) as file:
        return _read_facts(file, path)


def read_rows(path: Path, columns: Sequence[str]) -> pyarrow.Table:
    """Some columns of an index, in their order.

    Raises:
        InputError: There is no such column.
        LatentError: The index is none, or damaged.
        MissingExtra: pyarrow is needed.
    """
    check_columns(columns)
    with _opened(path) as file:
        facts = _read_facts(file, path)
        table = file.read(columns=list(columns), use_threads=False)
        # Whole numbers are looked at as they are used; texts are not, and may be cut amidst.
        table.validate(full=True)
    if table.num_rows != facts.rows:
        raise LatentError(f"the index of shard {path.stem} lost rows; it is damaged")
    return table.select(list(columns))


def no_rows(columns: Sequence[str]) -> pyarrow.Table:
    """Some columns of the index of nothing."""
    arrow, _ = import_arrow("reading a store of latents")
    return _schema(arrow).empty_table().select(list(columns))


def check_columns(columns: Sequence[str]) -> None:
    """Stop at a column the index does not have.

    Raises:
        InputError: There is one.
    """
    if unknown := sorted(set(columns) - set(COLUMNS)):
        raise InputError(
            f"the index has no column {', '.join(unknown)}; there are: {', '.join(COLUMNS)}"
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file whose size and columns are those of an index."""
    arrow, parquet = import_arrow("reading a store of latents")
    what = f"the index of shard {path.stem}"
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise LatentError(f"{what} has {size} bytes, and {_MOST_BYTES} are the limit")
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            facts = file.metadata
            unpacked = sum(facts.row_group(n).total_byte_size for n in range(facts.num_row_groups))
            if unpacked > 4 * _MOST_BYTES or facts.num_rows > _MOST_ROWS:
                raise LatentError(f"{what} unpacks to {unpacked} bytes: beyond any shard's")
            if not file.schema_arrow.equals(_schema(arrow), check_metadata=False):
                raise LatentError(f"{what} has other columns than an index; it is none, or damaged")
            yield file
    except (OSError, ValueError, arrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise LatentError(f"{what} cannot be read ({reason}); it is missing or damaged") from error


def _read_facts(file: Any, path: Path) -> Facts:
    what = f"the index of shard {path.stem}"
    said = (file.schema_arrow.metadata or {}).get(_FACTS)
    if said is None:
        raise LatentError(f"{what} does not name its shard; it is no index, or damaged")
    record = parse_json(said, what, LatentError)
    checker = Checker(what, LatentError)
    if (schema := checker.of_type(record.get("schema"), int, "schema")) > SCHEMA:
        raise LatentError(
            f"{what} was written by a newer plica (schema {schema}; this one knows {SCHEMA}); "
            "update plica"
        )
    if schema != SCHEMA:
        raise checker.fail("schema", schema, f"{SCHEMA}")
    facts = Facts(
        checker.of_type(record.get("shard"), str, "shard"),
        checker.of_type(record.get("rows"), int, "rows"),
        checker.of_type(record.get("bytes"), int, "bytes"),
        checker.of_type(record.get("header"), str, "header"),
    )
    if facts.shard != path.stem or facts.rows != file.metadata.num_rows:
        raise LatentError(
            f"{what} speaks of {facts.rows} rows of shard {facts.shard[:80]} and holds "
            f"{file.metadata.num_rows}; it was renamed or is damaged"
        )
    return facts


def import_arrow(purpose: str) -> tuple[Any, Any]:
    """Import pyarrow and its Parquet.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(purpose, "pyarrow", "tables") from error
    return pyarrow, pyarrow.parquet
