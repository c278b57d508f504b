"""Probes are regressed on what codecs keep, of the same images or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from plica.errors import InputError
from plica.evaluation.ceiling import regress_on_ceiling, show_ceiling
from plica.evaluation.predictions import Predictions
from plica.evaluation.results import Result, Results
from plica.metrics.metric import Value

CODECS = ("good", "middling", "bad")


def made(slope=0.03, *, patients=16, slices=0, seed=0):
    """Probabilities that rise with PSNR, with a height for each patient; three codecs."""
    rng = np.random.default_rng(seed)
    heights = rng.normal(0.6, 0.05, patients)
    labels = (np.arange(patients) % 2).astype(np.int64)
    cases = tuple((f"p{n}", "s", f"i{n}") for n in range(patients))
    predictions, results = [], []
    for place, codec in enumerate(CODECS):
        psnr = 36 - 3 * place + rng.normal(0, 1, patients)
        given = heights + slope * (psnr - 33) + rng.normal(0, 0.01, patients)
        count = max(slices, 1)
        shown = tuple(
            (p, s, f"{i}#{k}" if slices else i) for p, s, i in cases for k in range(count)
        )
        owner = np.repeat(np.arange(patients), count)
        scores = np.stack([1 - given, given], 1)
        scores = np.where(labels[:, None] == 1, scores, scores[:, ::-1])[owner]
        predictions.append(Predictions(codec, 0, ("a", "b"), shown, labels[owner], scores))
        results += [
            Result(case, codec, values=(Value("psnr", float(x), "dB", "higher", 1.0, "d"),))
            for case, x in zip(cases, psnr, strict=True)
        ]
    return predictions, Results(tuple(results))


@pytest.mark.parametrize("slices", [0, 3])
def test_the_slope_that_was_put_in_is_found(slices):
    found = regress_on_ceiling(*made(slices=slices), "psnr", report="kept")
    assert found.regression.low < 0.03 < found.regression.high
    assert (found.regression.n, found.regression.patients) == (48, 16)
    assert found.codecs == CODECS
    said = " ".join(show_ceiling(found).prose)
    assert "psnr (dB) of kept" in said
    assert "degrees of freedom" in said


def test_a_missing_case_is_an_error_and_a_failure_is_counted():
    predictions, kept = made()
    less = Results(tuple(r for r in kept if (r.codec, r.patient) != ("bad", "p3")))
    with pytest.raises(InputError, match=r"no psnr of p3 / s / i3 under bad, and no failure"):
        regress_on_ceiling(predictions, less, "psnr")
    failed = Results((*less, Result(("p3", "s", "i3"), "bad", error="too large")))
    found = regress_on_ceiling(predictions, failed, "psnr")
    assert (found.failed, found.regression.n) == (1, 47)
    assert "1 image left out, failed" in " ".join(show_ceiling(found).prose)


def test_numbers_of_another_kind_and_endless_ones_are_left_out_and_counted():
    predictions, kept = made()
    first, second, *others = kept
    strange = replace(first, values=(replace(first.values[0], unit="relative"),))
    whole = replace(second, values=(replace(second.values[0], value=np.inf),))

    found = regress_on_ceiling(predictions, Results((strange, whole, *others)), "psnr")

    assert (found.unlike, found.infinite, found.regression.n) == (1, 1, 46)
    said = " ".join(show_ceiling(found).prose)
    assert "1 image not in dB was left out" in said
    assert "1 image left out, without any loss" in said


def test_codecs_that_no_probe_saw_are_left_out_of_the_regression():
    predictions, kept = made()

    found = regress_on_ceiling(predictions[:2], kept, "psnr")

    assert found.codecs == CODECS[:2]
    assert found.regression.n == 32


def test_another_metric_or_no_codec_in_common_is_refused():
    predictions, kept = made()
    with pytest.raises(InputError, match="no result has the metric ssim"):
        regress_on_ceiling(predictions, kept, "ssim")
    with pytest.raises(InputError, match="no codec in common"):
        regress_on_ceiling(predictions[:1], Results(kept.all[16:]), "psnr")
