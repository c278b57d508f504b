"""plica codecs: a card for people says apart what was trained on and what chose the checkpoint."""

from dataclasses import replace

import pytest
from tests.codecs.test_directory import make_codec

from plica.cli import codecs
from plica.codecs.catalogue import find_offer, load
from plica.codecs.codec import Request
from plica.codecs.directory import write_directory
from plica.codecs.modelcard import write_model_card
from plica.errors import UnknownName

CHOSE = "· chose the checkpoint; not trained on: data "


def show(card, capsys, monkeypatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "400")
    codecs._show(card, as_json=False)
    return capsys.readouterr().out.splitlines()


def test_a_card_parts_what_was_trained_on_from_what_chose_the_checkpoint(capsys, monkeypatch):
    lines = show(find_offer("compact-4x3-2d").card, capsys, monkeypatch)
    trained = [line for line in lines if line.startswith("· training: data ")]
    chose = [line for line in lines if line.startswith(CHOSE)]
    assert (len(trained), len(chose)) == (10, 8)
    assert all("split train" in line for line in trained)
    assert all("split dev-test" in line for line in chose)


@pytest.mark.parametrize("training", ["on my own", {"data": [{"source": "a", "split": "train"}]}])
def test_a_card_that_tells_no_parts_is_shown_as_it_stands(training, capsys, monkeypatch):
    card = replace(find_offer("compact-4x3-2d").card, extras={"training": training})
    lines = show(card, capsys, monkeypatch)
    assert any(line.startswith("· training") for line in lines)
    assert not any(line.startswith(CHOSE) for line in lines)


def test_weights_of_a_folder_lie_in_it_and_those_of_a_name_are_to_be_given(
    tmp_path, capsys, monkeypatch
):
    folder = write_directory(tmp_path / "mine", make_codec())
    said = {
        name: next(line for line in show(find_offer(name).card, capsys, monkeypatch)
                   if line.startswith("weights"))
        for name in (str(folder), "kl-f4")
    }  # fmt: skip
    assert "beside its card, filename weights.safetensors" in said[str(folder)]
    assert "--weights" not in said[str(folder)]
    assert "--weights, filename kl-f4/model.ckpt" in said["kl-f4"]


def test_a_stitched_codec_has_a_card(capsys, monkeypatch):
    card = find_offer("stitched:compact-4x3-2d").card
    own = find_offer("compact-4x3-2d").card
    lines = " ".join(" ".join(show(card, capsys, monkeypatch)).split())

    assert (card.dims, card.total_factor, card.channels) == (3, 64, own.channels)
    assert card.summary == (
        "compact-4x3-2d slice by slice, its codes interpolated along the third axis."
    )
    assert "codes of neighbouring slices are interpolated" in lines
    assert "not for thick slices" in write_model_card(card)
    assert "## Lesions" in write_model_card(own)  # measured of slices alone
    assert "## Lesions" not in write_model_card(card)


def test_the_card_of_a_stitched_codec_is_that_of_the_one_loaded():
    name = "stitched:linear-4x3-2d"
    offered = find_offer(name)

    assert offered.card == load(name).card == offered.build(Request()).card


@pytest.mark.parametrize("name", ["linear-4x1-3d", "jpeg2000", "wan2.1"])
def test_what_folds_no_slices_has_no_stitched_card(name):
    with pytest.raises(UnknownName, match="choose a 2d codec"):
        find_offer(f"stitched:{name}")
