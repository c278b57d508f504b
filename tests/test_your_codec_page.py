"""What docs/your-codec.md shows is done: a package is installed, trained, judged and removed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.docs.blocks import ROOT, Block, find_blocks

import plica
from plica.codecs.directory import NETWORKS
from plica.training.objectives import OBJECTIVES
from plica.training.recipes import read_recipe
from plica.training.starting import build_network

PAGE = ROOT / "docs" / "your-codec.md"
NAME = "foldnet-8x4-2d"
OURS = Path(plica.__file__).parents[1]
FEWER = ["--metric", "psnr", "--worst", "1"]
"""Charts and pictures take most of a report's time; all else is as on the page."""
# Several commands in one process: it takes seconds to begin one. Charts are drawn coarse.
DRIVER = """
import json, sys
from typer.testing import CliRunner
from plica.cli.main import app
from plica.evaluation import drawing
drawing.STYLE["pdf.fonttype"], drawing.DPI = 3, 60
for words in json.load(sys.stdin):
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    print(done.output)
    if done.exit_code:
        sys.exit(f"{words}: {done.exit_code}")
"""


class Place:
    """A folder in which the page is followed, and what pip installed for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site = folder, folder.parent / "site"
        self.said: dict[str, str] = {}

    def follow(self, block: Block) -> None:
        """A file is written, Python is run, commands are done in their order."""
        named = re.match(r"# (\S+\.\w+)\n", block.text)
        if named and block.language in {"python", "toml"}:
            file = self.folder / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            self.run("-c", block.text)
        elif block.language == "console":
            self.do([shlex.split(line, comments=True) for line in block.text.splitlines()])

    def do(self, lines: list[list[str]]) -> None:
        ours: list[list[str]] = []
        for words in [*lines, []]:
            if words[:1] == ["plica"]:
                quicker = FEWER if words[1:3] == ["evaluate", "reconstruction"] else []
                ours.append([*words[1:], *quicker])
                continue
            if ours:
                self.said[" ".join(ours[-1])] = self.run("-c", DRIVER, given=json.dumps(ours))
                ours = []
            if words[:2] == ["pip", "install"]:
                self.install(self.folder / words[-1])
            elif words[:2] == ["pip", "uninstall"]:
                shutil.rmtree(self.site)
            elif words[:1] == ["python"]:
                self.said[" ".join(words)] = self.run(*words[1:])
            elif words[:1] == ["cp"]:
                source, into = (self.folder / one for one in words[-2:])
                shutil.copytree(source, into / source.name)
            else:
                assert not words, words

    def install(self, project: Path) -> None:
        """As pip does, or where what it builds with is missing, what it would leave."""
        if find_spec("hatchling") and find_spec("pip"):
            self.run("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--upgrade",
                     "--no-index", "--target", str(self.site), str(project))  # fmt: skip
            return
        shutil.copytree(project / "foldnet", self.site / "foldnet", dirs_exist_ok=True)
        metadata = self.site / "foldnet-1.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: foldnet\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(
            "[plica.networks]\nfoldnet = foldnet.network:FoldNet\n"
            f"[plica.codecs]\n{NAME} = foldnet.codec:OFFER\n"
        )

    def run(self, *words: str, given: str = "") -> str:
        path = os.pathsep.join([str(self.site), str(OURS), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, input=given, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def lay_pictures(folder: Path) -> None:
    """Ten pictures of ten patients, six of them to train on."""
    folder.mkdir()
    rows = ["path,patient,split"]
    for n in range(10):
        chance = np.random.default_rng(n)
        y, x = np.mgrid[:96, :80]
        picture = 128 + 60 * np.sin(x / (9 + n)) * np.cos(y / 8) + chance.normal(0, 2, y.shape)
        pixels = np.clip(picture.T, 0, 255).astype(np.uint8)[None, :, :, None]
        grid = plica.Grid.from_spacing((80, 96, 1), (1, 1, 1), calibrated=False)
        plica.write(plica.Image(pixels, grid, plica.Unit.DISPLAY), folder / f"{n}.png")
        rows.append(f"{n}.png,p{n},{'train' if n < 6 else 'dev-test'}")
    (folder / "images.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def place(once):
    """The whole page, followed to its end; what stands in between is looked at on the way."""
    author = once("author", lambda folder: follow(Place(folder / "work")))
    place = Place(author / "work")
    place.said = json.loads((author / "said.json").read_text(encoding="utf-8"))
    return place


def follow(place: Place) -> None:
    lay_pictures(place.folder)
    for block in find_blocks(PAGE):
        if "pip uninstall" in block.text:
            place.said["page"] = place.run(str(ROOT / "docs" / "make_codecs.py"), "--print", NAME)
            encode = ["encode", "9.png", "-o", "9.latent", "--codec", NAME]
            place.run("-c", DRIVER, given=json.dumps([encode]))
            place.said["before"] = place.run("-c", DRIVER, given='[["codecs"]]')
        place.follow(block)
    said = place.folder.parent / "said.json"
    said.write_text(json.dumps(place.said), encoding="utf-8")


def test_an_installed_codec_is_listed_with_what_its_card_says(place):
    (row,) = (line for line in place.said["before"].splitlines() if NAME in line)
    assert row.split()[:5] == [NAME, "slices", "8", "4", "16"]
    assert "its package" in row
    card = place.said[f"card {NAME}"]
    assert "inside the package that brings the codec" in card
    assert "| unnamed | train | 6 | 6 |" in card


def test_the_contract_holds_and_tiles_are_part_of_it(place):
    said = place.said[f"python -m plica.testing {NAME}"]
    assert re.search(r"\d\d passed", said)
    assert "failed" not in said
    assert "encoder_reach" not in said  # the test of tiles was not skipped


def test_reports_and_pages_name_it(place):
    report = (place.folder / "report" / "report.md").read_text(encoding="utf-8")
    assert re.search(rf"\| {NAME} +\| 16 ", report)
    assert "compare those of equal voxels per code" not in report  # all of them keep 16
    assert f"## {NAME}" in place.said["page"]
    assert "voxels per code" in place.said["page"]


def test_removed_it_is_in_no_list_and_its_latents_say_how_they_are_decoded(place):
    assert NAME not in place.said["codecs"]
    assert "bicubic-4x-2d" in place.said["codecs"]
    with pytest.raises(AssertionError, match="install the package that offers it; or, if"):
        place.run("-m", "plica", "decode", "9.latent", "-o", "9.nii.gz")


def test_the_recipe_on_the_page_of_training_builds_its_network(tmp_path):
    section = (
        (ROOT / "docs" / "training.md").read_text(encoding="utf-8").split("## Your own network")
    )
    (tmp_path / "mine.toml").write_text(re.search(r"```toml\n(.*?)```", section[1], re.DOTALL)[1])

    network = build_network(read_recipe(tmp_path / "mine.toml"))

    assert (network.factor, network.code_channels) == (8, 4)


def test_the_pages_lists_of_networks_and_objectives_are_whole():
    training = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    section = training[training.index("## Your own network") :].split("\n## ")[0]
    for kind in NETWORKS:
        if NETWORKS[kind].startswith("plica."):
            assert f"`{kind}`" in section, kind
            assert f"`{kind}`" in PAGE.read_text(encoding="utf-8"), kind
    for objective in OBJECTIVES:
        assert f"`{objective}`" in section, objective
