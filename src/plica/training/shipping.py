"""Shipping: a trained compact codec becomes one of the package's own.

    python -m plica.training.shipping runs/compact-4x3-2d --data IMAGES -o src/plica/codecs/trained

Codes are standardised over the images it was trained on, kernels are halved in precision, and what
that changes is measured; the index then holds everything a card says.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from plica.codecs.catalogue import load
from plica.codecs.compact import INDEX, TRAINED
from plica.codecs.directory import CARD, make_network
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.weights import fill
from plica.cohort import Case, Cohort
from plica.errors import PlicaError, SettingsError, WeightsError
from plica.formats.atomic import new_file, refuse_existing
from plica.formats.doors import read
from plica.metrics.metric import measure
from plica.networks.compact import Compact
from plica.run import ENVIRONMENT, LOG, RECIPE
from plica.settings import to_toml
from plica.training.assembly import recipe_of
from plica.training.cohorts import read_cohort
from plica.training.data import select_judged
from plica.training.export import export_run
from plica.training.logs import EVALUATION, LOSSES
from plica.training.recipe import Recipe, Source
from plica.training.recipes import read_recipe

MOST_BYTES = 12_000_000
"""Of one weights file: the package stays small."""

MOST_MEASURED = 16
"""Images per source over which codes are standardised."""

MOST_JUDGED = 8
"""Images over which the loss of half precision is measured."""


def ship(
    trained: str | Path,
    *,
    data: str | Path,
    out: str | Path = TRAINED,
    logs: str | Path | None = None,
    notes: str = "",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Put a trained compact codec into the package's folder of weights, and return its record.

    Args:
        trained: A run's folder, or that of a codec exported from a run.
        data: The cohort it was trained on.
        out: Folder of the weights files and their index.
        logs: Where a run's recipe, log and tables are kept, in a folder of the codec's name.
        notes: What a reader of the card should know.
        overwrite: Whether a codec of that name may be replaced.

    Raises:
        SettingsError: It is no run or codec, or its recipe selects none of the images.
        WeightsError: It is no compact codec, or too large.
        OutputError: It is there already, or cannot be written.

    Examples:
        >>> ship("runs/compact-4x3-2d", data="images")  # wants a compact run  # doctest: +SKIP
    """
    trained, out = Path(trained), Path(out)
    codec, recipe = _open(trained)
    name = recipe.name
    for path in (out / f"{name}.safetensors", *([Path(logs) / name] if logs else [])):
        refuse_existing(path, overwrite=overwrite)
    cohort = read_cohort(data)
    network = codec.network
    if not isinstance(network, Compact):
        raise WeightsError(
            f"{trained} holds a {codec.card.family} codec; those that ship are compact"
        )
    statistics = _standardise(codec, network, recipe, cohort)
    state = halve(network.state_dict())
    content = _pack(state, name)
    record = {
        **_describe_recipe(recipe),
        "filename": f"{name}.safetensors",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        **_describe(network),
        "latent_statistics": statistics,
        "half_precision": _compare(codec, state, recipe, cohort),
        "training": dict(codec.card.extras["training"]),
        **({"notes": notes} if notes else {}),
    }
    out.mkdir(parents=True, exist_ok=True)
    with new_file(out / f"{name}.safetensors", overwrite=overwrite) as file:
        file.write(content)
    _enter(out / INDEX, name, record)
    if logs is not None and (trained / RECIPE).is_file():
        keep_log(trained, Path(logs) / name)
    return record


def _pack(state: Mapping[str, Tensor], name: str) -> bytes:
    content = save(dict(state))
    if len(content) > MOST_BYTES:
        raise WeightsError(
            f"{name} would take {len(content) / 1e6:.1f} MB, more than the {MOST_BYTES / 1e6:.0f} "
            "MB a packaged codec may have: make its network narrower"
        )
    return content


def halve(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels of the branches in half precision; the linear path and all vectors stay whole.

    What the linear path rounds goes into every voxel, and it is small.
    """
    return {
        key: (value.half() if "." in key and value.ndim > 1 else value.float()).cpu().contiguous()
        for key, value in state.items()
    }


def keep_log(run: Path, folder: Path) -> None:
    """Copy what made the weights: recipe, environment, log and tables; no path of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = recipe_of(run)
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, cohort=""))
    with new_file(folder / RECIPE, overwrite=True) as file:
        file.write(to_toml(recipe).encode())
    for name in (ENVIRONMENT, LOG, LOSSES, EVALUATION):
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)


# -- opening -------------------------------------------------------------------------------------


def _open(trained: Path) -> tuple[NetworkCodec, Recipe]:
    if (trained / RECIPE).is_file():
        with tempfile.TemporaryDirectory() as folder:
            export_run(trained, folder)
            return _load(Path(folder)), recipe_of(trained)
    if not (trained / CARD).is_file():
        raise SettingsError(f"{trained} is neither a run's folder nor a codec's")
    codec = _load(trained)
    told = codec.card.extras.get("training", {})
    return codec, read_recipe(str(told.get("recipe", codec.card.name)))


def _load(folder: Path) -> NetworkCodec:
    codec = load(folder, device="cpu")
    if not isinstance(codec, NetworkCodec):
        raise WeightsError(f"{folder} holds a codec without a network")
    return codec


# -- measuring -----------------------------------------------------------------------------------


