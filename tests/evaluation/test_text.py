"""Other people's names become harmless, and numbers are said as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plica.evaluation.text import (
    distinguish,
    head,
    is_numeric,
    name_case,
    say_number,
    slug,
    tame,
    tame_cell,
)


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_what_is_tamed_can_be_written_and_controls_nothing(text):
    tamed = tame(text)

    assert tamed.encode("utf-8").decode("utf-8") == tamed
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in tamed)
    assert not {"\u202a", "\u202e", "\u2066", "\u2069"} & set(tamed)


@pytest.mark.parametrize("text", ["", "CT-0012", "Thorax p. a., 1,2 mm", "أحمد", "胸部", "Zoë"])
def test_plain_names_in_any_script_stay_as_they_are(text):
    assert tame(text) == text


def test_what_turns_letters_around_is_spelt_out():
    assert tame("a\u202eb\x07") == "a\\u202eb\\u0007"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_no_cell_is_a_formula(text):
    assert tame_cell(text)[0] in "'\\"


def test_a_cell_that_is_none_stays():
    assert tame_cell("CT-0012") == "CT-0012"


@pytest.mark.parametrize(
    ("value", "said"),
    [(31.24567, "31.25"), (0.98765, "0.9877"), (-0.5, "−0.5000"), (1234.5, "1234"), (0.0, "0.0000"),
     (math.inf, "∞"), (-math.inf, "−∞"), (math.nan, "–"), (None, "–"), (1.5e-7, "1.500e−7"),
     (2e12, "2.000e12")],
)  # fmt: skip
def test_numbers_are_said_with_four_digits(value, said):
    assert say_number(value) == said


@pytest.mark.parametrize("cell", ["31.2", "−0.4 (−1 to 0)", "∞", "", "–", "±3", "< 0.001", ".5"])
def test_numbers_are_known(cell):
    assert is_numeric(cell)


@pytest.mark.parametrize("cell", ["higher", "−", "n = 3", "(none)"])
def test_words_are_known(cell):
    assert not is_numeric(cell)


def test_a_heading_has_unit_and_direction():
    assert head("psnr", "dB", "higher") == "psnr (dB) ↑"
    assert head("ssim", "1", "higher") == "ssim ↑"
    assert head("bias", "HU", "nearer zero") == "bias (HU) →0"


def test_a_case_is_named_by_the_parts_it_has():
    assert name_case(("P1", "", "S3")) == "P1 / S3"
    assert name_case(("", "", "")) == "(unnamed)"
    assert name_case(("P1", "S", "P1/S/series-2")) == "P1/S/series-2"
    assert name_case(("P1", "S", "P2/S/t1")) == "P1 / S / P2/S/t1"


@given(st.text())
def test_a_slug_is_a_file_name_everywhere(text):
    assert set(slug(text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 0 < len(slug(text)) <= 80


def test_names_alike_get_numbers():
    taken = set()

    assert [distinguish("a", taken) for _ in range(3)] == ["a", "a-2", "a-3"]
