"""Small cohorts of real images: for each source of a recipe the smallest images that fit it."""

import csv
from pathlib import Path

from plica.training.recipe import DEALT, Recipe, Source

# What a recipe without sources of its own is given; volumes for 3D, pictures for 2D.
PLAIN = {
    2: (
        Source("radiographs", {"category": ("cxr",)}),
        Source("mammograms", {"category": ("mammo",), "format": ("JPG",)}),
    ),
    3: (Source("volumes", {"category": ("brain-mri", "head-ct"), "format": ("NIfTI",)}),),
}


def make_cohort(recipe: Recipe, shared: Path, table: Path, *, dims: int) -> Path:
    """A table of a few images: two to train on for each source, and two to judge."""
    with (shared / "data" / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["bytes"] or 0))
    chosen: dict[str, dict[str, str]] = {}
    sources = recipe.data.sources or PLAIN[dims]
    for source in sources:
        fitting = [row for row in rows if fits(row, source)]
        train = [row for row in fitting if row["split"] == recipe.data.train]
        chosen |= {row["path"]: row for row in train[:2]}
    split = recipe.data.validation or DEALT
    judged = [
        row for row in rows if row["split"] == split and any(fits(row, one) for one in sources)
    ]
    chosen |= {row["path"]: row for row in judged[:2]}
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {**row, "path": str(shared / "data" / row["path"])} for row in chosen.values()
        )
    return table


def fits(row: dict[str, str], source: Source) -> bool:
    return all(row[label] in values for label, values in source.where.items())
