"""A codec whose weights lie in its own package: read, checked, drawn, and told of as what it is."""

import hashlib
import importlib.metadata
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from plica.cli.doctor import list_codecs
from plica.cli.main import app
from plica.codecs import catalogue, directory
from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Offer, Request
from plica.codecs.modelcard import write_model_card
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.packaged import build_packaged
from plica.codecs.presence import find_presence
from plica.errors import UnknownName, WeightsError
from plica.grid import Grid
from plica.image import Image
from plica.networks.kl import KlAutoencoder
from plica.preparation.pipelines import full_range
from plica.registry import Registry

CARD = CodecCard(
    name="mine-2x2-2d", family="mine", summary="A test's own.", dims=2, factor=2, channels=2,
    in_channels=1, expects="anything", licence="Apache-2.0", source="a test",
)  # fmt: skip


def make() -> KlAutoencoder:
    return KlAutoencoder(dims=2, in_channels=1, code_channels=2, widths=(32, 32), blocks=1)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_file(make().state_dict(), tmp_path / "mine.safetensors")
    return tmp_path


@pytest.fixture
def card(folder):
    sha256 = hashlib.sha256((folder / "mine.safetensors").read_bytes()).hexdigest()
    weights = WeightsSource("package", filename="mine.safetensors", sha256=sha256)
    return replace(CARD, weights=weights, training_data="ten images of nobody")


def build(card, folder, **asked):
    return build_packaged(card, Request(**asked), make=make, folder=folder, steps=full_range)


def test_weights_beside_the_module_are_read_and_named_by_their_fingerprint(card, folder):
    image = Image(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1), Grid.from_spacing((8, 8, 1)))
    first, again = build(card, folder, device="cpu"), build(card, folder)

    assert first.fingerprint.startswith("sha256:")
    np.testing.assert_array_equal(first.encode(image).codes, again.encode(image).codes)
    given = build(card, folder, weights=folder / "mine.safetensors")
    assert given.fingerprint == first.fingerprint
    assert build(card, folder, weights="random").fingerprint != first.fingerprint


def test_a_codecs_own_options_are_taken_and_others_refused(card, folder):
    how = {"make": make, "folder": folder, "steps": full_range, "options": ("rate",)}
    codec = build_packaged(card, Request(options={"rate": 1}), **how)
    assert codec.card == card
    with pytest.raises(UnknownName, match="no option 'width'; its own are: rate"):
        build_packaged(card, Request(options={"width": 1}), **how)


def test_a_network_that_cannot_be_made_is_said_in_a_sentence(card, folder):
    def fail():
        raise IndexError("no such layer")

    with pytest.raises(WeightsError, match="cannot be made: IndexError: no such layer"):
        build_packaged(card, Request(), make=fail, folder=folder, steps=full_range)


@pytest.mark.parametrize(
    "needs", [{"package": "nowhere"}, {"extra": "x"}, "nowhere", {"package": 3, "extra": 4}, []]
)
def test_an_odd_card_of_another_package_does_not_end_a_listing(card, needs):
    assert find_presence(replace(card, extras={"needs": needs})) == "ready"


def test_what_a_card_needs_is_looked_for_without_importing_it(card):
    needs = {"package": "nowhere.deep", "extra": "own"}
    assert find_presence(replace(card, extras={"needs": needs})) == "extra"


def test_a_card_that_names_no_repository_does_not_end_a_listing(card):
    hub = WeightsSource("hub", repo="a/b/c", filename="w.safetensors")
    assert find_presence(replace(card, weights=hub)) == "hub"


def test_what_is_not_the_cards_is_refused(card, folder):
    with pytest.raises(UnknownName, match="no option 'rate'"):
        build(card, folder, options={"rate": 1})
    with pytest.raises(WeightsError, match="factor"):
        build(replace(card, factor=4), folder)
    other = replace(card.weights, sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"SHA-256.* or correct the card's sha256"):
        build(replace(card, weights=other), folder)
    (folder / "mine.safetensors").unlink()
    with pytest.raises(
        WeightsError, match=r"Put the file beside the module, at .*mine\.safetensors"
    ):
        build(card, folder)


def test_a_card_says_what_it_was_told_and_nothing_else(card):
    page, silent = write_model_card(card), write_model_card(CARD)

    assert "inside the package that brings the codec" in page
    assert "ten images of nobody" in page
    assert "| one code sees | not stated |" in silent
    assert "## Training data\n\nNot stated." in silent
    assert "| weights | not stated |" in silent
    assert "learned from data" not in silent
    formula = write_model_card(replace(CARD, weights=WeightsSource("none")))
    assert "Nothing was learned from data." in formula
    assert find_presence(card) == find_presence(CARD) == "ready"


