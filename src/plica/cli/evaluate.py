"""plica evaluate: judge codecs; the table of what can be judged."""

from __future__ import annotations

import typer

from plica.cli.commands import Commands
from plica.registry import Registry

EVALUATIONS = Registry(
    "evaluation",
    (
        ("reconstruction", "plica.cli.evaluate_reconstruction:reconstruction"),
        ("protocols", "plica.cli.evaluate_protocols:protocols"),
        ("probe", "plica.cli.evaluate_probe:probe"),
        ("faithfulness", "plica.cli.evaluate_faithfulness:faithfulness"),
        ("distribution", "plica.cli.evaluate_distribution:distribution"),
        ("segmentation", "plica.cli.evaluate_segmentation:segmentation"),
        ("efficiency", "plica.cli.evaluate_efficiency:efficiency"),
        ("compare", "plica.cli.evaluate_compare:compare_reports"),
    ),
)


class _Evaluations(Commands):
    """The commands of `plica evaluate`."""

    table = EVALUATIONS


app = typer.Typer(
    name="evaluate",
    cls=_Evaluations,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Judge codecs: what they keep of images, what that is worth to a task, and what they cost."
    ),
)


@app.callback()
def options() -> None:
    """Options that stand before an evaluation: there are none."""
