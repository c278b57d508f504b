"""Metrics that compare voxel with voxel, wherever the voxel is.

With the error e = x̂ − x over n values and R the data range:

    MSE = Σ e² / n      PSNR = 10 log₁₀(R² / MSE)      RMSE = √MSE
    MAE = Σ |e| / n     bias = Σ e / n                 maximum error = max |e|
"""

from __future__ import annotations

import math

from plica.metrics.metric import IMAGE_UNIT, LEFT_OUT, NO_RANGE, Metric, Score
from plica.metrics.pair import Pair


def _mean_square(pair: Pair) -> float:
    total, n = 0.0, 0
    for e in pair.differences():
        total += float((e * e).sum())
        n += e.size
    return total / n


def _psnr(pair: Pair) -> Score:
    MSE = _mean_square(pair)
    if MSE == 0:
        return Score(math.inf, "no value differs")
    if pair.data_range == 0:
        return Score(math.nan, NO_RANGE)
    return Score(20 * math.log10(pair.data_range) - 10 * math.log10(MSE))


def _rmse(pair: Pair) -> Score:
    return Score(math.sqrt(_mean_square(pair)))


def _mae(pair: Pair) -> Score:
    total, n = 0.0, 0
    for e in pair.differences():
        total += float(abs(e).sum())
        n += e.size
    return Score(total / n)


def _bias(pair: Pair) -> Score:
    total, n = 0.0, 0
    for e in pair.differences():
        total += float(e.sum())
        n += e.size
    return Score(total / n)


def _max_error(pair: Pair) -> Score:
    return Score(max(float(abs(e).max(initial=0.0)) for e in pair.differences()))


PSNR = Metric(
    name="psnr",
    unit="dB",
    better="higher",
    ranged=True,
    mask_rule=LEFT_OUT,
    definition="10 log10(R² / MSE): R is the data range, MSE the mean square of decoded − source.",
    function=_psnr,
)

MAE = Metric(
    name="mae",
    unit=IMAGE_UNIT,
    better="lower",
    ranged=False,
    mask_rule=LEFT_OUT,
    definition="Mean of |decoded − source|.",
    function=_mae,
)

RMSE = Metric(
    name="rmse",
    unit=IMAGE_UNIT,
    better="lower",
    ranged=False,
    mask_rule=LEFT_OUT,
    definition="Square root of the mean square of decoded − source.",
    function=_rmse,
)

BIAS = Metric(
    name="bias",
    unit=IMAGE_UNIT,
    better="nearer zero",
    ranged=False,
    mask_rule=LEFT_OUT,
    definition="Mean of decoded − source: above zero where the decoded image is too bright.",
    function=_bias,
)

MAX_ERROR = Metric(
    name="max-error",
    unit=IMAGE_UNIT,
    better="lower",
    ranged=False,
    mask_rule=LEFT_OUT,
    definition="Largest |decoded − source| of any one value.",
    function=_max_error,
)
