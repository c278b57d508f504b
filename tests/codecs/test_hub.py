"""A codec's folder on the hub is fetched by one name, and checked as any stranger's folder."""

import pytest
from tests.codecs.test_directory import make_codec

import plica
from plica.codecs.directory import CARD, write_directory
from plica.codecs.hub import fetch_codec
from plica.errors import UnknownName, WeightsError


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What is asked of the hub; it holds one codec, under any repository's name."""
    folder = write_directory(tmp_path / "snapshot", make_codec())
    calls = []

    def hf_hub_download(repo, filename, *, revision=None):
        calls.append((repo, filename, revision))
        return str(folder / filename)

    monkeypatch.setattr("plica.codecs.fetching.can_reach", lambda address: True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    return folder, calls


def test_card_and_weights_of_the_named_revision_are_fetched(asked):
    folder, calls = asked

    assert fetch_codec("hub:someone/mine@0a1b") == folder
    assert calls == [
        ("someone/mine", "card.json", "0a1b"),
        ("someone/mine", "weights.safetensors", "0a1b"),
    ]
    assert plica.load("hub:someone/mine").fingerprint == make_codec().fingerprint
    assert plica.load("stitched:hub:someone/mine").card.dims == 3


@pytest.mark.parametrize("name", ["hub:", "hub:mine", "hub:a/b/c", "hub:a/b@", "hub:a/b:file"])
def test_what_names_no_repository_is_refused_before_anything_is_asked(name, asked):
    with pytest.raises(UnknownName, match="hub:owner/name@revision"):
        plica.load(name)
    assert asked[1] == []


def test_a_damaged_card_is_refused_as_in_any_folder(asked):
    (asked[0] / CARD).write_text("[]")

    with pytest.raises(WeightsError, match="not the card of a codec"):
        plica.load("hub:someone/mine")


def test_a_hub_that_does_not_answer_is_said(monkeypatch):
    def refuse(repo, filename, *, revision=None):
        raise OSError("nobody is there")

    monkeypatch.setattr("plica.codecs.fetching.can_reach", lambda address: True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(WeightsError, match=r"card\.json of the hub repository someone/mine"):
        plica.load("hub:someone/mine")
