"""The code of docs/stores.md is run, block after block, on a store `plica bulk encode` made."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.cli.inside import plica as run

import plica
from plica.formats.store import Store

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "stores.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(once):
    """A store made in the documented way, of radiographs whose folders are patients' names."""
    pytest.importorskip("pyarrow")
    return once("store", make_store)


def make_store(folder):
    chance = np.random.default_rng(0)
    lines = ["path,patient,split,finding"]
    for n in range(12):
        path = f"images/SMITH_JOHN_{n // 2}/{n}.png"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        # Radiographs are of several sizes.
        save(chance.integers(0, 255, (64, 64 + 4 * (n % 3)), np.uint8), folder / path)
        split = "dev-test" if n // 2 == 5 else "train"
        lines.append(f"{path.removeprefix('images/')},p{n // 2},{split},{n % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    store = folder / "archive.store"
    for words in (
        ("encode", folder / "images", "-o", store, "-c", "linear-4x1-2d"),
        ("status", store, "-o", folder / "keys.csv"),
    ):
        assert run("bulk", *words).returncode == 0


def save(pixels, path):
    from PIL import Image

    Image.fromarray(pixels).save(path)


def test_its_blocks_run_one_after_another(made, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(made)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 10
    seen, sizes, gone = {}, [], None
    for block in blocks:
        code = block.replace("num_workers=4", "num_workers=0").replace("range(10)", "range(2)")
        exec(compile(code, "docs/stores.md", "exec"), seen)
        gone = gone or seen.get("gone")
        sizes.append(len(seen["data"]))

    assert seen["batch"]["codes"].shape == (12, 1, 18, 16, 1)
    assert seen["batch"]["mask"].sum((1, 2, 3, 4)).unique().tolist() == [16 * 16, 17 * 16, 18 * 16]
    assert sizes == [12, 10, 10, 12, 12, 12, 12, 12, 12, 12]
    assert len(seen["train"]) + len(seen["held_out"]) == 12
    assert {type(seen["data"][0]["finding"]), type(seen["data"][0]["patient"])} == {np.float32, str}
    assert seen["image"].grid.shape in {(side, 64, 1) for side in (64, 68, 72)}
    check_bare(seen["store"])
    check_rest(seen["store"], gone)
    stored = seen["store"].codes(seen["row"]["key"])
    assert np.array_equal(seen["numbers"].numpy(), np.asarray(stored, np.float32))


def check_bare(store):
    """Latents that were written one by one are the store's, and say of none which it is."""
    bare = [plica.read_latent(path) for path in sorted(Path("bare").iterdir())]
    assert len(bare) == 12
    assert {(one.provenance.series, one.provenance.content) for one in bare} == {("", "")}
    known = {store.read(key).codes.tobytes() for key in store.keys}
    assert {one.codes.tobytes() for one in bare} == known


def check_rest(store, gone):
    """Of one patient nothing is left, and of the others all."""
    rest = Store.open("rest.store")
    assert len(gone) == 2
    assert set(rest.keys) == set(store.keys) - gone
    for key in rest.keys:
        assert np.array_equal(rest.read(key).codes, store.read(key).codes)
        assert rest.check(key)


def test_its_labels_by_key_refuse_a_path_that_has_several_latents(made, tmp_path, monkeypatch):
    rows = (made / "keys.csv").read_text().splitlines()
    twice = rows[1].replace(rows[1][:4], "0000", 1)
    (tmp_path / "keys.csv").write_text("\n".join([*rows, twice]))
    shutil.copy(made / "labels.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (block,) = (one for one in blocks if "keys.csv" in one)
    with pytest.raises(SystemExit, match="several latents"):
        exec(compile(block, "docs/stores.md", "exec"), {})
    assert not (tmp_path / "labels_by_key.csv").exists()


def test_a_copy_without_the_ledger_opens_and_names_nobody(made, tmp_path):
    line = next(line for line in PAGE.splitlines() if line.startswith("rsync"))
    words = shlex.split(line)
    left = [words[n + 1] for n, word in enumerate(words) if word == "--exclude"]
    assert words[-2:] == ["archive.store/", "copy.store/"]
    packing = shlex.split(next(x for x in PAGE.splitlines() if x.startswith("tar")), comments=True)
    assert left == [packing[n + 1] for n, word in enumerate(packing) if word == "--exclude"]
    copy = tmp_path / "copy.store"
    shutil.copytree(made / "archive.store", copy, ignore=shutil.ignore_patterns(*left))
    assert sorted(path.name for path in copy.iterdir()) == ["index", "shards", "store.json"]
    assert not any(b"SMITH" in path.read_bytes() for path in copy.rglob("*") if path.is_file())
    assert any(b"SMITH" in path.read_bytes() for path in (made / "archive.store").glob("ledger*"))
    assert len(plica.open_store(copy)) == 12
    store = Store.open(copy)
    assert store.read(store.keys[0]).source.shape[1:] == (64, 1)


def test_it_names_every_column_of_the_index():
    from plica.formats.store_index import COLUMNS

    listed = PAGE[PAGE.index("Columns of the index") : PAGE.index("## Whose names")]
    listed = listed[: listed.index("What `plica bulk encode`")]
    assert set(re.findall(r"`([a-z_0-9]+)`", listed)) == set(COLUMNS)


def test_it_shows_everything_that_lies_in_a_store(made):
    tree = PAGE[PAGE.index("archive.store/\n") : PAGE.index("Needs `pip")]
    names = {path.name for path in (made / "archive.store").iterdir()}
    assert {name for name in names if name not in tree} == set()
