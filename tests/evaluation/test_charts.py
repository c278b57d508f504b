"""Distributions and differences: what is drawn is what was given."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.evaluation.reports import CODECS, GROUPS, make_results

from plica.errors import InputError
from plica.evaluation.charts import (
    Difference,
    difference_chart,
    distribution_chart,
    distribution_of,
    gather,
)

pytest.importorskip("matplotlib")


def size_of(figure):
    return Pillow.open(io.BytesIO(figure.png)).size


def test_numbers_are_gathered_by_group_and_codec():
    results = make_results()
    found = gather(results, "psnr")

    assert list(found) == list(GROUPS)
    assert list(found["mammogram"]) == list(CODECS)
    assert found["chest radiograph"][CODECS[0]].size == 24
    assert found["chest radiograph"][CODECS[3]].size == 23  # one failed


def test_a_distribution_says_its_medians_to_those_who_cannot_see_it():
    figure = distribution_chart({"cxr": {"a": np.array([1.0, 2.0, 9.0])}}, "mae (HU) ↓")

    assert "cxr, a: median 2.000" in figure.alt
    assert figure.caption.startswith("mae (HU) ↓")


def test_a_distribution_grows_with_its_codecs_and_groups():
    few = {"a": {"x": np.arange(5.0)}}
    many = {group: {str(n): np.arange(5.0) for n in range(9)} for group in "ab"}

    assert size_of(distribution_chart(few, "x"))[0] == size_of(distribution_chart(many, "x"))[0]
    assert size_of(distribution_chart(few, "x"))[1] < size_of(distribution_chart(many, "x"))[1]


@pytest.mark.parametrize("paired", [False, True])
def test_values_that_are_not_finite_are_left_out(paired):
    odd = {"": {"x": np.array([1.0, np.nan, np.inf]), "y": np.full(3, np.nan)}}

    assert distribution_chart(odd, "psnr (dB) ↑", paired=paired).png.startswith(b"\x89PNG")


@pytest.mark.parametrize("values", [{}, {"a": {}}, {"a": {"x": np.array([np.nan])}}])
def test_a_distribution_of_nothing_is_refused(values):
    with pytest.raises(InputError, match="no finite number"):
        distribution_chart(values, "psnr (dB) ↑")


def test_a_metrics_distribution_has_its_name_unit_and_direction():
    figure = distribution_of(make_results(), "mae")

    assert figure.name == "distribution-mae"
    assert "mae (display) ↓" in figure.caption
    assert figure.pdf.startswith(b"%PDF")


def test_hostile_names_are_drawn_as_letters():
    values = {"<b>\u202e": {"$x_1^{$\x07": np.arange(4.0), "胸部": np.arange(4.0)}}

    assert distribution_chart(values, "psnr $dB$ ↑").png


def test_differences_say_estimate_and_interval():
    found = [Difference("a", 0.12, 0.04, 0.2, "cxr", True), Difference("b", -0.1, -0.3, 0.1, "cxr")]
    figure = difference_chart(found, "psnr against bicubic (dB)", margin=0.05)

    assert "cxr, a: 0.120 (0.0400 to 0.200)" in figure.alt
    assert "b: −0.100 (−0.300 to 0.100)" in figure.alt


def test_differences_without_an_interval_are_still_drawn():
    assert difference_chart([Difference("a", 1.0, np.nan, np.nan)], "x", better="lower").png


def test_differences_of_nothing_are_refused():
    with pytest.raises(InputError, match="differences"):
        difference_chart([Difference("a", np.nan, np.nan, np.nan)], "x")


def test_what_too_few_patients_cannot_tell_has_a_mark_of_its_own():
    few, noise = Difference("a", 0.1, 0.0, 0.2, enough=False), Difference("b", 0.1, 0.0, 0.2)
    drawn = difference_chart([few, noise], "x")

    assert "hollow: not. Crossed: too few patients to tell." in drawn.caption
    assert "0.200), too few patients to tell; b: 0.100 (0.000 to 0.200)." in drawn.alt
    assert "Crossed" not in difference_chart([noise], "x").caption
    assert "hollow" not in difference_chart([few], "x").caption


def test_where_zero_is_best_no_side_is_said_to_be_better():
    one = [Difference("a", 0.1, 0.0, 0.2)]
    pictures = {
        way: difference_chart(one, "x", better=way).png for way in ("higher", "nearer zero")
    }
    assert pictures["higher"] != pictures["nearer zero"]
