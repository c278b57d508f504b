"""The test of the hallucination score: what it accuses and what it does not, on real pictures.

    python benchmarks/faithfulness_selftest.py --data DATA [--limit N] [--write]

DATA holds MANIFEST.csv. Every picture and single slice of the split dev-test is judged, whole, at
factors 4 and 8. Equal pixels count once; files that are kept for their format, or because they are
broken, are left out. --write puts the table into docs/faithfulness.md.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pages import DOCS, put_section
from scipy.ndimage import gaussian_filter, median_filter, uniform_filter

from plica.codecs.catalogue import load
from plica.codecs.codec import Codec
from plica.cohort import Case, Cohort
from plica.errors import PlicaError
from plica.evaluation.accusation import Verdict, try_judge
from plica.evaluation.fields import to_field, to_values
from plica.evaluation.hallucination import ACCUSED, Judge
from plica.evaluation.text import say_origin
from plica.formats.doors import read
from plica.image import Image

PAGE = DOCS / "faithfulness.md"
MARK = "self-test"
FACTORS = (4, 8)
FOR_THEIR_FORMAT = ("odd-formats", "bad-input")
NONE = "none"
Real = NDArray[np.float64]


@dataclass
class Tally:
    """What came of one way to lose, over pictures and factors.

    Args:
        makes: The structure it is known to make.
        scores: The highest score on each image.
    """

    makes: str
    scores: list[float] = field(default_factory=list)


@dataclass
class Found:
    """Everything that is printed.

    Args:
        verdicts: Of the self-test, for each image and factor.
        shares: The limit of each as a share of the image's range.
        tallies: By name of the loss.
        patients: Whose images they are.
        left: Images that could not be judged.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    patients: list[str] = field(default_factory=list)
    left: int = 0


def list_losses(image: Image, factor: int) -> Iterator[tuple[str, str, Callable[[], Real]]]:
    """Name, the structure it is known to make, and how to do it."""
    values = to_values(image)

    def fold(kernel: str) -> Real:
        codec = load_kernel(f"{kernel}-{factor}x-2d")
        return to_values(codec.decode(codec.encode(image)))

    def blur(share: float) -> Real:
        width = share * factor
        return np.asarray(gaussian_filter(values, (width, width, 0)), np.float64)

    for share in (0.3, 0.6):  # of a cell; the score's own blurs are 0.2, 0.4 and 0.8 of it
        yield f"Gaussian blur, σ {share} cells", NONE, partial(blur, share)
    side = (factor // 2 + 1, factor // 2 + 1, 1)
    yield "means of half a cell, running", NONE, lambda: uniform_filter(values, side)
    yield "medians of half a cell, running", "rounded corners", lambda: median_filter(values, side)
    yield "bilinear, antialiased", NONE, lambda: fold("bilinear")
    yield "Lanczos", "ringing", lambda: fold("lanczos")
    yield "block means", "blocks", lambda: fold("area")
    yield "nearest neighbour", "blocks, aliasing", lambda: fold("nearest")


@cache
def load_kernel(name: str) -> Codec:
    """A resampling codec, once."""
    return load(name, device="cpu")


def list_pictures(data: Path) -> Iterator[tuple[Case, Image]]:
    """Pictures and single slices of dev-test, each once."""
    seen: set[bytes] = set()
    for case in Cohort.from_manifest(data / "MANIFEST.csv").of_split("dev-test").cases:
        if case.labels["category"] in FOR_THEIR_FORMAT:
            continue
        try:
            image = read(case.path)
        except PlicaError as error:  # series that are no volume, mostly
            print(f"{case.path.name} is left out: {error}", file=sys.stderr)
            continue
        mark = hashlib.sha256(np.ascontiguousarray(image.pixels, np.float64).tobytes()).digest()
        if not image.is_volume and mark not in seen:
            seen.add(mark)
            yield case, image


def judge(case: Case, image: Image, factor: int, found: Found) -> None:
    """One image at one factor."""
    source = to_field(image)
    one = Judge(source, (factor, factor, 1))
    verdict = try_judge(one)
    lost = [(name, makes, lose()) for name, makes, lose in list_losses(image, factor)]
    found.verdicts.append(verdict)
    found.shares.append(verdict.limit / source.span)
    found.patients.append(case.patient)
    for name, makes, decoded in lost:
        found.tallies.setdefault(name, Tally(makes)).scores.append(one.judge(decoded).peak)


def write_text(found: Found) -> str:
    """The tables."""
    verdicts, n = found.verdicts, len(found.verdicts)
    images = say_origin(n // len(FACTORS), len(set(found.patients)))
    bicubic = [v.bicubic_peak for v in verdicts]
    fakes = [v.score for v in verdicts]
    lines = [
        f"{images}, each at factors 4 and 8: {n} trials; {found.left} could not be made.",
        "",
        "| decoded by | structure it makes | accused | lowest score | median | highest |",
        "|---|---|---:|---:|---:|---:|",
        _row("bicubic, antialiased: the allowance itself", NONE, bicubic),
        *(_row(name, tally.makes, tally.scores) for name, tally in found.tallies.items()),
        _row("bicubic, the fake pasted in", "the fake", fakes),
        "",
        f"The fake was found, and nothing but it accused, in {sum(v.found for v in verdicts)} of "
        f"{n}. The faintest fake that would have been found at the same place (`limit`) has "
        f"{_say(found.shares)} of the image's range.",
    ]
    return "\n".join(lines)


def _row(name: str, makes: str, scores: list[float]) -> str:
    accused = sum(score > ACCUSED for score in scores)
    numbers = (min(scores), float(np.median(scores)), max(scores))
    cells = " | ".join(f"{number:.2f}" for number in numbers)
    return f"| {name} | {makes} | {accused} of {len(scores)} | {cells} |"


def _say(shares: list[float]) -> str:
    low, middle, high = (100 * float(np.quantile(shares, q)) for q in (0, 0.5, 1))
    return f"{middle:.1f} % (median; least {low:.1f} %, most {high:.1f} %)"


def main() -> None:
    """Judge all pictures and print, or write, what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None, help="so many pictures, evenly drawn")
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    args = parser.parse_args()
    pictures = list(list_pictures(args.data))
    if args.limit is not None and args.limit < len(pictures):
        places = np.linspace(0, len(pictures) - 1, args.limit).round().astype(int)
        pictures = [pictures[place] for place in places]
    found = Found()
    for n, (case, image) in enumerate(pictures, 1):
        for factor in FACTORS:
            try:
                judge(case, image, factor, found)
            except PlicaError as error:
                found.left += 1
                print(f"{case.path.name}, factor {factor}: {error}", file=sys.stderr)
        print(f"{n} of {len(pictures)}", file=sys.stderr, flush=True)
    text = write_text(found)
    print(text)
    if args.write:
        put_section(PAGE, MARK, text)


if __name__ == "__main__":
    main()
