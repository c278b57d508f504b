"""The hallucination score put to the test: a planted fake must be found, plain bicubic acquitted.

Published scores count pixels whose error is larger than some multiple of a reference's error. A
faithful but blurred image is then full of "hallucination" along its edges, and a small fake lesion
is a few pixels. Two truths are therefore asked of ours on every image it judges:

    acquitted   bicubic resampling, which cannot invent, has no accused place
    found       a disc or sphere three cells wide, pasted into a decoded image where it is quiet,
                scores above `ACCUSED`, and at least nine tenths of the voxels that are accused for
                its sake lie within three cells of it. Its contrast is 100 HU, or a tenth of the
                image's range, or five times the RMS of what interpolation loses there, whichever
                is most

Since the unexplained part is linear in the decoded image, the faintest fake that would have been
found at that place is known too: its `limit`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.evaluation.degradation import interpolate_bicubic
from plica.evaluation.fields import Field, Real, Triple, blur
from plica.evaluation.hallucination import ACCUSED, Judge
from plica.evaluation.lesions import draw_ball
from plica.image import Unit

CONTRAST_HU, CONTRAST_SHARE = 100.0, 0.10
CONSPICUOUS = 5.0  # times what interpolation loses at the place: a fake that no noise hides
CELLS = 3.0  # diameter of the fake, in cells
QUIET = 0.25  # share of places, those where interpolation loses least, of which one is drawn
LOCALISED = 0.9


@dataclass(frozen=True)
class Verdict:
    """What came of the two truths on one image.

    Args:
        bicubic_peak: The highest score of the source resampled by bicubic interpolation.
        bicubic_places: How many of its places are accused.
        contrast: Of the fake, in the image's unit.
        diameter: Of the fake, in voxels.
        at: Its middle voxel.
        score: The highest score on it.
        localised: The share of the voxels accused for its sake that lie within three cells of it.
        limit: The contrast from which on it would have been accused there.
    """

    bicubic_peak: float
    bicubic_places: int
    contrast: float
    diameter: float
    at: Triple
    score: float
    localised: float
    limit: float

    @property
    def acquitted(self) -> bool:
        """Whether bicubic interpolation is not accused."""
        return self.bicubic_places == 0

    @property
    def found(self) -> bool:
        """Whether the fake is accused, and nothing else for its sake."""
        return self.score > ACCUSED and self.localised >= LOCALISED

    @property
    def passed(self) -> bool:
        """Whether both truths hold."""
        return self.acquitted and self.found

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; a limit that no contrast reaches is null."""
        verdict = {"acquitted": self.acquitted, "found": self.found, "passed": self.passed}
        limit = self.limit if np.isfinite(self.limit) else None
        return {**asdict(self), "at": list(self.at), "limit": limit, **verdict}


def self_test(
    source: Field, factor: Triple, *, decoded: Real | None = None, seed: int = 0
) -> Verdict:
    """Put the score to the test on one image.

    Args:
        factor: How much coarser along i, j, k.
        decoded: What the fake is pasted into; None pastes it into what bicubic interpolation left.
        seed: Other seeds paste it elsewhere.

    Raises:
        UnusablePixels: The image has fewer than two cells a side.

    Examples:
        >>> from plica.evaluation.fields import to_field
        >>> self_test(to_field(scan), (4, 4, 4)).passed
        True
    """
    return try_judge(Judge(source, factor), decoded=decoded, seed=seed)


def try_judge(judge: Judge, *, decoded: Real | None = None, seed: int = 0) -> Verdict:
    """The same for a judge that is at hand."""
    source = judge.source
    plain = interpolate_bicubic(source.values, judge.factor)
    acquittal = judge.judge(plain)
    fake, at, diameter = _make_fake(judge, seed)
    plainly = CONTRAST_HU if source.unit is Unit.HU else CONTRAST_SHARE * source.span
    contrast = max(plainly, CONSPICUOUS * float(judge.allowance()[at]))
    rest = judge.unexplained(plain if decoded is None else decoded)
    trace = judge.without_mixture(fake)
    before, after = judge.score(rest), judge.score(rest + contrast * trace)
    added = (after > ACCUSED) & (before <= ACCUSED)
    near = _within_three_cells(fake > 0, judge.factor)
    return Verdict(
        bicubic_peak=acquittal.peak,
        bicubic_places=acquittal.places,
        contrast=float(contrast),
        diameter=diameter,
        at=at,
        score=float(after[fake > 0].max()),
        localised=float(added[near].sum() / max(added.sum(), 1)),
        limit=_faintest(judge, rest, trace, fake > 0),
    )


def _make_fake(judge: Judge, seed: int) -> tuple[Real, Triple, float]:
    """A ball of contrast 1 at a quiet place, with its middle and its diameter in voxels."""
    shape = judge.source.values.shape
    diameter = CELLS * max(judge.factor)
    room = [int(min(diameter, (side - 1) // 2)) if side > 1 else 0 for side in shape]
    inside = tuple(slice(edge, side - edge) for edge, side in zip(room, shape, strict=True))
    lost = np.where(judge.source.plateau, np.inf, judge.allowance())[inside]
    limit = np.quantile(lost[np.isfinite(lost)], QUIET) if np.isfinite(lost).any() else np.inf
    places = np.argwhere(lost <= limit) + np.array(room)
    i, j, k = (int(n) for n in np.random.default_rng(seed).choice(places))
    half = [int(np.ceil(diameter / 2)) if side > 1 else 0 for side in shape]
    box = tuple(slice(max(0, at - h), at + h + 1) for at, h in zip((i, j, k), half, strict=True))
    fake = np.zeros(shape)
    a, b, c = fake[box].shape
    x, y, z = (float(at - part.start) for at, part in zip((i, j, k), box, strict=True))
    fake[box] = draw_ball((a, b, c), (1.0, 1.0, 1.0), (x, y, z), diameter)
    return fake, (i, j, k), diameter


def _within_three_cells(mask: NDArray[np.bool_], factor: Triple) -> NDArray[np.bool_]:
    reach = tuple(float(max(step, 4)) if step > 1 else 0.0 for step in factor)
    # Blurred by one cell, a border has still this height three cells beyond it.
    return blur(mask.astype(np.float64), reach) > 0.001


def _faintest(judge: Judge, rest: Real, trace: Real, where: NDArray[np.bool_]) -> float:
    """The smallest c > 0 at which the score of rest + c trace passes `ACCUSED` somewhere."""
    square, mixed, own = (judge.gather(a * b)[where] for a, b in
                          ((trace, trace), (rest, trace), (rest, rest)))  # fmt: skip
    missing = ACCUSED * judge.allowance()[where] ** 2 - own
    if (missing <= 0).any():
        return 0.0
    usable = square > 0
    root = np.sqrt(mixed[usable] ** 2 + square[usable] * missing[usable])
    return float(((root - mixed[usable]) / square[usable]).min()) if usable.any() else float("inf")
