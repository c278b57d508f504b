"""Starting: the network a recipe describes, with the weights its training begins from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from plica.codecs import catalogue, weights
from plica.codecs.card import WeightsSource
from plica.codecs.directory import CARD, WEIGHTS, make_network
from plica.codecs.layouts import to_compvis
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.pretrained import read_pretrained
from plica.errors import SettingsError, UnreadableFile, WeightsError
from plica.networks.adapters import adapt
from plica.networks.blocks import lay_out
from plica.networks.contract import find_breach
from plica.networks.lifting import lift
from plica.networks.lora import fold_lora
from plica.training import checkpoint
from plica.training.latents import generator
from plica.training.loop import CHECKPOINTS
from plica.training.recipe import Recipe, Start
from plica.training.state import AVERAGE, NETWORK

# MedVAE's projection layers are trained by themselves, after or without the rest: weights may lack
# them, which leaves them as they are made, or hold them for nothing.
SEPARABLE = ("channel_ds.", "channel_proj.")
MOST_NUMBERS = 2 * 10**9
"""Of a network: eight times as many as the largest published one has."""
_TRIED = 2
"""Side of the image that a network is tried on, in codes."""
_HUB = "hub:"
_ANALYSIS = {"analysis", "synthesis"}


def build_network(recipe: Recipe, *, weights_dir: str | Path | None = None) -> nn.Module:
    """The network of a recipe as it is before the first step, on the CPU, in training mode.

    The same recipe makes the same weights: what is not read is drawn from its seed.

    Args:
        weights_dir: Where weights are looked for that are not where the recipe says.

    Raises:
        SettingsError: The recipe describes no network, or one that is no autoencoder, or trains
            parameters it does not have.
        WeightsError: Start weights are missing, damaged or of another network; names the path.

    Examples:
        >>> first, again = build_network(recipe), build_network(recipe)
        >>> all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))
        True
    """
    start = recipe.start
    with torch.device("meta"):  # takes no memory
        _refuse_too_large(_make(recipe), recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = _make(recipe)
    _check_contract(network, recipe)
    lay_out(network)
    if start.weights:
        _begin_from(network, recipe, None if weights_dir is None else Path(weights_dir))
    if start.adapters:
        with torch.random.fork_rng(devices=[]):  # layers draw weights that are replaced at once
            adapt(network, rank=start.adapters, generator=generator(recipe.seed, "adapters"))
    choose_trained(network, start.train, adapted=start.adapters > 0)
    return network.train()


def _make(recipe: Recipe) -> nn.Module:
    network: nn.Module = make_network(
        recipe.network, of=f"the recipe {recipe.name}", fault=SettingsError
    )
    return network


def _check_contract(network: nn.Module, recipe: Recipe) -> None:
    """Before the first step: what is no autoencoder could be trained, and never be exported."""
    factor = getattr(network, "factor", 1)
    whole = recipe.data.crop // factor if isinstance(factor, int) and factor > 0 else 0
    if breach := find_breach(network, (_TRIED, *([whole] if whole > _TRIED else []))):
        raise SettingsError(
            f"the network of the recipe {recipe.name}, {recipe.network['kind']}, is no autoencoder "
            f"as plica knows them: {breach}"
        )


def _refuse_too_large(network: nn.Module, recipe: Recipe) -> None:
    numbers = sum(tensor.numel() for tensor in network.state_dict().values())
    if numbers > MOST_NUMBERS:
        raise SettingsError(
            f"the network of the recipe {recipe.name} would have {numbers / 1e9:.3g} thousand "
            f"million numbers, and {MOST_NUMBERS / 1e9:.3g} are the limit: make it narrower"
        )


def choose_trained(
    network: nn.Module, beginnings: tuple[str, ...], *, adapted: bool = False
) -> None:
    """Freeze all parameters but those whose names begin so; () leaves what the network trains.

    Args:
        adapted: Whether the network has adapters, which are trained besides.

    Raises:
        SettingsError: No parameter's name begins so, or the network has frozen it for good.

    Examples:
        >>> choose_trained(network, ("decoder",))
        >>> {name.split(".")[0] for name, one in network.named_parameters() if one.requires_grad}
        {'decoder'}
    """
    names = [name for name, _ in network.named_parameters()]
    for beginning in beginnings:
        if not any(_begins(name, beginning) for name in names):
            raise SettingsError(
                f"start.train: no parameter of the network is called {beginning}…; "
                f"{_suggest(beginning, names)}"
            )
    if not beginnings:
        return
    for name, parameter in network.named_parameters():
        named = any(_begins(name, beginning) for beginning in beginnings)
        if named and not (adapted or parameter.requires_grad):
            raise SettingsError(
                f"start.train: {name} is frozen in a network of this kind: leave it out"
            )
        parameter.requires_grad_(named or (adapted and parameter.requires_grad))


def _begins(name: str, beginning: str) -> bool:
    """Whether `beginning` is a whole beginning: "decoder" is of "decoder.x", not "decoder2.x"."""
    return f"{name}.".startswith(beginning if beginning.endswith(".") else f"{beginning}.")


def _suggest(beginning: str, names: list[str]) -> str:
    depth = beginning.rstrip(".").count(".") + 1
    known = sorted({".".join(name.split(".")[:depth]) for name in names})
    near = difflib.get_close_matches(beginning, known, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known[:12])}"


# -- start weights -------------------------------------------------------------------------------


def _begin_from(network: nn.Module, recipe: Recipe, weights_dir: Path | None) -> None:
    state = read_start(recipe.start, weights_dir)
    if set(state) == _ANALYSIS and hasattr(network, "adopt_linear"):
        cast("Callable[[Mapping[str, Tensor]], None]", network.adopt_linear)(state)
        return
    wanted = network.state_dict()
    fitted = _fit(to_compvis(fold_lora(state)), wanted, lifting=recipe.start.lift)
    weights.fill(network, fitted, name=f"the network of the recipe {recipe.name}")


def _fit(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, lifting: bool
) -> dict[str, Tensor]:
    """Weights under the network's keys: lifted where asked for, without layers it has not."""
    fitted = {
        key: value for key, value in state.items() if key in wanted or not key.startswith(SEPARABLE)
    }
    if lifting:
        flat = {
            key: value
            for key, value in fitted.items()
            if key in wanted and value.ndim == 4 and wanted[key].ndim == 5
        }
        if not flat:
            raise SettingsError(
                "start.lift lays 2D weights into a 3D network, but the weights have no 2D kernel "
                "where the network has a 3D one: leave it out"
            )
        fitted.update(lift(flat))
    if not any(key.startswith(SEPARABLE) for key in fitted):
        made = {key: value for key, value in wanted.items() if key.startswith(SEPARABLE)}
        fitted.update(made)
    return fitted


