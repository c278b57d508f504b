"""The numbers of one image's faithfulness as values with unit, direction and definition.

Images of an absolute unit (HU, SUV, …) have their errors in it. The scale of others is their own,
and means over images would be means of scales: their errors are in percent of their central range,
from the 1st to the 99th percentile of what is no background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from plica.evaluation.faithfulness import Faithfulness
from plica.evaluation.retention import Retention
from plica.evaluation.tissues import FEWEST_VOXELS, name_classes
from plica.image import Unit
from plica.metrics.metric import Better, Value

SHIFT, GROWTH, MOVED, DEFORMED = "edge shift", "edge growth", "translation", "deformation"
BLUR, LOST = "edge blur", "edges lost"
RMS, INDEX, ANATOMY, FLATNESS = "residual RMS", "autocorrelation", "anatomy in residual", "flatness"
PEAK, PLACES, AREA = "invention, peak", "invention, places", "invention, share of voxels"
ENERGY, SHARE, DETAIL = "invented energy", "invented detail", "kept detail"
LIMIT = "faintest fake found"
REMOVED, PUT_BACK = "own structures kept", "own structures put back"

PERCENT = "% of range"

DEFINITIONS = {
    SHIFT: "Median displacement of strong lone edges along their normals.",
    GROWTH: "Median displacement of edges towards their dark side: positive, bright things grew.",
    MOVED: "Displacement of the image as a whole, by least squares over all edges.",
    DEFORMED: "Median displacement of edges once that of the whole image is taken out.",
    BLUR: "Standard deviation of the Gaussian that would have widened the mean edge as much.",
    LOST: "Share of edges whose decoded profile correlates below 0.5 with the source's.",
    RMS: "Root mean square of source − decoded.",
    INDEX: "Moran's I of neighbours in source − decoded: noise has 0.",
    ANATOMY: "Rank correlation over blocks of the residual's RMS with the source's steepness.",
    FLATNESS: "Geometric over arithmetic mean of the residual's power by frequency: white noise 1.",
    PEAK: "Highest local energy that no mixture of the source's blurs and slopes explains, over "
    "what bicubic interpolation by the codec's factor loses there.",
    PLACES: "Connected regions where that is above 1.",
    AREA: "Share of voxels in them.",
    ENERGY: "Mean square of what nothing in the source explains between the means of cells of the "
    "codec's factor.",
    SHARE: "That energy over the energy of the source's own detail between those means.",
    LIMIT: "Least contrast at which the disc or sphere that the self-test plants in the decoded "
    "image would have been accused there: nothing fainter of its size is claimed to be seen.",
    DETAIL: "Slope of the decoded image's detail between those means on the source's.",
    REMOVED: "Share kept of small structures of the image's own, against the image without them.",
    PUT_BACK: "Share of such a structure that is decoded where it had been filled in.",
}


def list_values(found: Faithfulness) -> tuple[Value, ...]:
    """Every number, part by part; parts that were refused have none."""
    parts = (_tissues, _planted, _removed, _edges, _residual, _invention)
    return tuple(value for part in parts for value in part(found))


def name_contrast(found: Faithfulness, contrast: float) -> str:
    """A contrast as it is called: "40 HU", or "5 %" of the image's range."""
    if found.unit == Unit.HU.value:
        return f"{contrast:g} HU"
    return f"{100 * contrast / found.span:.3g} %"


def name_retention(found: Faithfulness, lesion: Retention) -> str:
    """The metric of a planted lesion's retention."""
    return f"retention {lesion.diameter:g} {lesion.length} {name_contrast(found, lesion.contrast)}"


def name_detectability(found: Faithfulness, lesion: Retention, where: str) -> str:
    """The metric of a planted lesion's detectability index, in the "source" or "decoded"."""
    contrast = name_contrast(found, lesion.contrast)
    return f"detectability {lesion.diameter:g} {lesion.length} {contrast}, {where}"


def name_background(unit: str, low: float, high: float) -> str:
    """What lesions stood in: in CT the classes by HU, and the range of their boxes' means.

    Examples:
        >>> name_background("HU", -60.0, 41.7)
        'fat, soft tissue (means of −60 … 42 HU)'
    """
    in_hu = unit == Unit.HU.value
    ends = " … ".join(f"{end:.0f}" if in_hu else f"{end:.4g}" for end in (low, high))
    names = name_classes(low, high) if in_hu else ()
    return f"{', '.join(names) or 'tissue'} (means of {ends} {unit})".replace("-", "−")


def scale_of(found: Faithfulness) -> tuple[float, str]:
    """What errors are multiplied with, and the unit they are then in."""
    if Unit(found.unit).is_absolute:
        return 1.0, found.unit
    return 100 / found.span, PERCENT


