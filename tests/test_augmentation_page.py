"""The page on augmentation: its code runs, and its commands are understood."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from plica.cli.evaluate import app as evaluations
from plica.cli.main import app

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "augmentation.md").read_text("utf-8")


def test_its_code_runs():
    pytest.importorskip("monai")
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/augmentation.md", "exec"), {})


def test_its_commands_have_the_options_they_are_given():
    group = typer.main.get_command(app)
    shell = "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL))
    lines = shell.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("plica ")]
    assert len(commands) >= 4
    for _, name, *words in commands:
        command = group.get_command(None, name)
        if name == "evaluate":
            command = typer.main.get_command(evaluations).get_command(None, words[0])
        known = {option for param in command.params for option in param.opts}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known
