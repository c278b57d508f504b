"""Pictures of two classes that differ in what is finest alone: a checkerboard of single pixels."""

import numpy as np
from PIL import Image as Picture

from plica.cohort import Case, Cohort

FINE, PLAIN = "fine", "plain"
SIDE = 32


def draw(fine, rng):
    """Smooth ground of any brightness; on it a checkerboard that no mean over cells shows."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    ground = rng.uniform(80, 170) + rng.uniform(-30, 30) * rows + rng.uniform(-30, 30) * columns
    board = np.where((np.indices((SIDE, SIDE)).sum(0) % 2) == 0, 1, -1) * rng.choice([-1, 1])
    noise = rng.normal(0, 1, (SIDE, SIDE))
    return np.clip(np.rint(ground + noise + (12 * board if fine else 0)), 0, 255).astype(np.uint8)


def write_pictures(folder, patients=24, each=1, seed=0):
    """Pictures, and a table of them with the columns path, patient, split and texture."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,patient,split,texture"]
    for patient in range(patients):
        label = (PLAIN, FINE)[patient % 2]
        split = "train" if patient < patients * 2 // 3 else "dev-test"
        for number in range(each):
            name = f"p{patient:03d}-{number}.png"
            Picture.fromarray(draw(label == FINE, rng)).save(folder / name)
            lines.append(f"{name},p{patient:03d},{split},{label}")
    (folder / "pictures.csv").write_text("\n".join(lines) + "\n")
    return folder / "pictures.csv"


def read_pictures(table):
    return Cohort.from_table(table)


def as_case(path, patient="p"):
    return Case(patient, "", path.name, path)