def _standardise(
    codec: NetworkCodec, network: Compact, recipe: Recipe, cohort: Cohort
) -> dict[str, Any]:
    """Give the codes of the training images mean 0 and deviation 1; say what they had."""
    total, first, second = 0.0, 0.0, np.zeros(0)
    images = 0
    for case, weight in choose_cases(recipe, cohort):
        codes = _encode(codec, case)
        mean, square = codes.mean(axis=1), np.square(codes).mean(axis=1)
        first, second = first + weight * mean, (second if images else 0.0) + weight * square
        total, images = total + weight, images + 1
    mean = np.asarray(first / total)
    deviation = np.sqrt(np.maximum(second / total - mean**2, 0))
    network.standardise(torch.from_numpy(mean), torch.from_numpy(deviation))
    return {
        "mean": network.code_mean.tolist(),
        "deviation": network.code_deviation.tolist(),
        "measured_on": f"{images} images of the training split, each source by its weight",
    }


def choose_cases(recipe: Recipe, cohort: Cohort) -> Iterator[tuple[Case, float]]:
    """Cases of the training split, evenly spread over each source, and the weight of each.

    Raises:
        SettingsError: A source selects nothing.
    """
    split = cohort.of_split(recipe.data.train)
    for source in recipe.data.sources or (Source("all images"),):
        cases = split.where(**source.where).cases
        if not cases:
            raise SettingsError(f"the source '{source.name}' selects no image of these data")
        chosen = _spread(cases, MOST_MEASURED)
        yield from ((case, source.weight / len(chosen)) for case in chosen)


def _spread(cases: tuple[Case, ...], most: int) -> list[Case]:
    count = min(most, len(cases))
    return [cases[(2 * n + 1) * len(cases) // (2 * count)] for n in range(count)]


def _encode(codec: NetworkCodec, case: Case) -> NDArray[np.float64]:
    """Codes (channel, all of them); those of colours follow one another."""
    codes = codec.encode(read(case.path)).codes.astype(np.float64)
    channels = codec.card.channels
    grouped = codes.reshape(-1, channels, codes[0].size)
    return grouped.transpose(1, 0, 2).reshape(channels, -1)


def _compare(
    codec: NetworkCodec, state: Mapping[str, Tensor], recipe: Recipe, cohort: Cohort
) -> dict[str, Any]:
    """What half precision changes, on images that were not trained on."""
    halved = make_network(recipe.network, of=f"the recipe {recipe.name}")
    fill(halved, state, name=recipe.name)
    other = dataclasses.replace(codec, network=halved)
    cases = tuple(case for case in select_judged(recipe.data, cohort) if _fits(codec, case))
    differences, changes = [], []
    for case in _spread(cases, MOST_JUDGED):
        image = read(case.path)
        whole, half = codec.encode(image), other.encode(image)
        differences.append(float(np.abs(whole.codes - half.codes).max()))
        scores = [
            measure(image, one.decode(latent), metrics=("psnr",))["psnr"]
            for one, latent in ((codec, whole), (other, half))
        ]
        changes.append(scores[1] - scores[0])
    return {
        "greatest_difference_of_codes": max(differences),
        "mean_change_psnr_db": float(np.mean(changes)),
        "worst_change_psnr_db": min(changes),
        "n": len(changes),
    }


def _fits(codec: NetworkCodec, case: Case) -> bool:
    """Single slices are no volumes, and whole volumes would be judged for ever in slices."""
    return read(case.path).is_volume == (codec.card.dims == 3)


def _describe_recipe(recipe: Recipe) -> dict[str, Any]:
    return {
        "summary": recipe.summary,
        "licence": recipe.licence,
        "network": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in recipe.network.items()
        },
    }


def _describe(network: Compact) -> dict[str, Any]:
    encode, decode = network.multiply_adds()
    return {
        "parameters": sum(one.numel() for one in network.parameters()),
        "multiply_adds_per_voxel": {"encode": round(encode), "decode": round(decode)},
        "receptive_field": network.receptive_field,
        "encoder_reach_in_codes": network.encoder_reach,
        "decoder_reach_in_codes": network.decoder_reach,
    }


# -- files ---------------------------------------------------------------------------------------


def _enter(path: Path, name: str, record: Mapping[str, Any]) -> None:
    """Put a record into the index; the others stay."""
    index: dict[str, Any] = {"codecs": {}}
    if path.is_file():
        index = json.loads(path.read_text(encoding="utf-8"))
    index["codecs"][name] = dict(record)
    index["codecs"] = dict(sorted(index["codecs"].items()))
    text = json.dumps(index, indent=2, ensure_ascii=False) + "\n"
    with new_file(path, overwrite=True) as file:
        file.write(text.encode())


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m plica.training.shipping", description=__doc__)
    parser.add_argument("trained", type=Path, nargs="+", help="runs, or folders of codecs")
    parser.add_argument("--data", type=Path, required=True, help="the cohort they were trained on")
    parser.add_argument("-o", "--out", type=Path, default=TRAINED, help="folder of the weights")
    parser.add_argument("--logs", type=Path, help="folder that keeps the runs' recipes and logs")
    parser.add_argument("--notes", default="", help="a sentence for the cards")
    parser.add_argument("--overwrite", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        for trained in asked.trained:
            record = ship(
                trained,
                data=asked.data,
                out=asked.out,
                logs=asked.logs,
                notes=asked.notes,
                overwrite=asked.overwrite,
            )
            sys.stdout.write(f"{record['filename']}: {record['bytes'] / 1e6:.2f} MB\n")
    except PlicaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
