"""Model cards say in Markdown what a card says in fields, and nothing a stranger smuggles in."""

import dataclasses
import re

import pytest

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.catalogue import cards
from plica.codecs.modelcard import write_model_card

SECTIONS = (
    "What it is for", "Training data", "Limits", "Not a medical device", "Weights and licence",
    "How to cite",
)  # fmt: skip
CARD = CodecCard(
    name="small", family="kl", summary="Small.", dims=2, factor=2, channels=2, in_channels=1,
    expects="Anything.", licence="MIT", source="Somebody 2020",
    weights=WeightsSource(kind="file", filename="weights.safetensors"),
)  # fmt: skip


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)
def test_every_codec_has_a_whole_model_card(card):
    page = write_model_card(card)

    _, front, body = page.split("---\n", 2)
    assert re.match(r"license: [a-z0-9.-]+\n(license_name: \".+\"\n)?library_name: plica\n", front)
    assert f"\n# {card.name}\n" in body
    assert [line[3:] for line in body.splitlines() if line.startswith("## ")] == [
        *SECTIONS[:2],
        *(["Training", "Metrics"] if "training" in card.extras else []),
        *SECTIONS[2:],
    ]
    assert card.summary.split(":")[0] in body
    assert "\n\n\n" not in body


def test_what_a_hub_has_no_word_for_is_another_licence_by_name():
    assert "license: mit\n" in write_model_card(CARD)
    other = write_model_card(dataclasses.replace(CARD, licence='Ask "first"'))
    assert 'license: other\nlicense_name: "Ask \\"first\\""\n' in other


def test_training_becomes_tables():
    training = {
        "recipe": "small", "steps": 10, "seed": 0, "judged by": "",
        "data": [{"source": "a|b", "split": "train", "images": 3, "patients": 2, "licence": "CC0"}],
        "metrics": [{"metric": "psnr", "mean": 31.25, "deviation": 0.5, "unit": "dB",
                     "better": "higher", "n": 7, "split": "dev-test"}],
    }  # fmt: skip
    page = write_model_card(dataclasses.replace(CARD, extras={"training": training}), sha256="ab1")

    assert "| a∣b | train | 3 | 2 | CC0 |  |" in page
    assert "| psnr | 31.25 | 0.5 | dB | higher | 7 | dev-test |" in page
    assert "| seed | 0 |" in page
    assert "judged by" not in page
    assert "| SHA-256 | ab1 |" in page


@pytest.mark.parametrize("training", ["text", {"data": "text", "metrics": [1]}, {"metrics": {}}])
def test_a_strangers_card_may_say_anything_where_tables_are_expected(training):
    page = write_model_card(dataclasses.replace(CARD, extras={"training": training}))

    assert "## Limits" in page


def test_control_characters_reach_no_terminal():
    page = write_model_card(
        dataclasses.replace(CARD, name="a\x1b[31mb", summary="one\ntwo\x07", source="x\u202ey")
    )

    assert "\x1b" not in page
    assert "one two" in page
    assert "\u202e" not in page
