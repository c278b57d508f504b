"""plica inspect: what a latent or an image file holds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from plica.cli import options as o
from plica.cli.console import (
    EXIT_FAILED,
    format_bytes,
    format_shape,
    print_error,
    print_json,
    print_note,
    print_table,
    progress,
    speak_shell,
)
from plica.cli.jobs import count_kind
from plica.cli.listing import Descriptions, find_identity, print_export, survey_dicom
from plica.cli.reading import Reading
from plica.cli.several import list_latents, list_store
from plica.errors import PlicaError
from plica.formats.latents import is_latent, read_header
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.naming import find_format, order_kinds, say_named, say_unsearched
from plica.formats.sniff import ENDINGS, find_ending, identify
from plica.formats.sources import Source, find_named, find_sources
from plica.grid import Grid
from plica.image import Image
from plica.latent import say_settings

_CHECKED_BELOW = 32 << 20
"""Bytes of a latent that are summed in some hundredths of a second."""
FINGERPRINTED = "of the numbers; a codec's card has the SHA-256 of their file"

COLUMNS = ("image", "voxels", "spacing mm", "axes", "unit", "type", "values")
OF_DICOM = ("patient", "mark")
"""Columns more where DICOM is among the images, as in zips."""
Named = tuple[str, ...] | None
"""Kinds of identity that a file has; None where they are not looked for."""
_OF_THE_CODEC = "what the codec itself loses: plica compare, plica card {}"


def inspect(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="A latent, an image, a series or a store; latents; a folder of either.",
            show_default=False,
        ),
    ],
    spacing: o.Spacing = None,
    volume: o.Volume = None,
    series: o.Series = None,
    unit: o.UnitName = None,
    descriptions: Descriptions = False,
    max_bytes: o.MaxBytes = DEFAULT_MAX_BYTES,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check all numbers of a latent, however large it is."),
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Say what a file holds; a latent's header is read without loading its codes or any network.

    Of a folder or zip of several series each is listed, unless one is chosen; and so are latents,
    where several are given, or a folder of them, and a folder's images that are not DICOM. Damage
    to a latent's header is an error, and to the numbers of one below 32 MB; --check looks at
    larger ones, too.

    Exit codes: 0 all is whole; 1 something is damaged, or cannot be read.

    Example: plica inspect ct.latent
    Example: plica inspect latents/
    """  # fmt: skip
    below, file = sys.maxsize if check else _CHECKED_BELOW, files[0]
    if len(files) == 1 and list_store(file, check=check, as_json=as_json):
        return
    code = list_latents(files, check_below=below, as_json=as_json)
    if code is not None:
        raise typer.Exit(code)
    reading = Reading(volume, series, spacing, unit, max_bytes)
    if series is None and volume is None:
        code = _list_folder(file, reading, descriptions=descriptions, as_json=as_json)
        if code is not None:
            raise typer.Exit(code)
    if file.is_file() and is_latent(file):
        header = read_header(file, check_below=below)
        facts, record = _describe_latent(header, file.stat().st_size), header
    else:
        image = reading.read(Source(name=file.name, path=file))
        named = _find_named(file, image, max_bytes)
        facts, record = _describe_image(image), _record_image(image, named)
        reader = image.provenance.reader
        facts["identity"] = say_unsearched(reader) if named is None else say_named(named)
        if descriptions and named is not None:
            record["description"] = _find_description(file, image, max_bytes)
            facts["description"] = record["description"] or "none"
    if as_json:
        print_json(record)
        return
    rows = [(key, str(value)) for key, value in facts.items() if value != ""]
    print_table("", ("fact", file.name), rows)


def _list_folder(file: Path, reading: Reading, *, descriptions: bool, as_json: bool) -> int | None:
    """Say what `plica encode` would find in a folder or zip: its series, and images beside them.

    Returns:
        The exit code; None where it is one image, or none.

    Raises:
        InputError: It is damaged.
    """
    found = survey_dicom(file, descriptions=descriptions, max_bytes=reading.max_bytes)
    if found is None:
        return None
    beside = find_named(file, found.others).sources if file.is_dir() else []
    if not beside and len(found.series) < 2:
        return None
    if not found.series:  # its damaged DICOM files are named, too
        beside = find_sources([file]).sources
    people = list(found.people)
    looked = _look_at(file, beside, reading, people, quiet=as_json)
    failed = [{"file": name, "error": error} for name, error in looked.failed]
    if as_json:
        counted = {"patients": len(people)} if people else {}
        images = {"images": looked.records, "failed": failed, **counted}
        print_json({**(found.to_json() if found.series else {}), **(images if beside else {})})
        return EXIT_FAILED if failed else 0
    if found.series:
        shown = {one.path.relative_to(file).as_posix() for one in beside}
        others = tuple(name for name in found.others if name not in shown)
        print_export(file, replace(found, others=others), descriptions=descriptions)
    if beside:
        _print_images(looked, "other image" if found.series else "image", len(people))
    for line in _say_identity(looked.kinds, looked.unread):
        print_note(line)
    for _, why in looked.failed:
        print_error(why)
    return EXIT_FAILED if failed else 0


