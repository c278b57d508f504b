"""plica evaluate protocols: lists, shows, and makes cohorts; and the page about it is true."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from tests.evaluation.test_tasks import make_graz, make_mrnet
from typer.testing import CliRunner

from plica import settings
from plica.cli.main import app
from plica.errors import InputError, SettingsError, UnknownName
from plica.evaluation.protocol import Protocol, list_protocols
from plica.evaluation.tasks import TASKS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "protocols.md").read_text(encoding="utf-8")


def protocols(*words):
    return CliRunner().invoke(
        app, ["evaluate", "protocols", *map(str, words)],
        catch_exceptions=False, standalone_mode=False,
    ).stdout  # fmt: skip


def test_the_list_has_every_protocol_and_every_task():
    shown = protocols()
    for name in (*(listed.name for listed in list_protocols()), *TASKS):
        assert re.search(rf"^{name}\b", shown, re.MULTILINE), name
    record = json.loads(protocols("--json"))
    assert {one["name"] for one in record["tasks"]} == set(TASKS)
    assert len(record["protocols"]) == len(list_protocols())


def test_a_protocol_shows_what_it_needs_and_what_was_published():
    shown = protocols("medvae-table-7")
    for needed in ("320×320×160", "-1000 … 1000 HU", "zenodo.org", "18.65", "medvae-8x1-3d",
                   "The paper does not say"):  # fmt: skip
        assert needed in shown
    record = json.loads(protocols("medvae-table-7", "--json"))
    assert record["published"][0]["values"]["Head CTs"]["ms-ssim"] == [0.997]
    assert {one["name"] for one in record["datasets"]} >= {"cq500", "amos", "mrnet"}


def test_a_number_has_the_digits_the_paper_prints():
    assert "0.990" in protocols("medvae-table-6")
    assert "70.0" in protocols("precursor-table-1")
    assert "82.9 ± 2.2" in protocols("medvae-table-4")


def test_a_protocol_of_ones_own_is_shown_by_its_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nversion = 3\ntitle = "Mine."\nmetrics = ["mae"]\n')
    assert "Mine." in protocols(path)


def test_what_is_done_to_an_image_before_it_is_judged_is_shown(tmp_path):
    path = tmp_path / "mine.toml"
    group = '[[groups]]\nname = "{0}"\nwhere = {{ category = ["{0}"] }}\n{1}\n'
    path.write_text(
        'name = "mine"\nversion = 3\ntitle = "Mine."\nmetrics = ["mae"]\n'
        + group.format("a", 'boxes = "lesion"\nresize = { shape = [64, 48, 1] }')
        + group.format("b", "resize = { longest = 512 }\ncrop = { voxels = [99, 98, 1] }")
    )
    shown = protocols(path)
    assert "64×48×1, inside lesion" in shown
    assert "middle 99×98×1, longest side 512" in shown


def test_a_task_shows_where_its_images_are_and_what_is_taken_for_what():
    shown = protocols("cq500-fracture")
    for needed in ("headctstudy.qure.ai", "reads.csv", "none, fracture", "224x224x44",
                   "two of three readers", "classes equally often"):  # fmt: skip
        assert needed in shown
    assert json.loads(protocols("cq500-fracture", "--json"))["shape"] == [224, 224, 44]


def test_a_cohort_is_made_and_the_next_command_is_printed(tmp_path):
    out = tmp_path / "knees.csv"
    record = json.loads(
        protocols("mrnet-tear", "--data", make_mrnet(tmp_path / "m"), "-o", out, "--json")
    )
    assert record["images"] == {"train": 38, "test": 2}
    words = shlex.split(record["next"])
    assert words[:4] == ["plica", "evaluate", "probe", str(out)]
    assert words[words.index("--size") + 1] == "56x256x256"
    assert "--balanced" in words
    assert "40 images here, 1250 in the paper" in record["notes"][0]


def test_a_cohort_is_made_for_people_too(tmp_path):
    made = protocols(
        "grazpedwri-boxes", "--data", make_graz(tmp_path / "g"), "-o", tmp_path / "b.csv"
    )
    assert "--protocol medvae-table-5-fractures" in made
    quiet = ("grazpedwri-boxes", "--data", tmp_path / "g", "-o", tmp_path / "c.csv", "--quiet")
    assert protocols(*quiet) == ""
    assert (tmp_path / "c.csv").read_text() == (tmp_path / "b.csv").read_text()


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nosuch"], UnknownName, "no protocol 'nosuch'"),
        (["cmmd-malignancy", "--data", "."], SettingsError, "--out TABLE"),
        (["--data", ".", "-o", "x.csv"], SettingsError, "the task, --data FOLDER"),
        (["medvae-table-2", "--data", ".", "-o", "x.csv"], UnknownName, "no task"),
        (["cmmd-malignancy", "--data", "/nowhere", "-o", "x.csv"], InputError, "to be had at"),
    ],
)
def test_what_cannot_be_done_is_said(words, error, message):
    with pytest.raises(error, match=message):
        protocols(*words)


# -- docs/protocols.md ---------------------------------------------------------------------------


def test_the_pages_protocol_is_one():
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    protocol = settings.parse(Protocol, text)
    assert protocol.groups[0].crop.voxels == tuple(
        tomllib.loads(text)["groups"][0]["crop"]["voxels"]
    )


def test_the_pages_commands_show_what_they_say():
    commands = re.findall(r"^plica evaluate protocols(.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 4
    for command in commands[:3]:
        assert protocols(*shlex.split(command, comments=True))
