"""Small images on disk whose every voxel says where it is, and tables that list them."""

import numpy as np
from PIL import Image as Picture

from plica.cohort import Cohort
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image
from plica.training.batches import Batches
from plica.training.data import prepare_cases
from plica.training.prepared import Shape
from plica.training.recipe import Augmentation, Data, Recipe

STILL = Augmentation()


def write_picture(path, rows=24, columns=32, seed=0):
    """A grey picture of noise with black and white in it, so that it keeps its 256 levels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)
    pixels[0, 0], pixels[0, 1] = 0, 255
    Picture.fromarray(pixels).save(path)
    return pixels


def write_volume(path, shape=(20, 18, 16), affine=None, pixels=None):
    """A volume whose values count its voxels: i slowest, k fastest."""
    if pixels is None:
        pixels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    grid = Grid(pixels.shape, np.diag([-1.0, -1, 1, 1]) if affine is None else affine)
    write(Image(pixels[None], grid), path)
    return pixels


def write_table(folder, rows, columns=("path", "patient", "split")):
    lines = [",".join(columns), *(",".join(row) for row in rows)]
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    return folder / "images.csv"


def make_cohort(folder, count=6, volumes=False, split="train", **kind):
    """`count` images of as many patients in a split, and one image that is judged."""
    rows = []
    for number in range(count + 1):
        name = f"{number}.nii" if volumes else f"{number}.png"
        if volumes:
            write_volume(folder / name, **kind)
        else:
            write_picture(folder / name, seed=number, **kind)
        rows.append((name, f"p{number}", split if number < count else "dev-test"))
    return Cohort.from_table(write_table(folder, rows))


def prepare(folder, cohort, dims=2, factor=4, in_channels=1, **data):
    settings = {"crop": 16, **data}
    shape = Shape(dims, factor, in_channels)
    return prepare_cases(Data(**settings), cohort, shape, cache=folder / "cache")


def make_batches(folder, cohort, dims=2, factor=4, in_channels=1, **asked):
    """Batches of a cohort; `batch` and `seed` are the recipe's, all else its data's."""
    of_recipe = {key: asked.pop(key) for key in ("batch", "seed") if key in asked}
    settings = {"crop": 16, **asked}
    shape = Shape(dims, factor, in_channels)
    prepared = prepare_cases(Data(**settings), cohort, shape, cache=folder / "cache")
    of_recipe = {"batch": 4, **of_recipe}
    return Batches(prepared, Recipe("n", "s", {}, 100, data=Data(**settings), **of_recipe))
