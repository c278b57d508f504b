"""Model cards say in Markdown what a card says in fields, and nothing a stranger smuggles in."""

import dataclasses
import re
from pathlib import Path

import pytest

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.catalogue import cards, find_offer
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
        *(["Lesions"] if "lesions_kept" in card.extras else []),
        *SECTIONS[2:],
    ]
    assert card.summary.split(":")[0] in body
    assert "\n\n\n" not in body


def test_what_a_hub_has_no_word_for_is_another_licence_by_name():
    assert "license: mit\n" in write_model_card(CARD)
    other = write_model_card(dataclasses.replace(CARD, licence='Ask "first"'))
    assert 'license: other\nlicense_name: "Ask \\"first\\""\n' in other


def test_the_default_for_volumes_says_what_it_keeps_costs_and_is_not_for():
    page = write_model_card(find_offer("compact-4x1-3d").card)

    assert "| multiply-adds per voxel | 12215 to encode, 43241 to decode |" in page
    assert "- **Not for small findings.**" in page
    assert "Measured on spheres of 20 HU" in page
    assert "By the plica developers (recipes/compact-4x1-3d.toml): cite plica" in page
    assert "the weights' SHA-256" in page
    assert "small findings" not in write_model_card(find_offer("compact-4x3-2d").card)
    assert "SHA-256" not in write_model_card(find_offer("identity").card)


def test_what_lesions_keep_is_what_the_page_on_faithfulness_has():
    page = (Path(__file__).parents[2] / "docs" / "faithfulness.md").read_text("utf-8")
    table = page.partition("| share of a lesion's contrast that is kept | ")[2]
    names = [name.strip() for name in table.partition("\n")[0].split("|") if name.strip()]
    told = {name: {} for name in names}
    for size, row in re.findall(r"^\| retention (\d+ mm) 20 HU ↑ \|(.+)\|$", table, re.MULTILINE):
        for name, share in zip(names, row.split("|"), strict=True):
            told[name][size] = float(share)

    kept = {card.name: dict(card.extras["lesions_kept"]) for card in cards()
            if "lesions_kept" in card.extras}  # fmt: skip
    assert kept.keys() == told.keys() - {"bicubic-4x-3d"}
    for name, shares in kept.items():
        assert shares.pop("measured_on")
        assert shares == told[name]
        assert ("limit" in find_offer(name).card.extras) == (shares["3 mm"] < 0.5)


def test_lesions_of_which_nobody_said_where_they_were_measured_have_a_table_all_the_same():
    kept = {"3 mm": 0.25}
    page, told = (
        write_model_card(dataclasses.replace(CARD, extras={"lesions_kept": kept | said}))
        for said in ({}, {"measured_on": "spheres"})
    )

    assert "| 3 mm | 0.25 |" in page
    assert "Measured on" not in page
    assert "Measured on spheres." in told


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


def test_images_that_chose_the_checkpoint_stand_apart_from_those_trained_on():
    seen = {"source": "seen", "split": "train", "images": 3, "patients": 2, "licence": "CC0"}
    judges = {**seen, "source": "judges", "split": "dev-test"}
    training = {"data": [seen, judges], "metrics": [{"metric": "psnr", "split": "dev-test"}]}

    page = write_model_card(dataclasses.replace(CARD, extras={"training": training}))

    trained, chose = page.split("### Chose the checkpoint; not trained on")
    assert "| seen | train |" in trained
    assert "| judges |" not in trained
    assert "| judges | dev-test |" in chose
    alone = write_model_card(dataclasses.replace(CARD, extras={"training": {"data": [seen]}}))
    assert "Chose the checkpoint" not in alone


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