def read_start(start: Start, weights_dir: Path | None) -> dict[str, Tensor]:
    """The tensors training begins from, by the keys they are kept under.

    Raises:
        WeightsError: There are none where the recipe says; names every path that was tried.
    """
    given = start.weights
    if given.startswith(_HUB):
        path = weights.resolve(WeightsSource(), given, name="start.weights")
        return weights.read(path)
    if given in catalogue.CODECS:
        return _read_codec(given, weights_dir)
    tried = _places(given, weights_dir)
    for place in tried:
        if place.is_file():
            return weights.read(place)
        if place.is_dir():
            return _read_folder(place)
    raise WeightsError(
        f"start.weights: there is nothing at {' or '.join(map(str, tried))}, and no codec is "
        f"called '{given}': give a run's folder, a codec's folder or name, a weights file or "
        "hub:repo@revision:file"
    )


def _places(given: str, weights_dir: Path | None) -> list[Path]:
    path = Path(given)
    if path.is_absolute() or weights_dir is None:
        return [path]
    return [path, weights_dir / path]


def _read_folder(folder: Path) -> dict[str, Tensor]:
    if (folder / CARD).is_file() and (folder / WEIGHTS).is_file():
        return weights.read(folder / WEIGHTS)
    if (folder / CHECKPOINTS).is_dir():
        return read_run(folder)
    raise WeightsError(
        f"start.weights: {folder} is neither a run's folder nor a codec's ({CARD} and {WEIGHTS})"
    )


def read_run(folder: Path) -> dict[str, Tensor]:
    """The weights a run has made: of its best checkpoint, or the last; their average if it has one.

    Raises:
        WeightsError: The run has no checkpoint, or that one is not whole.
    """
    try:
        chosen = checkpoint.load_best(folder / CHECKPOINTS)
    except UnreadableFile as error:
        raise WeightsError(f"the run {folder} cannot be begun from: {error}") from error
    if chosen is None:
        raise WeightsError(f"the run {folder} has no checkpoint yet: train it first")
    if NETWORK not in chosen.contents:
        raise WeightsError(f"the run {folder} cannot be begun from: it holds no network")
    return dict(chosen.contents.get(AVERAGE) or chosen.contents[NETWORK])


def _read_codec(name: str, weights_dir: Path | None) -> dict[str, Tensor]:
    """The weights of a codec in the table: packaged, in `weights_dir`, or from its hub."""
    if catalogue.offer(name).card.weights.kind in {"file", "hub"}:
        return read_pretrained(name, weights_dir)
    codec = catalogue.load(name, device="cpu")
    if not isinstance(codec, NetworkCodec) or not isinstance(codec.network, nn.Module):
        raise WeightsError(f"start.weights: the codec {name} has no weights to begin from")
    return dict(codec.network.state_dict())
