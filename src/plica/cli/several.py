"""Several: a folder of latents, or a store, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plica.cli.console import (
    EXIT_FAILED,
    format_bytes,
    format_shape,
    print_error,
    print_json,
    print_note,
    print_table,
)
from plica.cli.reading import refuse_missing
from plica.errors import PlicaError, SettingsError
from plica.formats.latents import is_latent, read_header
from plica.formats.store_facts import FACTS, read_facts
from plica.formats.store_paths import LEDGER, say_paths
from plica.latent import say_settings

ENDING = ".latent"
COLUMNS = ("latent", "codec", "codes", "file", "series mark", "identity", "checksums")


def list_latents(files: Sequence[Path], *, check_below: int, as_json: bool) -> int | None:
    """Say of latents, one by one or in a folder, what they are and whether they are whole.

    Args:
        files: What was given.
        check_below: Bytes of a file up to which its numbers are summed, too.
        as_json: Whether headers are wanted whole, for programs.

    Returns:
        The exit code; None where it is one file, or a folder of something else.

    Raises:
        InputError: Several were given, and one is not there.
        SettingsError: Several were given, and not all of them are latents.
    """
    if len(files) == 1 and not _is_folder_of_latents(files[0]):
        return None
    listed: list[tuple[str, Path]] = []
    for file in files:
        refuse_missing(file)
        if not file.is_dir():
            listed.append((file.name if len(files) == 1 else str(file), file))
            continue
        inside = sorted(file.rglob(f"*{ENDING}"))
        shown = file if len(files) > 1 else Path()
        listed += [(str(shown / one.relative_to(file)), one) for one in inside]
    for name, file in listed:
        if not is_latent(file):
            raise SettingsError(
                f"of several files, latents alone are listed, and {name} is none: give it by itself"
            )
    return _tell(listed, check_below, as_json)


def list_store(folder: Path, *, check: bool, as_json: bool) -> bool:
    """Say what a store is, and which commands look into it; False where it is none.

    Raises:
        InputError: It is damaged, or of a newer plica.
        SettingsError: Its latents were to be checked, which another command does.
    """
    if not (folder / FACTS).is_file():
        return False
    codec, dtype, settings = read_facts(folder / FACTS)
    if check:
        raise SettingsError(
            f"{folder.name} is a store: `plica bulk verify {folder}` checks its latents; leave "
            "--check out"
        )
    shards = sum(1 for _ in (folder / "shards").glob("*.safetensors"))
    paths = say_paths(folder, settings)
    if as_json:
        print_json({"store": folder.name, "codec": codec.name, "fingerprint": codec.fingerprint,
                    "dtype": dtype, "shards": shards, "paths": paths,
                    **({"settings": dict(codec.settings)} if codec.settings else {})})  # fmt: skip
        return True
    facts = [("a store of latents of", codec.name), ("weights", codec.fingerprint),
             *([("settings", say_settings(codec.settings))] if codec.settings else []),
             ("kept as", dtype), ("shards", str(shards)),
             ("paths, which may name patients", f"in {paths}" if paths else "none")]  # fmt: skip
    print_table("", ("fact", folder.name), facts)
    asked = f"`plica bulk verify {folder}` counts its latents and checks each"
    if (folder / LEDGER).is_file():  # without it there is nothing that could say
        asked = f"`plica bulk status {folder}` says what became of its series, {asked}"
    print_note(asked)
    return True


def _is_folder_of_latents(path: Path) -> bool:
    """Whether there are latents below it, and no DICOM series, which would be listed instead."""
    if not path.is_dir() or next(path.rglob(f"*{ENDING}"), None) is None:
        return False
    from plica.formats.dicom_inside import look_inside

    return not look_inside(path).scan.series


def _tell(listed: Sequence[tuple[str, Path]], check_below: int, as_json: bool) -> int:
    """The table or the records; what is damaged on stderr, too."""
    headers: list[tuple[str, dict[str, Any]]] = []
    damaged: list[tuple[str, str]] = []
    for name, file in listed:
        try:
            headers.append((name, read_header(file, check_below=check_below)))
        except PlicaError as error:
            damaged.append((name, str(error)))
    if as_json:
        print_json({
            "latents": [{"file": name, **header} for name, header in headers],
            "damaged": [{"file": name, "error": error} for name, error in damaged],
        })  # fmt: skip
    else:
        rows = [_row(name, header) for name, header in headers]
        rows += [(name, "", "", "", "", "", "damaged") for name, _ in damaged]
        print_table(_title(len(headers), len(damaged)), COLUMNS, rows)
        for _, why in damaged:
            print_error(why)
    return EXIT_FAILED if damaged else 0


def _title(whole: int, damaged: int) -> str:
    count = whole + damaged
    said = f"{count} latent{'s' if count != 1 else ''}"
    return f"{said}, {damaged} damaged" if damaged else said


def _row(name: str, header: dict[str, Any]) -> tuple[str, ...]:
    shape = header["shape"]
    return (
        name,
        header["codec"]["name"],
        f"{shape[0]} on {format_shape(shape[1:])}",
        format_bytes(header["bytes"]),
        header["provenance"]["series"] or "none",
        "none",  # a header with any is refused
        ", ".join(f"{part} {said}" for part, said in header["checksums"].items()),
    )
