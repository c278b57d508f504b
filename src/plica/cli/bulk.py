"""plica bulk: archives into stores of latents; the table of what can be done with them."""

from __future__ import annotations

import typer

from plica.cli.commands import Commands
from plica.registry import Registry

BULK = Registry(
    "bulk command",
    (
        ("encode", "plica.cli.bulk_encode:encode"),
        ("status", "plica.cli.bulk_status:status"),
        ("verify", "plica.cli.bulk_verify:verify"),
        ("decode", "plica.cli.bulk_decode:decode"),
    ),
)


class _Bulk(Commands):
    """The commands of `plica bulk`."""

    table = BULK


app = typer.Typer(
    name="bulk",
    cls=_Bulk,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Encode whole archives into stores of latents: every series exactly once.",
)


@app.callback()
def options() -> None:
    """Options that stand before a command: there are none."""
