"""Who is judged on the images it was trained on is told so, where card and cohort say it."""

from dataclasses import replace
from pathlib import Path

import pytest

import plica
from plica.cli.familiar import say_familiar
from plica.cohort import Case

CARD = plica.load("bicubic-4x-2d").card
DATA = [
    {"source": "hannover", "split": "train"},
    {"source": "hannover", "split": "dev-test"},
    {"source": "unnamed", "split": "train"},
]


def trained(data):
    return replace(CARD, extras={"training": {"data": data}})


def case(split, source=""):
    return Case("p1", "", f"{split}{source}", Path("1.png"), split, {"source": source})


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (case("train", "hannover"), "1 of 2 images are of sources and a split that x was trained "),
        (case("dev-test", "hannover"), "split that x may have had its checkpoint chosen on"),
        (case("train"), "1 of 2 images may be some that x was trained on"),
        (case(""), "1 of 2 images may be some that x was trained on"),
    ],
)
def test_an_image_of_a_source_and_split_on_the_card_is_said(one, words):
    (said,) = say_familiar("x", trained(DATA), [one, case("test", "elsewhere")])
    assert words in said
    assert "no measure of images it has not seen" in said


@pytest.mark.parametrize("data", [DATA, [], None, "words", [3, {"source": "hannover"}]])
def test_nothing_is_said_of_images_that_a_card_does_not_know(data):
    assert not list(say_familiar("x", trained(data), [case("test", "hannover")]))
