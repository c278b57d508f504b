"""Rates, spectra and bands: what is drawn is what was given."""

import numpy as np
import pytest

from plica.errors import InputError
from plica.evaluation.curves import (
    RatePoint,
    Spectrum,
    band_chart,
    rate_distortion_chart,
    spectrum_chart,
)

pytest.importorskip("matplotlib")


def test_rates_are_said_with_their_qualities():
    points = [RatePoint("latent", 1.5, 33.0, 32.0, 34.0)]
    points += [RatePoint(f"r{k}", 2.0**k, 30 + k, curve="JPEG 2000") for k in range(3)]
    figure = rate_distortion_chart({"cxr": points})

    assert "cxr, latent: 33.00 at 1.50 bits per pixel" in figure.alt
    assert figure.caption.endswith("Upright bars are 95 % intervals of the means over patients.")
    assert figure.pdf.startswith(b"%PDF")


def test_lossless_and_free_points_cannot_be_drawn_on_a_scale_of_doublings():
    never = [RatePoint("a", 0.0, 30.0), RatePoint("b", 2.0, np.inf), RatePoint("c", np.nan, 1.0)]

    drawn = rate_distortion_chart({"": [*never, RatePoint("d", 1.0, 30.0)]})

    assert drawn.png
    assert "bars" not in drawn.caption, "there are none"
    with pytest.raises(InputError, match="rates"):
        rate_distortion_chart({"": never})


def test_a_spectrum_says_where_it_falls_below_a_half():
    f = np.linspace(0, 2, 21)
    spectra = [
        Spectrum("soft", f, 1 - f / 2, np.empty(0)),
        Spectrum("sharp", f, np.full(21, 0.9), np.empty(0)),
    ]
    figure = spectrum_chart(spectra, nyquist=1.8)

    assert "soft falls below 0.5 at 1.10 cycles/mm" in figure.alt
    assert "sharp stays above 0.5" in figure.alt


def test_a_spectrum_with_power_has_a_second_panel():
    f = np.linspace(0, 2, 21)
    bare = spectrum_chart([Spectrum("a", f, 1 - f / 2, np.empty(0))])
    full = spectrum_chart([Spectrum("a", f, 1 - f / 2, 1 - f / 4)], unit="cycles/pixel")

    assert int.from_bytes(full.png[20:24], "big") > int.from_bytes(bare.png[20:24], "big")
    assert "cycles/pixel" in full.caption


def test_bands_need_a_number_each():
    errors = {"a": np.array([1.0, 0.1, 0.0])}

    assert "a: 1.00 in the finest" in band_chart(errors, ["1 ij", "1 i", "low"]).alt
    with pytest.raises(InputError, match="2 bands"):
        band_chart(errors, ["1 ij", "low"])


@pytest.mark.parametrize("draw", [lambda: spectrum_chart([]), lambda: band_chart({}, ["low"])])
def test_nothing_is_refused(draw):
    with pytest.raises(InputError, match="no finite number"):
        draw()
