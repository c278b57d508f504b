"""Every block of code in the documentation is run, or says why not, and is never out of date."""

import csv
import json
import re
import tomllib
from functools import cache

import pytest
import typer
from tests.docs.blocks import PARSED, PICTURED, ROOT, RUN, find_blocks, list_pages
from tests.docs.test_running import SCENES

from plica.cli.main import app

ELSEWHERE = {
    "README.md": "tests/test_readme.py",
    "docs/tutorial.md": "tests/test_tutorial.py",
    "docs/stores.md": "tests/test_stores_page.py",
    "docs/training.md": "tests/test_training_page.py",
    "docs/foundation.md": "tests/test_foundation_page.py",
    "docs/metrics.md": "tests/test_metrics_page.py",
    "docs/probing.md": "tests/test_probing_page.py",
    "docs/your-codec.md": "tests/test_your_codec_page.py",
}
"""Pages whose blocks another test runs, in files of its own making."""
PAGES = list_pages()
BLOCKS = [block for page in PAGES for block in find_blocks(page)]
COMMANDS = [(b.name, words) for b in BLOCKS for words in b.commands]


def read_rows(text):
    """A table, whose rows are all as long as its head."""
    rows = list(csv.reader(text.splitlines()))
    assert {len(row) for row in rows} == {len(rows[0])}
    return rows


@cache
def read_commands():
    """The command line, made once: that takes longer than parsing."""
    return typer.main.get_command(app)


def understand(words):
    """Have the command line parse a command, and not run it; what it took the words for."""
    group, rest = read_commands(), words[1:]
    context = group.make_context("plica", list(rest), resilient_parsing=True)
    command = group
    while hasattr(command, "get_command"):
        name, rest = rest[0], rest[1:]
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name}"
    return command.make_context(command.name, list(rest), parent=context)


def test_every_block_is_run_or_says_why_not():
    unknown = []
    for block in BLOCKS:
        page = str(block.page.relative_to(ROOT))
        elsewhere = ELSEWHERE.get(page)
        if block.language in PARSED | PICTURED or block.shown:
            continue
        if page not in SCENES and not elsewhere:
            unknown.append(block.name)
        if elsewhere:
            assert block.page.name in (ROOT / elsewhere).read_text(encoding="utf-8")
    assert unknown == []


def test_every_language_is_one_we_know():
    assert {block.language for block in BLOCKS} <= RUN | PARSED | PICTURED


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in PARSED], ids=lambda b: b.name)
def test_what_is_data_can_be_read(block):
    read = {"json": json.loads, "toml": tomllib.loads, "csv": read_rows}
    assert read[block.language](block.text), "nothing stands in it"


@pytest.mark.parametrize(("place", "words"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_is_understood(place, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert understand([word for word in words if word != "…"]).info_name in words


def test_every_page_stands_in_the_sites_navigation():
    site = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert set(re.findall(r'"([\w/.-]+\.md)"', site)) == pages
