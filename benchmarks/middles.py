"""Write the middle 256 × 256 of each patient's axial CT slice, and a table of them, for an audit.

    python benchmarks/middles.py --data DATA --out FOLDER

DATA holds MANIFEST.csv. Of the slices of the NY-SBU collection the axial ones are taken.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

import plica

SIDE = 256
SOURCE, AXIAL = "ny-sbu-2d", "axial"


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with (asked.data / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == SOURCE and AXIAL in row["anatomy"]:
                image = plica.read(asked.data / row["path"])
                start = [(side - SIDE) // 2 for side in image.grid.shape[:2]]
                i, j = (slice(one, one + SIDE) for one in start)
                name = f"{row['group_id'].replace(':', '-')}.nii.gz"
                cut = replace(
                    image,
                    pixels=np.ascontiguousarray(image.pixels[:, i, j]),
                    grid=image.grid.window((*start, 0), (SIDE, SIDE, 1)),
                )
                plica.write(cut, asked.out / name, overwrite=True)
                rows.append({"patient": row["group_id"], "path": name})
    with (asked.out / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("patient", "path"))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} slices")


if __name__ == "__main__":
    main()
