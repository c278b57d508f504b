"""Put what `plica demo --json` printed into the README's table.

plica demo --json --out demo-output --radiographs ../shared | python docs/make_readme.py
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parent.parent / "README.md"
COLUMNS = "| image | voxels | codec | fewer values | PSNR dB | MS-SSIM | MAE | seconds |"
RULE = "|---|---|---|---:|---:|---:|---:|---:|"


def make_table(rows: list[dict[str, Any]]) -> str:
    """The rows of the demo as a Markdown table."""
    return "\n".join([COLUMNS, RULE, *(_row(row) for row in rows)])


def _row(row: dict[str, Any]) -> str:
    values = {value["metric"]: value["value"] for value in row["values"]}
    shape = "×".join(str(side) for side in row["shape"] if side > 1)
    cells = (
        row["image"],
        shape,
        f"`{row['codec']}`",
        f"{row['voxels_per_code']:.1f}×",
        f"{values['psnr']:.2f}",
        f"{values['ms-ssim']:.4f}",
        f"{values['mae']:.3g} {row['unit']}",
        f"{row['seconds']:.2f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    table = make_table(json.load(sys.stdin))
    text = README.read_text(encoding="utf-8")
    filled, count = re.subn(
        r"(<!-- demo -->\n).*?(<!-- /demo -->)", rf"\1{table}\n\2", text, flags=re.DOTALL
    )
    if count != 1:
        sys.exit(f"{README} has no place <!-- demo --> … <!-- /demo -->")
    README.write_text(filled, encoding="utf-8")