def _tissues(found: Faithfulness) -> Iterator[Value]:
    scale, unit = scale_of(found)
    for tissue in found.tissues:
        note = (
            f"{tissue.voxels} voxels of the class's core; {tissue.voxels_all} with its border have "
            f"bias {scale * tissue.bias_all:.4g} and MAE {scale * tissue.mae_all:.4g}"
        )
        few = tissue.voxels < FEWEST_VOXELS
        if few:
            note = f"no number of a core of fewer than {FEWEST_VOXELS} voxels; {note}"
        ends = f"{tissue.low:g} … {tissue.high:g} {found.unit}, by the blurred source"
        if found.unit != Unit.HU.value:
            ends = "fifths of the blurred source's own values, background left out"
        for name, number, better in (("bias", tissue.bias, "nearer zero"),
                                     ("MAE", tissue.mae, "lower")):  # fmt: skip
            what = "Mean of decoded − source" if name == "bias" else "Mean of |decoded − source|"
            yield Value(
                f"{name}, {tissue.name}", math.nan if few else scale * number, unit,
                "lower" if better == "lower" else "nearer zero", None,
                f"{what} over the class's core: {ends}.", note,
            )  # fmt: skip


def _planted(found: Faithfulness) -> Iterator[Value]:
    for lesion in found.lesions:
        if lesion.kind == "planted":
            yield Value(
                name_retention(found, lesion), lesion.retention, "1", "higher", None,
                "Share of a planted lesion's contrast that the codec keeps, by matched filter: "
                "1 keeps all.",
                f"{lesion.n} lesions, standard deviation {lesion.spread:.3g}; erased "
                f"{lesion.erased:.3g}, invented {lesion.invented:.3g}; detectability index "
                f"{lesion.detectability_source:.3g} in the source, "
                f"{lesion.detectability_decoded:.3g} decoded; stood in "
                f"{name_background(found.unit, lesion.background_low, lesion.background_high)}",
            )  # fmt: skip
            for where, index in (("source", lesion.detectability_source),
                                 ("decoded", lesion.detectability_decoded)):  # fmt: skip
                if math.isfinite(index):
                    yield Value(
                        name_detectability(found, lesion, where), index, "1", "higher", None,
                        "Contrast of a planted lesion over the standard deviation of its matched "
                        "filter at lesion-free places.", f"{lesion.n} lesions",
                    )  # fmt: skip


def _removed(found: Faithfulness) -> Iterator[Value]:
    for lesion in found.lesions:
        if lesion.kind == "removed":
            note = f"{lesion.n} structures of about {lesion.diameter:g} {lesion.length}"
            yield _value(REMOVED, lesion.retention, "1", "higher", note)
            yield _value(PUT_BACK, lesion.invented, "1", "nearer zero", note)


def _edges(found: Faithfulness) -> Iterator[Value]:
    edges = found.edges
    if edges is None:
        return
    moved = math.hypot(*edges.translation)
    along = ", ".join(f"{step:.3g}" for step in edges.translation)
    length = "mm" if edges.length == "mm" else "pixels"
    note = f"{edges.n} edges"
    widths = f"10–90 % width {edges.width_source:.3g} → {edges.width_decoded:.3g} {length}"
    yield _value(SHIFT, edges.shift, length, "lower", note)
    yield _value(GROWTH, edges.growth, length, "nearer zero", note)
    yield _value(MOVED, moved, length, "lower", f"along i, j, k: {along}")
    yield _value(DEFORMED, edges.deformation, length, "lower", note)
    yield _value(BLUR, edges.blur, length, "nearer zero", widths)
    yield _value(LOST, edges.lost, "1", "lower", note)


def _residual(found: Faithfulness) -> Iterator[Value]:
    residual = found.residual
    if residual is None:
        return
    scale, unit = scale_of(found)
    yield _value(RMS, scale * residual.rms, unit, "lower", f"{residual.rms:.4g} {found.unit}")
    yield _value(
        INDEX, residual.autocorrelation, "1", "nearer zero",
        f"z {residual.autocorrelation_z:.3g} against white noise of the same power everywhere",
    )  # fmt: skip
    yield _value(
        ANATOMY, residual.anatomy, "1", "nearer zero",
        f"z {residual.anatomy_z:.3g} against the same residual moved elsewhere",
    )  # fmt: skip
    yield _value(FLATNESS, residual.flatness, "1", "higher")


def _invention(found: Faithfulness) -> Iterator[Value]:
    invention = found.invention
    if invention is None:
        return
    at = ", ".join(map(str, invention.peak_at))
    yield _value(PEAK, invention.peak, "1", "lower", f"at voxel {at}")
    yield _value(PLACES, float(invention.places), "1", "lower")
    yield _value(AREA, invention.accused_share, "1", "lower")
    scale, unit = scale_of(found)
    yield _value(ENERGY, scale**2 * invention.null_energy, f"({unit})²", "lower")
    yield _value(SHARE, invention.null_share, "1", "lower")
    yield _value(DETAIL, invention.kept_detail, "1", "higher")
    if (verdict := found.verdict) is not None and math.isfinite(verdict.limit):
        at = ", ".join(map(str, verdict.at))
        note = f"{verdict.diameter:g} voxels wide, at voxel {at}"
        yield _value(LIMIT, scale * verdict.limit, unit, "lower", note)


def _value(name: str, number: float, unit: str, better: Better, note: str = "") -> Value:
    return Value(name, float(number), unit, better, None, DEFINITIONS[name], note)
