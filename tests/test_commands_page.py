"""docs/commands.md says of each command what the command says of itself."""

import re
from pathlib import Path

from plica.cli.bulk import BULK
from plica.cli.evaluate import EVALUATIONS
from plica.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def test_every_command_has_its_heading():
    headings = set(re.findall(r"^#+ plica (.*)$", PAGE, flags=re.MULTILINE))
    assert headings == {
        *COMMANDS, *(f"evaluate {name}" for name in EVALUATIONS), *(f"bulk {name}" for name in BULK)
    }  # fmt: skip


def test_every_row_has_as_many_cells_as_its_table():
    for line in PAGE.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            assert len(cells) in {2, 3}, line
