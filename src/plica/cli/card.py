"""plica card: the model card of a codec."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from plica.cli import completing
from plica.cli import options as o
from plica.cli.console import print_note
from plica.codecs.catalogue import CODECS, STITCHED, find_offer
from plica.codecs.directory import WEIGHTS
from plica.codecs.hub import HUB, fetch_codec
from plica.codecs.modelcard import write_model_card
from plica.formats.atomic import new_file


def card(
    codec: Annotated[
        str,
        typer.Argument(
            help="A codec's name, the folder of one, or hub:owner/name@revision.",
            show_default=False,
            autocompletion=completing.codecs,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write it here, such as README.md.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Print the model card of a codec as Markdown: data, licence, metrics, limits.

    Example: plica card compact-4x3-2d
    """
    offered = find_offer(codec)
    inner = codec.removeprefix(STITCHED)
    folder = fetch_codec(inner) if inner.startswith(HUB) else Path(inner)
    own = folder / WEIGHTS if inner not in CODECS else None
    sha256 = _hash(own) if own is not None and own.is_file() else ""
    text = write_model_card(offered.card, sha256=sha256)
    if out is None:
        sys.stdout.write(text)
        return
    with new_file(out, overwrite=overwrite) as file:
        file.write(text.encode())
    print_note(f"{out} written")


def _hash(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
