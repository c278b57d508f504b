"""The code of docs/stores.md is run, block after block, on a small made store."""

import re
import shutil
from pathlib import Path

import pytest
from tests.test_examples import make_archive

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "stores.md").read_text(encoding="utf-8")


def test_its_blocks_run_one_after_another(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    pytest.importorskip("pandas")
    store, labels = make_archive(tmp_path, count=12)
    shutil.move(store, tmp_path / "archive.store")
    shutil.move(labels, tmp_path / "labels.csv")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 3
    seen = {}
    for block in blocks:
        code = block.replace("num_workers=4", "num_workers=0").replace("range(10)", "range(2)")
        exec(compile(code, "docs/stores.md", "exec"), seen)

    assert seen["batch"]["codes"].shape == (12, 1, 16, 16, 1)
    assert len(seen["data"]) == 9
    assert seen["image"].grid.shape == (64, 64, 1)


def test_it_names_every_column_of_the_index():
    from plica.formats.store_index import COLUMNS

    listed = PAGE[PAGE.index("Columns of the index") : PAGE.index("No patient's name")]
    assert set(re.findall(r"`([a-z_0-9]+)`", listed)) == set(COLUMNS)
