"""Fits the linear codecs by a recipe (python -m plica.codecs.linear_fitting recipe.toml …)."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from plica import settings
from plica.codecs.karhunen_loeve import (
    Float64,
    NormalEquations,
    PatchMoments,
    analysis_kernel,
    cut_patches,
    synthesis_kernel,
)
from plica.cohort import Case, Cohort
from plica.errors import PlicaError, SettingsError
from plica.formats.atomic import new_file, refuse_existing
from plica.image import Image

Array = NDArray[np.float32]
INDEX = "linear.json"


@dataclass(frozen=True)
class Source:
    """Images that count as one in the fit, however many they are.

    Args:
        name: For people; stands in the card's training data.
        dims: 2 for slices and radiographs, 3 for volumes.
        where: Values of the manifest's columns that select them.
        weight: Of the whole source.
    """

    name: str
    dims: int
    where: dict[str, tuple[str, ...]]
    weight: float = 1.0


@dataclass(frozen=True)
class Size:
    """One codec to fit."""

    name: str
    dims: int
    factor: int
    channels: int


@dataclass(frozen=True)
class Recipe:
    """How the linear codecs are fitted.

    Args:
        split: Of the manifest.
        ridge: Added to the normal equations, as a fraction of their mean diagonal.
        judge_every: Every so-manieth patient of a source is held out while the two decoders are
            compared; the better one is then fitted to all.
    """

    sources: tuple[Source, ...]
    codecs: tuple[Size, ...]
    split: str = "train"
    ridge: float = 1e-9
    judge_every: int = 5


@dataclass(frozen=True)
class Sample:
    """One prepared plane or volume and how much each of its voxels counts.

    Args:
        array: In [−1, 1], with `dims` axes as the network sees them.
        weight: Of the whole array.
        held_out: Whether it judges the decoders.
    """

    array: Array
    weight: float
    held_out: bool


@dataclass(frozen=True)
class Fit:
    """What one fit gave: the tensors and how good they are."""

    size: Size
    tensors: dict[str, Array]
    report: dict[str, Any]


# -- images --------------------------------------------------------------------------------------


def read_samples(recipe: Recipe, cohort: Cohort, dims: int) -> list[Sample]:
    """The images of all sources of one number of dimensions, as the codecs see them.

    Raises:
        SettingsError: A source selects nothing.
    """
    samples: list[Sample] = []
    for source in recipe.sources:
        if source.dims == dims:
            samples += _read_source(recipe, source, cohort.of_split(recipe.split))
    return samples


def _read_source(recipe: Recipe, source: Source, train: Cohort) -> list[Sample]:
    cases = train.where(**source.where)
    if not len(cases):
        raise SettingsError(f"the source '{source.name}' selects no image of the manifest")
    judges = set(cases.patients[recipe.judge_every - 1 :: recipe.judge_every])
    arrays = [(case, array) for case in cases for array in _read_arrays(case, source.dims)]
    weight = source.weight / len(arrays)
    return [Sample(array, weight, case.patient in judges) for case, array in arrays]


def _read_arrays(case: Case, dims: int) -> Iterator[Array]:
    from plica.formats.doors import read

    return see(read(case.path), dims)


def see(image: Image, dims: int) -> Iterator[Array]:
    """The planes (row, column) or volumes (i, j, k) a network of `dims` axes sees of an image.

    Grey stored as three equal channels is one image, as it is to every codec.
    """
    from plica.codecs.preparing import Preparing
    from plica.preparation.pipelines import full_range
    from plica.preparation.trail import prepare

    steps = Preparing().steps(image, intensity=full_range, in_channels=1, sliced=dims == 2)
    pixels = prepare(image, steps)[0].pixels
    for volume in pixels.astype(np.float32, copy=False):
        if dims == 3:
            yield volume
        else:
            yield from (volume[:, :, k].T for k in range(volume.shape[2]))


# -- fitting -------------------------------------------------------------------------------------


def fit(size: Size, samples: list[Sample], recipe: Recipe) -> Fit:
    """Fit one codec to samples: two passes, one for the transform, one for the way back.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> arrays = [rng.uniform(-1, 1, (64, 64)).astype(np.float32) for _ in range(4)]
        >>> drawn = [Sample(array, 1.0, held_out=n == 0) for n, array in enumerate(arrays)]
        >>> asked = Recipe(sources=(), codecs=())
        >>> sorted(fit(Size("mine-4x1-2d", 2, 4, 1), drawn, asked).tensors)
        ['analysis', 'synthesis']
    """
    moments = PatchMoments(size.factor, size.dims)
    for patches, weight, _ in _weighed(size, samples):
        moments.add(patches, weight)
    basis = moments.basis(size.channels)
    rest, judges = NormalEquations(basis, size.dims), NormalEquations(basis, size.dims)
    for patches, weight, held_out in _weighed(size, samples):
        (judges if held_out else rest).add(patches, weight)
    everything = rest + judges
    solved, report = _choose(rest, judges, recipe.ridge)
    plain = everything.transpose_solution()
    chosen = everything.solve(recipe.ridge) if solved else plain
    report |= {
        "training_psnr_db": _psnr(everything.error(chosen)),
        "training_psnr_db_transform": _psnr(everything.error(plain)),
        "images": len(samples),
    }
    tensors = {
        "analysis": analysis_kernel(basis, size.dims),
        "synthesis": synthesis_kernel(chosen, size.dims, size.channels),
    }
    return Fit(size, tensors, report)


def _weighed(size: Size, samples: list[Sample]) -> Iterator[tuple[Float64, float, bool]]:
    """Patches of each sample and the weight of one patch; what fills no patch is left out."""
    for sample in samples:
        whole = tuple(slice(0, n // size.factor * size.factor) for n in sample.array.shape)
        patches = cut_patches(sample.array[whole], size.factor)
        yield patches, sample.weight * patches.shape[-1] / patches.size, sample.held_out


def _choose(
    rest: NormalEquations, judges: NormalEquations, ridge: float
) -> tuple[bool, dict[str, Any]]:
    """Whether least squares beats the plain transform on patients it has not seen."""
    if not judges.weight or not rest.weight:
        raise SettingsError(
            "no patient could be held out to compare the decoders: lower judge_every"
        )
    solved = judges.error(rest.solve(ridge))
    plain = judges.error(judges.transpose_solution())
    better = solved < plain
    return better, {
        "decoder": "least squares" if better else "transform",
        "held_out_psnr_db_least_squares": _psnr(solved),
        "held_out_psnr_db_transform": _psnr(plain),
    }


def _psnr(mean_squared_error: float) -> float:
    """Of the pooled error, for values in [−1, 1]."""
    return round(float(10 * np.log10(4 / mean_squared_error)), 3)


# -- files ---------------------------------------------------------------------------------------


def fit_all(recipe: Recipe, cohort: Cohort) -> Iterator[Fit]:
    """Fit every codec of the recipe."""
    for dims in (2, 3):
        sizes = [size for size in recipe.codecs if size.dims == dims]
        samples = read_samples(recipe, cohort, dims) if sizes else []
        for size in sizes:
            yield fit(size, samples, recipe)


def serialise(fitted: Fit) -> bytes:
    """The weights file: the two tensors and, as metadata, which codec they are of."""
    # One key only: safetensors writes several in an order that changes from run to run.
    return save(fitted.tensors, {"plica": json.dumps(asdict(fitted.size), sort_keys=True)})


def write_all(recipe: Recipe, cohort: Cohort, folder: Path, *, overwrite: bool = False) -> None:
    """Fit every codec and write its weights, and an index of hashes and results, into a folder.

    Raises:
        OutputError: There are such files already.
    """
    refuse_existing(folder / INDEX, overwrite=overwrite)
    index: dict[str, Mapping[str, Any]] = {}
    files: dict[str, bytes] = {}
    for fitted in fit_all(recipe, cohort):
        name, content = fitted.size.name, serialise(fitted)
        files[f"{name}.safetensors"] = content
        digest = hashlib.sha256(content).hexdigest()
        index[name] = {"sha256": digest, "bytes": len(content), **fitted.report}
        sys.stdout.write(f"{name}: {json.dumps(index[name])}\n")
    record = {"training_data": _describe_data(recipe), "codecs": index}
    files[INDEX] = (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
    for name, content in files.items():
        with new_file(folder / name, overwrite=overwrite) as file:
            file.write(content)


def _describe_data(recipe: Recipe) -> dict[str, str]:
    return {
        str(dims): ", ".join(source.name for source in recipe.sources if source.dims == dims)
        for dims in (2, 3)
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m plica.codecs.linear_fitting", description=__doc__
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.csv")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--overwrite", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        recipe = settings.read(Recipe, asked.recipe)
        cohort = Cohort.from_manifest(asked.data / "MANIFEST.csv")
        write_all(recipe, cohort, asked.out, overwrite=asked.overwrite)
    except PlicaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
