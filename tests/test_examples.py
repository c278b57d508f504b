"""The examples are run, on a small store that is made for them."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import plica
from plica.errors import InputError
from plica.formats.store import Store
from plica.formats.store_writing import ShardWriter

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def load_example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_picture(chance, *, found):
    """Noise; with the finding, a bright disc somewhere within."""
    pixels = chance.normal(100, 20, (1, 64, 64, 1))
    if found:
        i, j = chance.integers(12, 52, 2)
        away = np.hypot(*np.meshgrid(np.arange(64) - j, np.arange(64) - i))
        pixels[0, ..., 0] += 60 * (away < 8)
    grid = plica.Grid.from_spacing((64, 64, 1), calibrated=False)
    return plica.Image(pixels.clip(0, 255).astype(np.uint8), grid, unit=plica.Unit.DISPLAY)


def make_archive(folder, count=60, coloured=()):
    """A store of radiographs' latents, and the table of what is on them."""
    codec = plica.load("linear-4x1-2d")
    chance = np.random.default_rng(0)
    pictures = [make_picture(chance, found=n // 3 % 2 == 1) for n in range(count)]
    for n in coloured:
        fainter = [pictures[n].pixels // by for by in (1, 2, 3)]
        pictures[n] = pictures[n].with_pixels(np.concatenate(fainter))
    latents = [codec.encode(picture) for picture in pictures]
    store = Store.create(folder / "a.store", codec=latents[0].codec, dtype="float16")
    for shard in range(3):
        with ShardWriter(store) as writer:
            for n in range(shard, count, 3):
                writer.add(f"series-{n}", latents[n], {"source": f"{n}.png"})
    lines = [f"{n}.png,p{n},{'train' if n % 4 else 'dev-test'},{n // 3 % 2}" for n in range(count)]
    (folder / "a.csv").write_text("\n".join(["path,patient,split,finding", *lines]))
    return store.folder, folder / "a.csv"


def test_a_classifier_learns_a_finding_from_a_store(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    store, labels = make_archive(tmp_path)
    options = ["--epochs", "3", "--side", "16", "--batch", "8", "--rate", "3e-3"]
    train = load_example("train_on_store")
    area = train.main([str(store), str(labels), *options])

    assert area > 0.9
    assert f"AUROC {area:.3f} on 15 images" in capsys.readouterr().out
    again = train.main([str(store), str(labels), *options])
    assert again == area


def test_a_training_on_a_store_divides_patients_and_goes_on(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    store, labels = make_archive(tmp_path)
    rows = [line.split(",") for line in labels.read_text().splitlines()]
    labels.write_text("\n".join(",".join((path, who, found)) for path, who, _, found in rows))
    options = ["--side", "16", "--batch", "8", "--rate", "3e-3", "--save", str(tmp_path / "run.pt")]
    train = load_example("train_on_store")
    whole = train.main([str(store), str(labels), *options, "--epochs", "2"])
    said = capsys.readouterr()
    assert "no column 'split': patients divided by seed 0, 54 train and 6 dev-test" in said.err
    assert re.search(r"epoch 2 of 2: cross-entropy [\d.]+ nats, [\d.]+ s", said.err)

    (tmp_path / "run.pt").unlink()
    train.main([str(store), str(labels), *options, "--epochs", "1"])
    again = train.main([str(store), str(labels), *options, "--epochs", "2", "--resume"])
    assert "epochs that are done already: 1\n" in capsys.readouterr().err
    assert again == whole


def test_a_training_on_a_store_says_in_a_sentence_what_is_wrong(tmp_path):
    pytest.importorskip("pyarrow")
    store, labels = make_archive(tmp_path, count=6)
    labels.write_text(labels.read_text() + "\nabsent.png,q,train,1")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "train_on_store.py", store, labels],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: 1 of ")
    assert "absent.png" in done.stderr
    assert "leave such rows out by --leave-out-missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("split", "value", "many"), [("dev-test", 0, "0 of the 15"), ("train", 1, "45 of the 45")]
)
def test_a_training_on_a_store_is_not_begun_where_a_split_is_of_one_kind(
    tmp_path, split, value, many
):
    pytest.importorskip("pyarrow")
    store, labels = make_archive(tmp_path)
    rows = [line.rsplit(",", 1) for line in labels.read_text().splitlines()]
    changed = [f"{row},{value if split in row else found}" for row, found in rows]
    labels.write_text("\n".join([",".join(rows[0]), *changed[1:]]))
    with pytest.raises(InputError, match=rf"{many} images of {split} .*AUROC.*another --seed"):
        load_example("train_on_store").main([str(store), str(labels), "--side", "16"])


@pytest.mark.parametrize("coloured", [(1,), (0,)], ids=["train", "dev-test"])
def test_a_training_on_a_store_of_grey_and_colour_is_not_begun(tmp_path, coloured):
    pytest.importorskip("pyarrow")
    store, labels = make_archive(tmp_path, count=24, coloured=coloured)
    said = r"1 of the 24 latents have codes of 3 channels, .*colour.* others of 1, .*a\.csv"
    with pytest.raises(InputError, match=said):
        load_example("train_on_store").main([str(store), str(labels), "--side", "16"])


def test_a_training_on_a_store_leaves_rows_without_a_latent_out(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    store, labels = make_archive(tmp_path)
    train = load_example("train_on_store")
    options = ["--side", "16", "--batch", "8", "--epochs", "1"]
    area = train.main([str(store), str(labels), *options])
    assert "left out" not in capsys.readouterr().err
    labels.write_text(labels.read_text() + "\nabsent.png,q,train,1")
    again = train.main([str(store), str(labels), *options, "--leave-out-missing"])
    assert again == area
    assert "train: rows left out, without a latent: 1\n" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_each_example_says_what_it_takes(path):
    done = subprocess.run(
        [sys.executable, path, "--help"], capture_output=True, text=True, check=True
    )
    assert "usage" in done.stdout
