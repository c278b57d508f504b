"""Linear codecs: the Karhunen–Loève transform of patches, fitted in closed form, shipped inside."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

# Weights and their index, as `python -m plica.codecs.linear_fitting` writes them.
FITTED = Path(__file__).parent / "fitted"
_SIZES = ((4, 1, 2), (4, 3, 2), (8, 1, 2), (8, 4, 2), (4, 1, 3), (8, 1, 3))
# The largest of ours has 57 kB; a file far beyond that is of something else.
_MOST_BYTES = 16 * 2**20


@cache
def _index() -> dict[str, Any]:
    return json.loads((FITTED / "linear.json").read_text(encoding="utf-8"))


def _card(factor: int, channels: int, dims: int) -> CodecCard:
    name = f"linear-{factor}x{channels}-{dims}d"
    fitted = dict(_index()["codecs"][name])
    return CodecCard(
        name=name,
        family="linear",
        summary=(
            f"The optimal linear autoencoder of {factor}-voxel patches: the mean and the "
            f"{channels - 1} strongest directions, decoded by least squares."
            if channels > 1
            else f"Means of {factor}-voxel patches, decoded by least squares from their neighbours."
        ),
        dims=dims,
        factor=factor,
        channels=channels,
        in_channels=1,
        expects="Any image; its full range is mapped to -1…1 (CT: -1024…3071 HU).",
        licence="Apache-2.0",
        source="plica; Karhunen 1947, Loève 1948",
        weights=WeightsSource(
            kind="packaged",
            filename=f"{name}.safetensors",
            sha256=fitted.pop("sha256"),
            bytes=fitted.pop("bytes"),
        ),
        receptive_field=factor,
        tileable=True,
        training_data=_index()["training_data"][str(dims)],
        extras={"decoder_receptive_field_in_codes": 3, "recipe": "recipes/linear.toml", **fitted},
    )


def _offer(factor: int, channels: int, dims: int) -> Offer:
    card = _card(factor, channels, dims)

    def build(request: Request) -> Codec:
        from plica.codecs.device import choose_device
        from plica.codecs.networkcodec import NetworkCodec
        from plica.networks.linear import Linear
        from plica.preparation.pipelines import full_range

        check_options(request, card)
        content = read_weights(card, request.weights)
        network = Linear(dims=dims, factor=factor, channels=channels)
        _fill(network.state_dict(), content, card)
        return NetworkCodec(
            card=card,
            network=network,
            fingerprint=f"sha256:{hashlib.sha256(content).hexdigest()}",
            steps=full_range,
            padding="edge",  # background would darken every cell at the border
            device=choose_device(request.device),
        )

    return Offer(card, build)


def read_weights(card: CodecCard, path: str | Path | None) -> bytes:
    """The bytes of a linear codec's weights: the packaged ones, or a file of the user's.

    Raises:
        WeightsError: The file cannot be read, or the packaged one is not the card's.
    """
    file = FITTED / card.weights.filename if path is None else Path(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"the weights {file} of {card.name} cannot be read: {error}") from error
    if len(content) > _MOST_BYTES:
        raise WeightsError(f"{file} is too large to be weights of {card.name}")
    if path is None and hashlib.sha256(content).hexdigest() != card.weights.sha256:
        raise WeightsError(
            f"the packaged weights {file.name} are not those of the card: install plica again"
        )
    return content


def _fill(own: dict[str, Tensor], content: bytes, card: CodecCard) -> None:
    """Copy the tensors of a file into the network's own.

    Raises:
        WeightsError: A tensor is missing, too many, of another shape, or not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        given = load(content)
    except SafetensorError as error:
        raise WeightsError(f"the weights of {card.name} are damaged: {error}") from error
    if given.keys() != own.keys():
        raise WeightsError(
            f"{card.name} needs the tensors {', '.join(own)}, but the file holds "
            f"{', '.join(sorted(given)) or 'none'}"
        )
    for key, tensor in own.items():
        if given[key].shape != tensor.shape or not torch.isfinite(given[key]).all():
            raise WeightsError(
                f"{card.name}: the tensor '{key}' has the shape {tuple(given[key].shape)}, where "
                f"finite values of shape {tuple(tensor.shape)} were expected"
            )
        tensor.copy_(given[key])


OFFERS: dict[str, Offer] = {offer.card.name: offer for offer in (_offer(*s) for s in _SIZES)}