def _print_images(looked: _Looked, kind: str, patients: int) -> None:
    """A table of images; where DICOM is among them, whose it is, by the letters of all tables."""
    columns: tuple[str, ...] = (*COLUMNS, *OF_DICOM)
    rows, told = looked.rows, f"Of {count_kind('patient', patients)} in all, by ID and name."
    if not any(row[-1] for row in rows):
        columns, rows, told = COLUMNS, [row[: len(COLUMNS)] for row in rows], ""
    print_table(count_kind(kind, len(rows)), columns, rows, caption=told)


class _Looked(NamedTuple):
    """What came of images: for a table, for machines, what failed, and of which formats."""

    rows: list[tuple[str, ...]]
    records: list[dict[str, Any]]
    failed: list[tuple[str, str]]
    kinds: dict[str, Named]
    unread: set[str]


def _look_at(
    folder: Path, images: list[Source], reading: Reading, people: list[str], *, quiet: bool
) -> _Looked:
    """Read images of a folder one after the other; who is met first is added to the people."""
    rows, records, failed, kinds, unread = looked = _Looked([], [], [], {}, set())
    with progress(quiet=quiet) as bar:
        for source in bar.track(images, description="reading"):
            series = "" if source.number is None else f", series {source.number}"
            name = source.path.relative_to(folder).as_posix() + series
            whose = _name_person(source, people)
            try:
                image = reading.read(source)
                named = _find_named(source.path, image, reading.max_bytes)
            except PlicaError as error:
                failed.append((name, speak_shell(str(error))))
                rows.append((name, *[""] * (len(COLUMNS) - 2), "cannot be read", *whose))
                unread.add(_guess_format(source.path))
                continue
            facts = _describe_image(image)
            spacing = facts["spacing"].removesuffix(" mm")
            told = (facts[key] for key in COLUMNS[3:])
            rows.append((name, facts["voxels"], spacing, *told, *whose))
            person = {"patient": whose[0]} if whose[0] else {}
            records.append({"file": name, **_record_image(image, named), **person})
            reader = image.provenance.reader
            kinds[reader] = None if named is None else (*(kinds.get(reader) or ()), *named)
    return looked


def _name_person(source: Source, people: list[str]) -> tuple[str, str]:
    """A letter for whose DICOM it is, as among the series beside it, and its series' mark."""
    if not source.mark:
        return "", ""
    from plica.formats.dicom_survey import name_patient  # pydicom is there by now

    if source.patient not in people:
        people.append(source.patient)
    return name_patient(people.index(source.patient)), source.mark


def _find_named(file: Path, image: Image, max_bytes: int) -> Named:
    """Which kinds of identity an image's file has; of what is not DICOM nobody looks."""
    if find_format(image.provenance.reader) != "dicom":
        return None  # an empty tuple would say that there is none
    return find_identity(file, image.provenance.series, max_bytes=max_bytes)


def _find_description(file: Path, image: Image, max_bytes: int) -> str:
    """What the DICOM series that was read is called in its own words; "" if it is not."""
    from plica.formats.dicom_survey import survey  # pydicom is there by now

    found = survey(file, descriptions=True, max_bytes=max_bytes)
    mark = image.provenance.series
    return next((one.description for one in found.series if one.mark == mark), "")


def _guess_format(file: Path) -> str:
    """The format of a file that cannot be read, by its first bytes or else its name; "" if none."""
    if file.suffix.lower() == ".zip":
        return "dicom"  # of nothing else are zips read
    try:
        return identify(file)
    except PlicaError:
        return ENDINGS.get(find_ending(file.name), "")


