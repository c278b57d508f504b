"""What docs/tutorial.md shows is run, in its order, on a real series."""

import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

from typer.testing import CliRunner

from plica.cli.main import app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"


def test_every_command_and_every_block_runs(tmp_path, monkeypatch):
    packaged = Path(find_spec("pydicom").origin).parent / "data/test_files/dicomdirtests/98892001"
    shutil.copytree(packaged / "CT5N", tmp_path / "study" / "ct")
    shutil.copytree(packaged / "CT2N", tmp_path / "export" / "z")
    shutil.copytree(packaged / "CT5N", tmp_path / "export" / "a")
    shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path / "export")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(console|python)\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert {kind for kind, _ in blocks} == {"console", "python"}
    names: dict[str, object] = {}
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, PAGE.name, "exec"), names)
            continue
        for command in block.splitlines():
            done = CliRunner().invoke(app, shlex.split(command, comments=True)[1:])
            assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"
    for made in ("latents/ct.latent", "decoded/ct.dcm/000005.dcm", "ct.png", "difference.nii.gz"):
        assert (tmp_path / made).is_file(), made
