"""Faithfulness: what a codec does to tissues, lesions, edges, residual and truth of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plica.errors import SettingsError, UnusablePixels
from plica.evaluation.accusation import Verdict, try_judge
from plica.evaluation.edges import EdgeShift, judge_edges
from plica.evaluation.fields import (
    Field,
    Real,
    Triple,
    check_factor,
    refuse_unlike,
    to_field,
    to_values,
)
from plica.evaluation.hallucination import Invention, Judge
from plica.evaluation.residuals import ResidualStructure, judge_residual
from plica.evaluation.retention import (
    Plan,
    Reconstruct,
    Retention,
    judge_planted,
    judge_removed,
    plan_lesions,
)
from plica.evaluation.tissues import Tissue, judge_tissues
from plica.image import Image

PARTS = ("tissues", "planted", "removed", "edges", "residual", "hallucination")


@dataclass(frozen=True)
class Faithfulness:
    """What a codec did to one image.

    Args:
        unit: Of the image's values.
        length: "mm" or "pixels".
        factor: How much coarser along i, j, k its codes are taken to be.
        seed: Of all that is drawn.
        span: The image's central range.
        tissues: Bias and error by class.
        lesions: What it kept of planted lesions, and of structures that were filled in.
        edges: Where edges went; None where that could not be told.
        residual: What is in source − decoded.
        invention: What it shows that the source does not explain.
        verdict: Whether that score passes its own test on this image.
        refused: Why a part is missing, by its name.
    """

    unit: str
    length: str
    factor: Triple
    seed: int
    span: float
    tissues: tuple[Tissue, ...] = ()
    lesions: tuple[Retention, ...] = ()
    edges: EdgeShift | None = None
    residual: ResidualStructure | None = None
    invention: Invention | None = None
    verdict: Verdict | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A record that `json.dumps(…, allow_nan=False)` takes."""
        return {
            "unit": self.unit,
            "length": self.length,
            "factor": list(self.factor),
            "seed": self.seed,
            "span": self.span,
            "tissues": [tissue.to_json() for tissue in self.tissues],
            "lesions": [lesion.to_json() for lesion in self.lesions],
            "edges": None if self.edges is None else self.edges.to_json(),
            "residual": None if self.residual is None else self.residual.to_json(),
            "invention": None if self.invention is None else self.invention.to_json(),
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "refused": dict(self.refused),
        }


def judge_faithfulness(
    source: Image,
    reconstruct: Reconstruct,
    *,
    factor: Triple,
    seed: int = 0,
    plan: Plan | None = None,
    parts: Iterable[str] = PARTS,
    decoded: Image | None = None,
) -> Faithfulness:
    """Judge what a codec does to an image, in the image's own unit and millimetres.

    A part that this image cannot answer (too small, no homogeneous place for a lesion, no edges)
    is left out, and `refused` says why.

    Args:
        reconstruct: Encodes and decodes an image; it is called once for the image (unless
            `decoded` is given), at least twice for planted lesions and once for removed ones.
        factor: How much coarser along i, j, k the codec's codes are, (4, 4, 1) for a codec of
            slices. For a codec that keeps every voxel, the factor of the interpolation it should
            be measured by, such as (2, 2, 1).
        seed: Of places of lesions, edges and nulls.
        plan: Sizes and contrasts of the lesions; None takes those that suit the image.
        parts: Which of `PARTS`. An iterator is asked for each when it is to be judged, so that
            it can tell how far things are.
        decoded: What the codec made of the image, where that is at hand.

    Raises:
        InputError: The decoded image is on another grid, or has another unit or channels.
        UnusablePixels: The image or the decoded one is not finite, holds labels, or is constant;
            or no part can be answered.
        SettingsError: The factor or a part is none.
        MissingExtra: scipy is not installed.

    Examples:
        >>> kept = judge_faithfulness(scan, reconstruct, factor=(4, 4, 4))
        >>> round(kept.edges.shift, 2), kept.invention.places
        (0.43, 0)
    """
    asked = parts if isinstance(parts, Iterator) else _in_order(tuple(parts))
    look = to_field(source)
    steps = check_factor(factor, source.grid.shape)
    other = reconstruct(source) if decoded is None else decoded
    refuse_unlike(source, other)
    case = _Case(source, look, to_values(other), _checking(source, reconstruct), steps, seed, plan)
    found: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for part in asked:
        _refuse_unknown(part)
        _try(case, part, found, refused)
    if not found:
        raise UnusablePixels(f"nothing can be told of this image: {'; '.join(refused.values())}")
    found["lesions"] = (*found.pop("planted", ()), *found.pop("removed", ()))
    return Faithfulness(
        look.unit.value, look.length, steps, seed, look.span, **found, refused=refused
    )


def _in_order(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        _refuse_unknown(part)
    return iter([part for part in PARTS if part in parts])


def _refuse_unknown(part: str) -> None:
    if part not in PARTS:
        raise SettingsError(
            f"no part of faithfulness is called '{part}'; there are: {', '.join(PARTS)}"
        )


@dataclass(frozen=True, eq=False)
class _Case:
    """One image under one codec, as the parts need it."""

    source: Image
    look: Field
    decoded: Real
    reconstruct: Reconstruct
    factor: Triple
    seed: int
    asked: Plan | None

    @property
    def plan(self) -> Plan:
        return self.asked or plan_lesions(self.look, seed=self.seed)

    def tissues(self) -> dict[str, Any]:
        return {"tissues": judge_tissues(self.look, self.decoded)}

    def planted(self) -> dict[str, Any]:
        return {"planted": self._lesions(judge_planted)}

    def removed(self) -> dict[str, Any]:
        return {"removed": self._lesions(judge_removed)}

    def _lesions(self, judge: Callable[..., tuple[Retention, ...]]) -> tuple[Retention, ...]:
        i, j, k = (step if step > 1 else int(side > 1) for step, side in
                   zip(self.factor, self.source.grid.shape, strict=True))  # fmt: skip
        return judge(self.source, self.look, self.decoded, self.reconstruct, self.plan, (i, j, k))

    def edges(self) -> dict[str, Any]:
        return {"edges": judge_edges(self.look, self.decoded, self.factor, seed=self.seed)}

    def residual(self) -> dict[str, Any]:
        return {"residual": judge_residual(self.look, self.decoded, seed=self.seed)}

    def hallucination(self) -> dict[str, Any]:
        judge = Judge(self.look, self.factor)
        verdict = try_judge(judge, decoded=self.decoded, seed=self.seed)
        return {"invention": judge.judge(self.decoded), "verdict": verdict}


def _try(case: _Case, part: str, found: dict[str, Any], refused: dict[str, str]) -> None:
    try:
        found |= getattr(case, part)()
    except UnusablePixels as error:
        refused[part] = str(error)


def _checking(source: Image, reconstruct: Reconstruct) -> Reconstruct:
    """A codec that must come back to the grid it was given, each time."""

    def run(image: Image) -> Image:
        decoded = reconstruct(image)
        refuse_unlike(source, decoded)
        return decoded

    return run
