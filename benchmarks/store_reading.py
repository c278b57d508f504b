"""How fast a training loop is fed from a store of latents, and from the images they were made of.

    python benchmarks/store_reading.py [--write]

Images are made (smooth shapes and noise), written in four forms, encoded by the linear codec and
stored as float16. All are read through PyTorch's loader, in a shuffled order, one after another in
the same run. Reading an image is `plica.read` and a tensor of its pixels: no resampling, no window,
which a training loop would add. Then an index of a million made rows is opened.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from pages import DOCS, put_section
from torch.utils.data import DataLoader, Dataset

import plica
from plica.formats.store import Store
from plica.formats.store_index import Facts, describe, write_rows
from plica.formats.store_writing import ShardWriter
from plica.latent import Latent

PAGE = DOCS / "stores.md"
MARK = "benchmarks/store_reading.py"
RUNS = 5
WORKERS = (0, 2)
FORMS = {
    "radiograph 1024², PNG": ("linear-4x1-2d", (1024, 1024, 1), "{}.png", 32),
    "CT 128³, .nii.gz": ("linear-4x1-3d", (128, 128, 128), "{}.nii.gz", 16),
    "CT 128³, .nii": ("linear-4x1-3d", (128, 128, 128), "{}.nii", 16),
    "CT 128³, DICOM series": ("linear-4x1-3d", (128, 128, 128), "{}/", 8),
}
COPIES = 50  # of each latent: a pass must last longer than a worker takes to answer
PER_SHARD = 1000


class Files(Dataset[Any]):
    """Each file as a tensor."""

    def __init__(self, paths: list[Path], read: Callable[[Path], torch.Tensor]) -> None:
        self.paths, self.read = paths, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> torch.Tensor:
        return self.read(self.paths[at])


def make_image(shape: tuple[int, int, int], number: int) -> plica.Image:
    """Smooth shapes of some hundred units, noise of ten."""
    chance = np.random.default_rng(number)
    axes = np.meshgrid(*(np.linspace(0, 6, side) for side in shape), indexing="ij", sparse=True)
    smooth = sum(np.cos(chance.uniform(0.5, 3) * axis + chance.uniform(0, 6)) for axis in axes)
    pixels = 300 * smooth + chance.normal(0, 10, shape) + 1000
    grid = plica.Grid.from_spacing(shape, (0.8, 0.8, 1.0))
    return plica.Image(pixels.astype(np.int16)[None], grid, unit=plica.Unit.HU)


def prepare(folder: Path, form: str) -> dict[str, Dataset[Any]]:
    """The images, their latents one file each, and a store of copies of them, as datasets."""
    codec_name, shape, name, count = FORMS[form]
    folder.mkdir()
    codec = plica.load(codec_name)
    images, files, latents = [], [], []
    for number in range(count):
        image = make_image(shape, number)
        place = name.format(number)
        plica.write(image, f"{folder}/{place}", **({"dtype": "uint16"} if ".png" in name else {}))
        images.append(folder / place)
        latents.append(codec.encode(image))
        files.append(plica.write(latents[-1], folder / f"{number}.latent", dtype="float16"))
    store = Store.create(folder / "store", codec=latents[0].codec, dtype="float16")
    for copy in range(COPIES):
        with ShardWriter(store) as writer:
            for number, latent in enumerate(latents):
                writer.add(f"{copy}-{number}", latent)
    return {
        "images": Files(images, read_image),
        "files": Files(files * COPIES, read_latent),
        "store": plica.open_store(store.folder).stream(),
    }


def read_image(path: Path) -> torch.Tensor:
    """The pixels of an image."""
    return plica.read(path).to_torch()


def read_latent(path: Path) -> torch.Tensor:
    """The codes of a latent file."""
    return torch.from_numpy(plica.read_latent(path).codes)


def time_once(loader: DataLoader[Any]) -> float:
    """Items per second of one pass."""
    begun = time.perf_counter()
    items = sum(len(batch["key"] if isinstance(batch, dict) else batch) for batch in loader)
    return items / (time.perf_counter() - begun)


def compare(sources: dict[str, Dataset[Any]], form: str, workers: int) -> str:
    """One line of the table."""
    loaders = {
        name: DataLoader(
            data,
            batch_size=4,
            shuffle=None if name == "store" else True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        for name, data in sources.items()
    }
    for loader in loaders.values():  # starts the workers and fills the disk's cache
        time_once(loader)
    runs = [{name: time_once(loader) for name, loader in loaders.items()} for _ in range(RUNS)]
    rates = {name: [run[name] for run in runs] for name in loaders}
    ratios = [run["store"] / run["images"] for run in runs]
    cells = [f"{statistics.median(each):,.0f} ({min(each):,.0f})" for each in rates.values()]
    return (
        f"| {form} | {workers} | {' | '.join(cells)} | {statistics.median(ratios):,.0f}× "
        f"({min(ratios):,.0f}×) |"
    )


# -- a large index -------------------------------------------------------------------------------


def make_index(folder: Path, rows: int) -> Store:
    """A store's index of made rows, without its shards: opening reads none of them."""
    image = make_image((16, 16, 16), 0)
    latent: Latent = plica.load("linear-4x1-3d").encode(image)
    store = Store.create(folder, codec=latent.codec)
    with ShardWriter(store, "made") as writer:
        row = describe(writer.add("made", latent), {})
    store.discard("made")
    chance = np.random.default_rng(0)
    for shard in range(rows // PER_SHARD):
        name = f"{shard:06d}"
        lines = [
            row | {
                "key": chance.bytes(16).hex(), "sha256": chance.bytes(32).hex(),
                "source_hash": chance.bytes(32).hex(), "source": f"site/{shard}/{n}.nii.gz",
                "shard": name, "bytes": 32768, "codes_at": 1_000_000 + 32768 * n, "scale_at": -1,
                "seconds": n / 1000,
            }
            for n in range(PER_SHARD)
        ]  # fmt: skip
        with store.index_path(name).open("wb") as file:
            write_rows(file, lines, Facts(name, PER_SHARD, 1_000_000 + 32768 * PER_SHARD, "0" * 64))
    return Store.open(folder)


def resident() -> int:
    """Bytes of memory this process holds; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


def measure_index(folder: Path, rows: int) -> list[str]:
    """What opening costs, step by step."""
    store = make_index(folder, rows)
    size = sum(path.stat().st_size for path in store.index_folder.iterdir())
    store = Store.open(folder)
    before = resident()
    key = store.rows(("key",), shards=store.shards[-1:]).column(0)[0].as_py()
    steps: dict[str, Callable[[], Any]] = {
        "open and list the shards": lambda: Store.open(folder).shards,
        "how many there are (`len`): all a stream needs": lambda: len(store),
        "where the codes of each are: what reading by key needs": lambda: store.places,
        "one key found": lambda: store.number(key),
        "two columns as a table": lambda: store.rows(("key", "modality")).nbytes,
    }
    lines = []
    for name, step in steps.items():
        begun = time.perf_counter()
        kept = step()
        seconds = time.perf_counter() - begun
        lines.append(f"| {name} | {seconds:.3g} | {max(0, resident() - before) / 1e6:.0f} |")
        del kept
    return [
        f"An index of {rows:,} made rows in {rows // PER_SHARD:,} shards, {size / rows:.0f} bytes "
        "of disk each:",
        "",
        "| step | s | MB held after it |",
        "|---|---:|---:|",
        *lines,
    ]


def describe_all(lines: Iterable[str], index: Iterable[str]) -> str:
    """The page's block."""
    return "\n".join(
        [
            "| images | workers | read as images, /s | as one latent file each, /s | from a store, "
            "/s | store : images |",
            "|---|---:|---:|---:|---:|---:|",
            *lines,
            "",
            f"Median (least) of {RUNS} runs in turn, batches of 4, files in the disk's cache, "
            "latents 16 (2D) and 64 (3D) times smaller in numbers, as float16. "
            f"{torch.get_num_threads()} threads, torch {torch.__version__}, pyarrow "
            f"{pyarrow.__version__}, Python {platform.python_version()}, {platform.machine()} "
            f"{platform.system()}.",
            "",
            *index,
        ]
    )


def main() -> None:
    """Measure, print, and write with --write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into docs/stores.md")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the made index")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = []
        for number, form in enumerate(FORMS):
            sources = prepare(folder / str(number), form)
            lines += [compare(sources, form, workers) for workers in WORKERS]
        text = describe_all(lines, measure_index(folder / "index", asked.rows))
    print(text)
    if asked.write:
        put_section(PAGE, MARK, text)


if __name__ == "__main__":
    main()
