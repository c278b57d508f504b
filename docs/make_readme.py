"""Put what `plica demo --json` printed into the README's table.

plica demo --json --out demo-output --radiographs ../shared | python docs/make_readme.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from parts import fill, keep, tabulate

README = Path(__file__).resolve().parent.parent / "README.md"
COLUMNS = (
    "image", "voxels", "codec", "fewer values", "PSNR dB", "MS-SSIM", "MAE", "seconds",
)  # fmt: skip


def make_table(rows: list[dict[str, Any]]) -> str:
    """The rows of the demo as a Markdown table."""
    return tabulate(COLUMNS, map(_row, rows), "lllrrrrr")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    values = {value["metric"]: value["value"] for value in row["values"]}
    shape = "×".join(str(side) for side in row["shape"] if side > 1)
    return (
        row["image"],
        shape,
        f"`{row['codec']}`",
        f"{row['voxels_per_code']:.1f}×",
        f"{values['psnr']:.2f}",
        f"{values['ms-ssim']:.4f}",
        f"{values['mae']:.3g} {row['unit']}",
        f"{row['seconds']:.2f}",
    )


if __name__ == "__main__":
    keep(README, fill(README, {"demo": make_table(json.load(sys.stdin))}), check=False)
