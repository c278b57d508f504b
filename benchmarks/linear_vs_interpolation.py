"""How much the linear codecs keep that interpolation loses, on radiographs neither was fitted on.

    python benchmarks/linear_vs_interpolation.py --data DATA [--write]

DATA holds MANIFEST.csv; --write puts the table into docs/quality.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pages import DOCS, put_section
from torch import Tensor
from torch.nn import functional

import plica.codecs.catalogue as catalogue
from plica.codecs.linear_fitting import see
from plica.codecs.networkcodec import NetworkCodec
from plica.cohort import Cohort
from plica.formats.doors import read

PAGE = DOCS / "quality.md"
MARK = "linear against interpolation"
# One file per picture: the hip radiographs are there as DICOM, too, compressed once more.
SOURCES = {"chest": "hannover-covid19", "mammo": "cdd-cesm", "hip": "jordan-ddh"}
PICTURES = ("PNG", "JPG")

Reconstruct = Callable[[Tensor], Tensor]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One way to fold and unfold.

    Args:
        name: For the table.
        pixels_per_number: Pixels of the image for each number of the latent.
        reconstruct: (1, 1, row, column) to the same shape.
        better_than: The rows it is compared with, image by image: bicubic with antialiasing and
            without.
    """

    name: str
    pixels_per_number: float
    reconstruct: Reconstruct
    better_than: tuple[str, str] | None = None


def codec_row(name: str, *, repeated: int = 1, better_than: tuple[str, str] | None = None) -> Row:
    """A codec of the table; `repeated` is in how many equal channels its latent is kept."""
    codec = catalogue.load(name, device="cpu")
    assert isinstance(codec, NetworkCodec)  # both families are
    network, card = codec.network, codec.card

    def reconstruct(x: Tensor) -> Tensor:
        rows, columns = x.shape[2:]
        far = (0, -columns % card.factor, 0, -rows % card.factor)
        padded = functional.pad(x, far, mode="replicate")
        return network.decode(network.encode(padded))[..., :rows, :columns]

    label = name if repeated == 1 else f"{name}, grey in {repeated} channels"
    return Row(label, card.total_factor / card.channels / repeated, reconstruct, better_than)


def resized_row(name: str, factor: float, *, antialias: bool) -> Row:
    """PyTorch's bicubic interpolation by any factor."""

    def reconstruct(x: Tensor) -> Tensor:
        small = [max(1, round(side / factor)) for side in x.shape[2:]]
        z = functional.interpolate(x, size=small, mode="bicubic", antialias=antialias)
        return functional.interpolate(z, size=x.shape[2:], mode="bicubic", antialias=antialias)

    return Row(name, factor**2, reconstruct)


def make_rows() -> list[Row]:
    """Rows in groups of one factor and one number of channels."""
    rows = []
    for factor in (4, 8):
        for kernel in ("nearest", "area", "bilinear", "bicubic", "lanczos"):
            rows.append(codec_row(f"{kernel}-{factor}x-2d"))
        plain = f"bicubic {factor}x without antialiasing"
        rows.append(resized_row(plain, factor, antialias=False))
        rows.append(
            codec_row(f"linear-{factor}x1-2d", better_than=(f"bicubic-{factor}x-2d", plain))
        )
        channels = {4: 3, 8: 4}[factor]
        replicated = codec_row(f"bicubic-{factor}x-2d", repeated=channels)
        same = factor / math.sqrt(channels)
        rows += [
            replicated,
            resized_row(f"bicubic {same:.2f}x, as many numbers", same, antialias=True),
            codec_row(f"linear-{factor}x{channels}-2d", better_than=(replicated.name, plain)),
        ]
    return rows


def read_radiographs(data: Path) -> Iterator[tuple[str, Array]]:
    """The dev-test radiographs with their source, in [−1, 1]."""
    cohort = Cohort.from_manifest(data / "MANIFEST.csv").of_split("dev-test")
    for name, source in SOURCES.items():
        for case in cohort.where(source=source, format=PICTURES):
            for array in see(read(case.path), 2):
                yield name, np.array(array)  # PyTorch wants memory it may write to


@torch.inference_mode()
def measure(row: Row, radiographs: list[tuple[str, Array]]) -> dict[str, NDArray[np.float64]]:
    """PSNR in dB of each image, by source; the data range is 2 (255 in eight bits)."""
    found: dict[str, list[float]] = {}
    for name, array in radiographs:
        x = torch.from_numpy(array)[None, None]
        error = row.reconstruct(x).clamp(-1, 1) - x
        mse = float(error.double().square().mean())
        found.setdefault(name, []).append(10 * math.log10(4 / mse))
    return {name: np.array(values) for name, values in found.items()}


def make_table(rows: list[Row], radiographs: list[tuple[str, Array]]) -> str:
    """The table in Markdown, with the gain of the rows that are compared."""
    results = {row.name: measure(row, radiographs) for row in rows}
    counts = [f"{name} (n = {len(values)})" for name, values in results[rows[0].name].items()]
    head = [
        "codec",
        "pixels per number",
        *counts,
        "all images",
        "gain on bicubic",
        "on bicubic without antialiasing",
    ]
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)])]
    for row in rows:
        own = results[row.name]
        cells = [f"{values.mean():.2f} ± {values.std(ddof=1):.2f}" for values in own.values()]
        everything = np.concatenate(list(own.values()))
        others = [results[name] for name in row.better_than or ()]
        gains = [_describe_gain(own, other) for other in others] or ["", ""]
        bold = "**" if row.better_than else ""
        head = [f"{bold}{row.name}{bold}", f"{row.pixels_per_number:.4g}"]
        lines.append(" | ".join([*head, *cells, f"{everything.mean():.2f}", *gains]))
    return "\n".join(f"| {line} |" for line in lines)


def _describe_gain(
    own: dict[str, NDArray[np.float64]], other: dict[str, NDArray[np.float64]]
) -> str:
    gains = {name: own[name] - other[name] for name in own}
    parts = [f"{name} {gain.mean():+.2f}" for name, gain in gains.items()]
    everything = np.concatenate(list(gains.values()))
    return f"{', '.join(parts)}; all {everything.mean():+.2f} ± {everything.std(ddof=1):.2f}"


INTRODUCTION = """\
PSNR in dB of radiographs that nothing was fitted on (mean ± standard deviation over images; data
range 255 on eight bits; no rounding in between). *Pixels per number* is how many pixels stand
behind one number of the latent: codecs are comparable where it is equal. "Grey in 3 channels" is
how a model with three input channels takes a grey image: three equal latents, no better than one.
"Without antialiasing" is what `torch.nn.functional.interpolate(mode="bicubic")` does by default.
Gains are means of differences, image by image.
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.csv")
    parser.add_argument("--write", action="store_true", help="put the table into docs/quality.md")
    asked = parser.parse_args()
    table = make_table(make_rows(), list(read_radiographs(asked.data)))
    sys.stdout.write(table + "\n")
    if asked.write:
        put_section(PAGE, MARK, f"{INTRODUCTION}\n{table}")


if __name__ == "__main__":
    main()
