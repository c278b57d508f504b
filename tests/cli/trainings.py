"""A small cohort of pictures and a small recipe, which the commands of training are tried on."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from robustness.bases import say_recipe

RECIPE = say_recipe(steps=4, every=2)


def write_recipe(folder: Path, text: str = "") -> Path:
    """The small recipe, with more said at its end."""
    path = folder / "small.toml"
    path.write_text(RECIPE + text)
    return path


def write_cohort(folder: Path, *, side: int = 40) -> Path:
    """A table of four pictures to train on and two to judge, of a patient each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(6):
        name, split = f"{number}.png", "train" if number < 4 else "dev-test"
        write_picture(folder / name, seed=number, side=side)
        rows.append((name, f"patient {number}", split, "drawn", "CC0-1.0"))
    return write_table(folder / "images.csv", rows)


def write_picture(path: Path, *, seed: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(side), 2 * np.arange(side + 4))
    pixels = (ramp * 255 / ramp.max() * 0.8 + rng.integers(0, 40, ramp.shape)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def write_table(path: Path, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "patient", "split", "source", "licence"))
        writer.writerows(rows)
    return path
