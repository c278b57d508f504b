"""What the README shows is run: its Python, and its commands in their order."""

import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.augmentation.made import write_nnunet
from tests.codecs.test_tiny import make_folder
from typer.testing import CliRunner

from plica.cli.main import app

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """The folder the README speaks of, with a real CT series from pydicom's test files.

    Weights and labelled images are made.
    """
    series = (
        Path(find_spec("pydicom").origin).parent / "data/test_files/dicomdirtests/98892001/CT5N"
    )
    for place in ("study/ct_thorax", "ct"):
        shutil.copytree(series, tmp_path / place)
    make_folder(tmp_path / "weights")
    write_nnunet(tmp_path / "labelled", names=("p1", "p2", "p3", "p4", "p5"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_python_and_then_its_commands_run(study):
    (python,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(python, "README.md", "exec"), {})
    assert (study / "ct.nii.gz").is_file()

    commands = re.findall(r"^(plica .*)$", README, flags=re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        words = shlex.split(command, comments=True)
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"
    assert list((study / "latents").rglob("*.latent"))
    assert list((study / "decoded").rglob("*.nii.gz"))
    assert (study / "panel.png").is_file()


def test_every_file_it_links_to_is_there():
    root = Path(__file__).resolve().parent.parent
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (root / target).exists(), target
