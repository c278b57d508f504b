"""Encode a study: every series of a folder, zip or DICOMDIR, and what was lost of each.

    python examples/encode_study.py study/ latents/

`plica encode` does the same and more (progress, --resume, --json); this is how a program of your
own does it. What cannot be read is said with its reason, and the rest is done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import plica
from plica.codecs.catalogue import default_name
from plica.formats.sources import Source, find_sources


def encode(source: Source, out: Path, codec_name: str | None) -> str:
    """Write one series' latent; a line that says what it is and how far decoding is off."""
    image = plica.read(source.path, series=source.series, volume=source.volume)
    codec = plica.load(codec_name or default_name(image))
    latent = codec.encode(image)
    target = out / f"{source.name}.latent"
    target.parent.mkdir(parents=True, exist_ok=True)
    plica.write(latent, target)

    decoded = codec.decode(plica.read_latent(target))
    assert decoded.grid.agrees_with(image.grid)  # it would have been refused otherwise
    off = np.abs(decoded.pixels.astype(float) - image.pixels.astype(float)).mean()
    sides = "×".join(str(side) for side in image.grid.shape)
    fewer = image.pixels.size / latent.codes.size
    return f"{target}: {sides}, {fewer:.0f}× fewer values, {off:.3g} {image.unit.value} off"


def main(words: list[str] | None = None) -> int:
    """Encode all there is; the number of series that could not be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="a folder, a zip, a DICOMDIR or a file")
    parser.add_argument("out", type=Path, help="folder of the latents")
    parser.add_argument("--codec", help="compact-4x3-2d or compact-4x1-3d if left out")
    asked = parser.parse_args(words)
    found = find_sources([asked.study])
    for skipped in found.skipped:
        print(f"left out: {skipped.path.name}: {skipped.reason}", file=sys.stderr)
    failed = 0
    for source in found.sources:
        try:
            print(encode(source, asked.out, asked.codec))
        except plica.PlicaError as error:
            failed += 1
            print(f"failed: {source.name}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