def test_the_list_says_so_too(card, monkeypatch):
    silent = replace(CARD, name="silent")
    listed = [(one.name, one) for one in (card, silent)]
    monkeypatch.setattr("plica.cli.codecs.listing", lambda: iter(listed))
    monkeypatch.setattr("plica.cli.codecs.find_offer", lambda _: Offer(card, build))

    table = CliRunner().invoke(app, ["codecs"], env={"COLUMNS": "200"}).stdout
    whole = CliRunner().invoke(app, ["codecs", card.name], env={"COLUMNS": "200"}).stdout

    assert "its package" in table
    assert "not stated" in table
    assert "voxels per code" in whole
    assert "total factor" not in whole
    assert "package, filename mine.safetensors" in whole


def test_our_own_cards_state_where_their_weights_are():
    assert not [card.name for card in catalogue.cards() if card.weights.kind == "unstated"]


ONE_MODULE = """
from pathlib import Path
from plica.codecs.packaged import offer_packaged
from plica.networks.kl import KlAutoencoder

class Lumen(KlAutoencoder):
    def __init__(self, *, width: int = 32) -> None:
        super().__init__(dims=2, in_channels=1, code_channels=2, widths=(width, width), blocks=1)

OFFER = offer_packaged(Path(__file__).parent / "lumen-2x2-2d")
"""


@pytest.fixture
def lumen(tmp_path, monkeypatch):
    """A package of one module: the network's class, and the offer of weights not yet there."""
    (tmp_path / "lumen.py").write_text(ONE_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    named = {"plica.networks": "lumen:Lumen", "plica.codecs": "lumen:OFFER"}
    real = importlib.metadata.entry_points

    def entry_points(**asked):
        if (group := asked.get("group")) not in named:
            return real(**asked)
        return [importlib.metadata.EntryPoint("lumen", named[group], group)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    table = Registry("codec", (), group="plica.codecs")
    monkeypatch.setattr(catalogue, "CODECS", table)
    monkeypatch.setattr(directory, "NETWORKS", directory.make_table_of_networks())
    yield tmp_path
    sys.modules.pop("lumen", None)


def test_network_and_offer_may_stand_in_one_module_before_there_are_weights(lumen):
    network = directory.make_network({"kind": "lumen"}, of="a recipe")

    assert network.code_channels == 2  # so that it can be trained
    with pytest.raises(UnknownName, match=r"'lumen'.*was imported, but has no weights to use yet"):
        catalogue.find_offer("lumen")
    assert [type(one) for _, one in catalogue.listing()] == [UnknownName]

    extras = {"network": {"kind": "lumen"}, "preparation": "full_range"}
    codec = NetworkCodec(
        card=replace(CARD, extras=extras), network=network, fingerprint="", steps=full_range
    )
    directory.write_directory(lumen / "lumen-2x2-2d", codec)
    assert catalogue.find_offer("lumen").card.weights.kind == "package"
    assert catalogue.load("lumen").fingerprint.startswith("sha256:")


BY_HAND = """
from pathlib import Path
from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Offer
from plica.codecs.packaged import build_packaged
from plica.preparation.pipelines import full_range
from tests.codecs.test_packaged import CARD, make
from dataclasses import replace

CARD = replace(CARD, name="lumen", weights=WeightsSource("package", filename="l.safetensors"))

def build(request):
    folder = Path(__file__).parent
    return build_packaged(CARD, request, make=make, folder=folder, steps=full_range)

OFFER = Offer(CARD, build)
"""


def say(*words):
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    return " ".join((done.stdout + done.stderr).split())


def test_a_card_by_hand_whose_weights_are_not_there_is_listed_as_such(lumen):
    (lumen / "lumen.py").write_text(BY_HAND)
    there = str(lumen / "l.safetensors")

    for words in (("codecs",), ("codecs", "lumen")):
        said = say(*words)
        assert "not there yet" in said
        assert f"Put the file beside the module, at {there}" in said
    assert [one["presence"] for one in list_codecs()] == ["broken"]
    with pytest.raises(WeightsError, match="Put the file beside the module"):
        catalogue.load("lumen")

    torch.manual_seed(0)
    save_file(make().state_dict(), there)
    catalogue.load("lumen")
    assert [one["presence"] for one in list_codecs()] == ["ready"]
    said = say("codecs") + say("codecs", "lumen")
    assert "not there yet" not in said
    assert "Put the file" not in said


@pytest.mark.parametrize("weights", ["lumen/deep/weights/l.safetensors", "lumen/l.safetensors"])
def test_weights_anywhere_in_a_package_are_there(lumen, weights, monkeypatch):
    (lumen / "lumen.py").unlink()
    (lumen / weights).parent.mkdir(parents=True)
    (lumen / "lumen" / "__init__.py").write_text("")
    (lumen / "lumen" / "codec.py").write_text(BY_HAND)
    monkeypatch.setattr(catalogue, "CODECS", Registry("codec", (("lumen", "lumen.codec:OFFER"),)))
    assert "holds no l.safetensors" in catalogue.find_empty("lumen")
    (lumen / weights).touch()
    assert catalogue.find_empty("lumen") == ""
    sys.modules.pop("lumen.codec")
