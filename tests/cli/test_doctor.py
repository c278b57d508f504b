"""plica doctor: what it says is so."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import plica
from plica.cli.doctor import list_extras
from plica.cli.main import app
from plica.codecs.catalogue import CODECS, load, offer
from plica.codecs.presence import find_presence
from plica.formats.decoders import SYNTAXES, list_decoders


@pytest.fixture(scope="module")
def found():
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_versions_devices_and_room_are_told(found):
    import torch

    assert found["plica"] == plica.__version__
    assert found["machine"]["torch"] == torch.__version__
    assert found["machine"]["devices"][-1] == "cpu"
    assert found["machine"]["memory_bytes"] > 2**28
    assert found["machine"]["free_disk_bytes"] > 0


def test_every_codec_is_told_of_and_those_that_are_ready_load(found):
    told = {one["codec"]: one["presence"] for one in found["codecs"]}

    assert set(told) == set(CODECS)
    assert told["compact-4x3-2d"] == told["bicubic-4x-2d"] == "ready"
    assert told["taef2"] == "file"
    assert told["leanvae"] == "missing"
    assert load("linear-4x1-2d").card.name == "linear-4x1-2d"


def test_weights_in_the_hubs_cache_are_found(monkeypatch):
    import huggingface_hub

    card = offer("medvae-4x1-2d").card
    asked = []

    def find(repo, filename, revision=None):
        asked.append((repo, filename, revision))
        return "/cache/file"

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", find)
    assert find_presence(card) == "cached"
    assert asked == [(card.weights.repo, card.weights.filename, card.weights.revision)]
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    assert find_presence(card) == "hub"


def test_decoders_are_those_of_pydicom():
    decoders = list_decoders()

    assert len(decoders) == len(SYNTAXES) == len({one.uid for one in decoders})
    assert all(one.packages for one in decoders if one.name.startswith(("RLE", "JPEG 2000")))


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch):
    from plica.cli import doctor

    lines = ["numpy>=1", "scipy>=1; extra == 'eval'", "nowhere[a]>=2; extra == 'eval'"]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: lines)

    (told,) = list_extras()

    assert told["extra"] == "eval"
    assert told["packages"]["scipy"]
    assert told["missing"] == ["nowhere"]


def test_the_table_reads_as_a_page():
    done = CliRunner().invoke(app, ["doctor"])

    assert done.exit_code == 0
    for words in ("Extras", "Codecs", "Compressed DICOM pixels", "taef2", "a file of yours"):
        assert words in done.output
