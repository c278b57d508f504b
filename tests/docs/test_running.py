"""The pages that are run as they stand: their commands and their Python, in their order."""

import re

import pytest
from tests.docs.blocks import ROOT, find_blocks
from tests.docs.scenes import (
    lay_latent,
    lay_pictures,
    lay_reports,
    lay_segmented,
    lay_study,
    lay_volume,
)
from typer.testing import CliRunner

from plica.cli.main import app

SCENES = {
    "docs/index.md": (lay_study,),
    "docs/geometry.md": (lay_study,),
    "docs/units.md": (lay_study,),
    "docs/tiling.md": (lay_study,),
    "docs/latents.md": (lay_volume, lay_latent),
    "docs/identity.md": (lay_study,),
    "docs/memory.md": (lay_volume,),
    "docs/augmentation.md": (lay_segmented,),
    "docs/bulk.md": (lay_study,),
    "docs/distribution.md": (lay_pictures,),
    "docs/evaluating.md": (lay_pictures,),
    "docs/faithfulness.md": (lay_pictures, lay_volume),
    "docs/protocols.md": (),
    "docs/reports.md": (lay_reports,),
}
"""What each page finds where it is run."""
SMALLER = {"medvae-4x1-2d": "compact-4x1-2d", "medvae-4x1-3d": "compact-4x1-3d"}
"""Codecs that take a command's random weights as well, of a hundredth of the numbers."""
QUICKER = {
    "verify": ("--side", "16"),
    "evaluate faithfulness": ("--limit", "1"),
    "evaluate reconstruction": ("--limit", "2", "--metric", "psnr", "ssim"),
    "evaluate efficiency": ("--only", "storage", "--limit", "3"),
    "evaluate distribution": ("--repeats", "2", "--metric", "fid"),
    "evaluate probe": ("--epochs", "1", "--seeds", "1", "--size", "32x32", "--probe", "pooled-2d"),
}
"""Words that make a command take seconds; all else of it is as on the page."""


@pytest.mark.parametrize("page", SCENES)
def test_its_blocks_run_one_after_another(page, tmp_path, monkeypatch):
    for lay in SCENES[page]:
        lay(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in find_blocks(ROOT / page):
        if block.shown:
            continue
        if block.language == "python":
            exec(compile(block.text, block.name, "exec"), names)
        assert block.others == [], f"{block.name} has what is no command of plica"
        for words in block.commands:
            run(words)


def run(words):
    """A command, which must succeed; a pattern of a key stands for a key."""
    line = " ".join(words[1:])
    more = [word for start, extra in QUICKER.items() if line.startswith(start) for word in extra]
    if "--random-weights" in words:
        words = [SMALLER.get(word, word) for word in words]
    done = CliRunner().invoke(app, [*words[1:], *more])
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    assert not re.search(r"Traceback", done.output)