def _say_identity(kinds: Mapping[str, Named], unread: Set[str]) -> list[str]:
    """Of a table's images, a line for each format on the identity in its files.

    Args:
        kinds: What was found in those that were read, by their reader.
        unread: Formats of those that cannot be read, in which names stand as well.
    """
    said = {
        find_format(reader): say_unsearched(reader)
        if named is None
        else say_named(order_kinds(named), "the files name")
        for reader, named in kinds.items()
    }
    said = {form: say_unsearched(form) for form in unread - {"", "dicom"}} | said
    lines = [f"identity in {form} files: {line}" for form, line in sorted(said.items())]
    if named := [{"dicom": "DICOM", "": "other"}[one] for one in ("dicom", "") if one in unread]:
        lines.append(
            f"identity in {' and '.join(named)} files that cannot be read: not looked for; they "
            "may name a patient all the same"
        )
    return lines


def _describe_grid(grid: Grid) -> dict[str, Any]:
    spacing = " × ".join(f"{side:.4g}" for side in grid.spacing_mm)
    return {
        "voxels": format_shape(grid.shape),
        "spacing": f"{spacing} mm" if grid.calibrated else "not known",
        "axes": grid.orientation,
        "first voxel at": "({:.2f}, {:.2f}, {:.2f}) mm, RAS+".format(*grid.origin_mm),
    }


def _describe_image(image: Image) -> dict[str, Any]:
    pixels = image.pixels
    finite = _find_range(image)
    window = image.display
    return {
        **_describe_grid(image.grid),
        "channels": image.channels,
        "unit": image.unit.value,
        "type": str(pixels.dtype),
        "values": "none finite" if finite is None else "{:g} … {:g}".format(*finite),
        "not finite": image.count_nonfinite(),
        "window": "" if window.center is None else (
            f"{window.center:g} ± {(window.width or 0) / 2:g} ({window.function})"),
        "inverted": "yes" if window.inverted else "no",
        "modality": image.provenance.modality,
        "series mark": image.provenance.series,
        "reader": image.provenance.reader,
        "notes": "\n".join(image.provenance.notes),
    }  # fmt: skip


def _record_image(image: Image, named: Named) -> dict[str, Any]:
    """The same facts for machines: numbers as numbers, the affine whole."""
    return {
        "grid": image.grid.to_json(),
        "spacing_mm": list(image.grid.spacing_mm),
        "axes": image.grid.orientation,
        "channels": image.channels,
        "unit": image.unit.value,
        "dtype": str(image.pixels.dtype),
        "range": _find_range(image),
        "not_finite": image.count_nonfinite(),
        "display": image.display.to_json(),
        "provenance": image.provenance.to_json(),
        "identity": None if named is None else list(named),
    }


def _find_range(image: Image) -> tuple[float, float] | None:
    """Lowest and highest of the finite values; None where there are none."""
    import numpy as np

    pixels = image.pixels
    finite = pixels[np.isfinite(pixels)] if image.count_nonfinite() else pixels
    return (finite.min().item(), finite.max().item()) if finite.size else None


def _describe_latent(header: dict[str, Any], size: int) -> dict[str, Any]:
    source, prepared = Grid.from_json(header["source"]), Grid.from_json(header["prepared"])
    codec, provenance = header["codec"], header["provenance"]
    return {
        "codec": codec["name"],
        "weights": f"{codec['fingerprint']} ({FINGERPRINTED})",
        "settings": say_settings(codec["settings"]) if codec.get("settings") else "",
        "kind": header["kind"],
        "codes": f"{header['shape'][0]} on {format_shape(header['shape'][1:])}",
        "kept as": ", ".join(
            f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in header["stored"].items()
        ),
        "file": format_bytes(size),
        **{f"source {key}": value for key, value in _describe_grid(source).items()},
        "prepared": format_shape(prepared.shape),
        "factor": " × ".join(str(side) for side in header["factor"]),
        "unit": header["unit"],
        "trail": " → ".join(record["step"] for record in header["trail"]["records"]),
        "lost in preparation": "; ".join(
            f"{record['step']}: {record['loss']}"
            for record in header["trail"]["records"] if record["loss"]
        ) or f"nothing; {_OF_THE_CODEC.format(codec['name'])}",
        "modality": provenance["modality"],
        "notes": "\n".join(provenance["notes"]),
        "series mark": provenance["series"] or "none",
        "content hash": provenance["content"] or "none",
        "identity": "none",  # a header with any is refused
        "checksums": ", ".join(f"{part} {said}" for part, said in header["checksums"].items()),
        "schema": header["schema"],
    }  # fmt: skip
