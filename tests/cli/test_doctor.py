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
    ready = [name for name, presence in told.items() if presence == "ready"]
    assert len(ready) > 20
    for name in ready:
        assert load(name).card.name == name


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


def test_what_pins_others_versions_is_not_proposed_with_the_rest(monkeypatch):
    from plica.cli import doctor

    lines = ["nowhere; extra == 'nnunet'", "nowhere; extra == 'eval'"]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: lines)

    assert "pip install 'plica[eval]'" in CliRunner().invoke(app, ["doctor"]).output


def test_the_table_reads_as_a_page():
    done = CliRunner().invoke(app, ["doctor"])

    assert done.exit_code == 0
    for words in ("Extras", "Codecs", "Compressed DICOM pixels", "taef2", "a file of yours"):
        assert words in done.output


def test_a_codec_whose_package_is_missing_is_not_called_ready(monkeypatch):
    from plica.codecs import presence

    monkeypatch.setattr(presence, "find_spec", lambda name: None)
    told = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["codecs"]
    said = {one["codec"]: (one["presence"], one["weights"]) for one in told}

    assert said["jpegxl"] == ("extra", "lacks a package: pip install 'plica[codecs]'")
    assert said["wan2.1"] == ("extra", "lacks a package: pip install 'plica[foundation]'")
    assert said["jpeg2000"][0] == "ready"
    shown = CliRunner().invoke(app, ["doctor"]).stdout
    assert "lacks a package: pip install 'plica[codecs]'" in shown
    listed = CliRunner().invoke(app, ["codecs"])
    assert "needs extra" in listed.stdout
    assert "pip install 'plica[codecs,foundation]'" in listed.stderr
    assert "pip install 'plica[foundation]'" in CliRunner().invoke(app, ["codecs", "ltx"]).stdout


def test_what_a_codec_borrows_is_what_its_card_says_it_needs():
    from plica.codecs.foundation import OFFERS

    needing = {name for name, one in OFFERS.items() if "needs" in one.card.extras}
    assert needing == {"wan2.1", "wan2.2", "cogvideox", "ltx", "hunyuanvideo", "cosmos",
                       "dc-ae-f32c32", "dc-ae-f64c128"}  # fmt: skip
