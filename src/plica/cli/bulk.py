"""plica bulk: archives into stores of latents; the table of what can be done with them."""

from __future__ import annotations

from plica.cli.commands import make_group
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

app = make_group(
    "bulk",
    "Encode whole archives into stores of latents: every series exactly once.",
    BULK,
    add_completion=False,  # that of `plica` is all there is
)
