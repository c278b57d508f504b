"""Small labelled data sets, and a reconstruction that can be computed by hand."""

import json
from pathlib import Path

import nibabel
import numpy as np

AFFINE = np.array([[-0.9, 0.1, 0, 5], [0.1, 0.9, 0, -7], [0, 0, 2.0, 11], [0, 0, 0, 1.0]])
SHAPE = (12, 10, 6)


def soften(image):
    """Stands in for a codec: halves every value, fractions and all."""
    return image.with_pixels((image.pixels / 2).astype(np.float64))


def draw(seed=0, shape=SHAPE, values=(0, 1, 2)):
    """An image of Hounsfield units and labels that are not a function of it."""
    random = np.random.default_rng(seed)
    image = random.integers(-1000, 1500, shape).astype(np.int16)
    return image, random.choice(np.array(values), shape).astype(np.uint8)


def save(path: Path, array, affine=AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def write_nnunet(
    folder: Path, names=("p1_a", "p1_b", "p2_a", "p3_a"), channels=1, values=(0, 1, 2)
):
    """A raw data set of nnU-Net."""
    for seed, name in enumerate(names):
        image, labels = draw(seed, values=values)
        for channel in range(channels):
            save(folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz", image + channel)
        save(folder / "labelsTr" / f"{name}.nii.gz", labels)
    record = {
        "channel_names": {str(n): "CT" for n in range(channels)},
        "labels": {"background": 0, **{f"organ{v}": int(v) for v in values if v}},
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(record))
    return folder


def read_array(path: Path):
    return np.asarray(nibabel.load(path).dataobj)


def list_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its place in it."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
