"""plica evaluate: judge codecs; the table of what can be judged."""

from __future__ import annotations

from plica.cli.commands import make_group
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

app = make_group(
    "evaluate",
    "Judge codecs: what they keep of images, what that is worth to a task, and what they cost.",
    EVALUATIONS,
    add_completion=False,  # that of `plica` is all there is
)
