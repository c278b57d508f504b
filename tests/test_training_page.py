"""The commands docs/training.md opens with are run, one after another, on real images."""

import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

from tests.contracts.small_cohorts import make_cohort
from typer.testing import CliRunner

from plica.cli.main import app
from plica.training.recipes import read_recipe

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "training.md").read_text(encoding="utf-8")


def test_its_commands_lead_from_images_to_a_codec(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_cohort(read_recipe("compact-4x3-2d"), shared, tmp_path / "images.csv", dims=2)
    series = Path(find_spec("pydicom").origin).parent / "data/test_files/dicomdirtests"
    shutil.copytree(series / "98892001/CT5N", tmp_path / "ct")

    commands = re.findall(r"^(plica .*)$", PAGE, flags=re.MULTILINE)
    assert [command.split()[1] for command in commands] == [
        "train", "train", "train", "export", "reconstruct",
    ]  # fmt: skip
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        if "--data" in words:  # where the next commands look for the run
            words += ["--smoke", "-o", "runs/compact-4x3-2d"]
        done = CliRunner().invoke(app, words)
        finished = "--resume" in words  # nothing interrupted it
        assert done.exit_code == (1 if finished else 0), f"{command}\n{done.output}"
    assert (tmp_path / "my-codec" / "README.md").is_file()
    assert (tmp_path / "out.nii.gz").is_file()
