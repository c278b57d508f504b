"""Cards go through JSON unchanged, and a stranger's card is a card or an error."""

import json

import pytest

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import cards, load
from plica.errors import WeightsError


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)
def test_every_card_comes_back_from_json(card):
    record = json.loads(json.dumps(card.to_json()))

    assert json.loads(json.dumps(CodecCard.from_json(record).to_json())) == record


def test_latents_name_their_codec_without_the_history_of_its_weights():
    """Of a compact codec's card that is the most: it would weigh in small images' files."""
    codec = load("compact-4x3-2d")

    said = codec.card.identify(codec.fingerprint)

    assert {"training", "lesions_kept"} <= set(codec.card.extras)
    assert not {"training", "lesions_kept"} & set(said.card["extras"])
    assert CodecCard.from_json(said.card).extras["network"] == codec.card.extras["network"]
    assert len(json.dumps(dict(said.card))) < 2500
    assert (said.name, said.fingerprint) == (codec.card.name, codec.fingerprint)


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("dims", 7), ("dims", "2"), ("factor", 10**400), ("factor", 0), ("channels", -1),
        ("extras", []), ("name", 5), ("name", ""), ("licence", None), ("latents", [1]),
        ("latents", []), ("latents", ["drawn"]), ("weights", {"kind": "odd"}), ("weights", 3),
        ("tileable", "yes"), ("norms", ["batches"]), ("colour", "red"), ("native_window", 1.5),
    ],
)  # fmt: skip
def test_a_strangers_card_is_refused_by_name(tmp_path, fact, value):
    record = load("bicubic-4x-2d").card.to_json() | {fact: value}
    (tmp_path / "card.json").write_text(json.dumps(record))
    (tmp_path / "weights.safetensors").write_bytes(b"")

    with pytest.raises(WeightsError, match="card"):
        load(tmp_path)
