"""Export: a run becomes a codec's folder, which `plica.load` takes and a hub can hold."""

from __future__ import annotations

import csv
import hashlib
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.catalogue import DRAWN
from plica.codecs.directory import (
    PREPARATIONS,
    WEIGHTS,
    make_network,
    offer_directory,
    resolve_settings,
    write_directory,
)
from plica.codecs.modelcard import write_model_card
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.weights import fill, fingerprint
from plica.errors import SettingsError, UnreadableFile
from plica.formats.atomic import new_file, refuse_existing
from plica.networks.autoencoder import Local, Sampling
from plica.networks.lora import fold_lora
from plica.run import Run
from plica.training import checkpoint
from plica.training.assembly import BEGUN, recipe_of
from plica.training.logs import EVALUATION
from plica.training.loop import CHECKPOINTS
from plica.training.recipe import Projection, Recipe
from plica.training.starting import build_network
from plica.training.state import AVERAGE, NETWORK

README = "README.md"
WINDOW = 160
"""Side of the windows in which networks that look at the whole volume run; MedVAE's."""
Choice = Literal["best", "last"]


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Args:
        folder: The codec's.
        card: Its card.
        step: Steps that were done when its weights were as they are.
        metrics: Records of the validation cases at that step.
    """

    folder: Path
    card: CodecCard
    step: int
    metrics: list[dict[str, Any]]


def export_run(
    run: str | Path, folder: str | Path, *, choice: Choice = "best", overwrite: bool = False
) -> Exported:
    """Write a run's network as a codec: card, weights and model card.

    The moving average is taken where one was kept; adapters are folded into the convolutions they
    stand beside.

    Args:
        choice: The checkpoint with the best metric, or the last.
        overwrite: Whether a codec that is in `folder` may be replaced.

    Raises:
        SettingsError: `run` is no run, or has no checkpoint yet.
        UnreadableFile: Its checkpoint is damaged.
        OutputError: The codec is there already, or cannot be written.

    Examples:
        >>> export_run("runs/small", "codec").card.name
        'small'
    """
    run, folder = Path(run), Path(folder)
    recipe = recipe_of(run)
    refuse_existing(folder / README, overwrite=overwrite)
    kept = _choose(run, choice)
    network = _take_network(recipe, kept)
    step = kept.record.step
    metrics = _read_metrics(run, step, recipe)
    card = _make_card(recipe, network, _describe(run, recipe, step, metrics))
    codec = NetworkCodec(
        card=card,
        network=network,  # type: ignore[arg-type]  # an Autoencoder, as its recipe's table says
        fingerprint=fingerprint(network.state_dict()),
        steps=PREPARATIONS.get_thing(recipe.data.preparation),
        padding="edge",
    )
    write_directory(folder, codec, overwrite=overwrite)
    card = offer_directory(folder).card  # with the weights' checksum
    with new_file(folder / README, overwrite=overwrite) as file:
        file.write(write_model_card(card, sha256=_hash(folder / WEIGHTS)).encode())
    return Exported(folder, card, step, metrics)


def make_untrained(recipe: Recipe) -> NetworkCodec:
    """A recipe's codec as it is before the first step: what it costs and keeps to can be tried.

    Its name says that its weights were drawn; what it decodes is nothing of the image.

    Raises:
        SettingsError: The recipe describes no network, or one that is no autoencoder.
        WeightsError: Weights that the recipe begins from are missing.

    Examples:
        >>> make_untrained(recipe).card.name.endswith(" (random weights)")
        True
    """
    network = build_network(recipe).eval()
    card = _make_card(recipe, network, {})
    return NetworkCodec(
        card=replace(card, name=f"{recipe.name}{DRAWN}", weights=WeightsSource("none")),
        network=network,  # type: ignore[arg-type]  # an Autoencoder, as its recipe's table says
        fingerprint=fingerprint(network.state_dict()),
        steps=PREPARATIONS.get_thing(recipe.data.preparation),
        padding="edge",
    )


def push(exported: Exported, repository: str) -> str:
    """Put a codec on the hub, and say where it is.

    Args:
        repository: "owner/name"; it is made where it is missing. Who is logged in on this machine
            must be allowed to write there.

    Raises:
        SettingsError: `repository` is no such name.
        OutputError: The hub refuses, or cannot be reached.

    Examples:
        >>> push(export_run("runs/mine", "codec"), "owner/mine")  # wants the hub  # doctest: +SKIP
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    from plica.errors import OutputError

    try:
        hub = HfApi()
        hub.create_repo(repository, exist_ok=True)
        hub.upload_folder(
            repo_id=repository,
            folder_path=exported.folder,
            allow_patterns=["card.json", WEIGHTS, README],
            commit_message=f"{exported.card.name} after {exported.step} steps",
        )
    except HFValidationError as error:
        raise SettingsError(f"--push takes owner/name, but got '{repository}'") from error
    except (HfHubHTTPError, HTTPError, OSError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OutputError(
            f"{exported.folder} is written, but could not be put on the hub as {repository}: {said}"
        ) from error
    return f"https://huggingface.co/{repository}"


# -- weights -------------------------------------------------------------------------------------


def _choose(run: Path, choice: Choice) -> checkpoint.Checkpoint:
    folder = run / CHECKPOINTS
    kept = checkpoint.load_best(folder) if choice == "best" else checkpoint.load_last(folder)
    if kept is None:
        raise SettingsError(f"{run} has no checkpoint yet: train it further, then export it")
    return kept


def _take_network(recipe: Recipe, kept: checkpoint.Checkpoint) -> nn.Module:
    """The network that was judged, with one convolution for each pair of branches."""
    state = kept.contents.get(AVERAGE, kept.contents.get(NETWORK))
    if state is None:
        raise UnreadableFile(
            f"the checkpoint of step {kept.record.step} holds no network, but "
            f"{', '.join(kept.contents)}"
        )
    network: nn.Module = make_network(
        recipe.network, of=f"the recipe {recipe.name}", fault=SettingsError
    )
    fill(network, fold_lora(state), name=f"the recipe {recipe.name}")
    return network


# -- the card ------------------------------------------------------------------------------------


def _make_card(recipe: Recipe, network: Any, training: Mapping[str, Any]) -> CodecCard:
    projected = isinstance(recipe.objective, Projection)
    kind = recipe.network["kind"]
    trained = f"weights trained with plica's recipe {recipe.name}"
    return CodecCard(
        name=recipe.name,
        family=str(kind),
        summary=recipe.summary,
        dims=network.dims,
        factor=network.factor,
        channels=network.code_channels,
        in_channels=network.in_channels,
        expects=_EXPECTS[recipe.data.preparation],
        licence=recipe.licence,
        source=f"{recipe.source}; {trained}" if recipe.source else trained,
        weights=WeightsSource(kind="file", filename=WEIGHTS),
        receptive_field=_see(network),
        tileable=isinstance(network, Local),
        native_window=0 if isinstance(network, Local) or network.dims == 2 else WINDOW,
        posterior=_posterior(network),
        latents=("raw", "projected") if projected else ("raw",),
        extras={
            "network": resolve_settings(recipe.network),
            "preparation": recipe.data.preparation,
            "padding": "edge",
            "training": dict(training),
            **({"notes": recipe.notes} if recipe.notes else {}),
        },
    )


_EXPECTS = {
    "full_range": "Any image; its full range is mapped to −1…1 (CT: −1024…3071 HU, or wider).",
    "radiograph": "Radiographs: region of interest, display window, inversion; then −1…1.",
    "mr": "MR, turned to RAS; its 99.5th percentile is mapped to 1.",
    "medvae_pictures": "CT: −1000…1000 HU to −1…1; all else: the image's own range.",
    "medvae_volumes": "Turned to RAS. CT: −1000…1000 HU to −1…1; all else: the image's own range.",
}


def _see(network: Any) -> int | None:
    """Voxels that one code sees: as the network says, or no more than its reach lets it."""
    own: int | None = getattr(network, "receptive_field", None)
    factor: int = network.factor
    if own is None and isinstance(network, Local):
        return (2 * network.encoder_reach + 1) * factor
    return own


def _posterior(network: nn.Module) -> Literal["none", "gaussian", "codebook"]:
    if isinstance(network, Sampling):
        return "gaussian"
    return "codebook" if hasattr(network, "codebook") else "none"


def _describe(
    run: Path, recipe: Recipe, step: int, metrics: list[dict[str, Any]]
) -> dict[str, Any]:
    begun = _begun(run)
    pretrained: Mapping[str, str] = begun.get("pretrained", {})
    return {
        "recipe": recipe.name,
        "objective": recipe.objective.kind,
        "steps": recipe.steps,
        "checkpoint": f"after {step} steps",
        "batch": recipe.batch,
        "seed": recipe.seed,
        "started from": recipe.start.weights or "scratch",
        "judged by": "; ".join(f"{name}: {told}" for name, told in pretrained.items()),
        "data": begun.get("sources", []),
        "metrics": metrics,
    }


def _begun(run: Path) -> Mapping[str, Any]:
    """What the run's log says it began with, the last time it did."""
    told = [event for event in Run(run).events() if event.get("event") == BEGUN]
    return told[-1] if told else {}


def _read_metrics(run: Path, step: int, recipe: Recipe) -> list[dict[str, Any]]:
    """Mean and deviation over the validation cases, as the run judged them after `step`."""
    try:
        measures = {one["name"]: one for one in _begun(run).get("measures", [])}
        values: dict[str, list[float]] = {name: [] for name in measures}
        for row in _rows_of(run / EVALUATION, step):
            for name in measures:
                values[name].append(float(row[name]))
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UnreadableFile(f"{run} does not hold a run's judgements: {error!r}") from error
    return [
        {
            "metric": name,
            "mean": statistics.fmean(found),
            "deviation": statistics.stdev(found) if len(found) > 1 else 0.0,
            "unit": measures[name]["unit"],
            "better": measures[name]["better"],
            "n": len(found),
            "split": recipe.data.validation,
        }
        for name, found in values.items()
        if found
    ]


def _rows_of(table: Path, step: int) -> Iterator[dict[str, str]]:
    if not table.is_file():
        return
    with table.open(newline="", encoding="utf-8") as file:
        yield from (row for row in csv.DictReader(file) if row["step"] == str(step))


def _hash(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
