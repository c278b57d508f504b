"""The tiny autoencoders of the TAESD family: taesd, taesdxl, taesd3, taef1, taef2, taesana.

Ollin Boer Bohan, github.com/madebyollin/taesd. Two files each, an encoder's and a decoder's, or one
in the layout of diffusers; a folder with any of them is taken. CT is seen by the window of
Foundation-VAE (Chen et al. 2026, arXiv 2605.30893), −1000 … 1000 HU, unless a policy says otherwise
(`codecs.reconstruction`).
"""

# torch and the networks are imported where a codec is built, not here: `plica codecs` lists cards.
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.codecs.medvae import picture_steps
from plica.errors import WeightsError

if TYPE_CHECKING:
    from plica.codecs.weights import Weights

PARTS = ("encoder", "decoder")
_ENDINGS = (".safetensors", ".pth")
_WHOLE = "diffusion_pytorch_model.safetensors"
_DIFFUSERS = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.+)")


@dataclass(frozen=True)
class _Model:
    """One of the family.

    Args:
        codes: Code channels.
        stands_for: The large autoencoder it was distilled from.
        hub: Repository with the layout of diffusers; "" where the authors keep two files alone.
        settings: Further settings of the network.
    """

    codes: int
    stands_for: str
    hub: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


_MODELS = {
    "taesd": _Model(4, "Stable Diffusion 1 and 2", "madebyollin/taesd"),
    "taesdxl": _Model(4, "Stable Diffusion XL", "madebyollin/taesdxl"),
    "taesd3": _Model(16, "Stable Diffusion 3", "madebyollin/taesd3"),
    "taef1": _Model(16, "FLUX.1", "madebyollin/taef1"),
    "taef2": _Model(32, "FLUX.2", settings={"pooled": True}),
    "taesana": _Model(
        32,
        "SANA's DC-AE of 32 voxels per code",
        settings={"decoder_widths": (256, 128, 64, 64, 64), "strided_stem": True},
    ),
}


def _card(name: str, model: _Model) -> CodecCard:
    factor = 2 ** len(model.settings.get("decoder_widths", (64, 64, 64)))
    pair = " and ".join(f"{name}_{part}.pth" for part in PARTS)
    source = (
        WeightsSource("hub", model.hub, filename=_WHOLE)
        if model.hub
        else WeightsSource("file", filename=pair)
    )
    return CodecCard(
        name=name,
        family="tiny",
        summary=f"Tiny autoencoder of natural images, distilled from that of {model.stands_for}: "
        f"{factor} times coarser per axis, {model.codes} code channels.",
        dims=2,
        factor=factor,
        channels=model.codes,
        in_channels=3,
        expects="CT: -1000…1000 HU to -1…1; all else: the image's own range. Slices of a volume "
        "one by one; grey in all three channels.",
        licence="MIT",
        source="Ollin Boer Bohan; github.com/madebyollin/taesd",
        weights=source,
        tileable=True,
        norms=("group",) if model.settings.get("pooled") else (),
        training_data="natural images; which is not stated",
        extras={
            "files": pair,
            "weights_note": "by keys and shapes; SHA-256 of the published files is not known here",
            **({"norms_note": "three normalisations, all at the resolution of the codes: tiles are "
                "exact, since those layers are run on the whole of a slice"}
               if model.settings.get("pooled") else {}),
        },
    )  # fmt: skip


def _offer(name: str, model: _Model) -> Offer:
    card = _card(name, model)

    def build(request: Request) -> Codec:
        from plica.codecs.device import choose_device
        from plica.codecs.networkcodec import NetworkCodec
        from plica.codecs.weights import load_network
        from plica.networks.tiny import TinyAutoencoder

        check_options(request, card)
        network, fingerprint = load_network(
            card,
            request.weights,
            make=lambda: TinyAutoencoder(code_channels=model.codes, **model.settings),
            convert=renumber,
            read_folder=_reads_pairs(name),
        )
        return NetworkCodec(
            card=card,
            network=network,
            fingerprint=fingerprint,
            steps=picture_steps,
            device=choose_device(request.device),
            padding="edge",
        )

    return Offer(card, build)


def _reads_pairs(name: str) -> Callable[[Path], Weights]:
    def read_pair(folder: Path) -> Weights:
        """A folder's encoder and decoder, or its one file of both."""
        from plica.codecs.weights import read

        if (folder / _WHOLE).is_file():
            return read(folder / _WHOLE)
        found: Weights = {}
        for part in PARTS:
            files = [folder / f"{name}_{part}{ending}" for ending in _ENDINGS]
            file = next((one for one in files if one.is_file()), None)
            if file is None:
                raise WeightsError(
                    f"{folder} holds no {part} of {name}: it should hold "
                    f"{name}_{PARTS[0]}.pth and {name}_{PARTS[1]}.pth as "
                    f"github.com/madebyollin/taesd has them, or {_WHOLE}"
                )
            found |= {f"{part}.{key}": value for key, value in read(file).items()}
        return found

    return read_pair


def renumber(state: Weights) -> Weights:
    """Keys of diffusers as the authors number them: its decoder counts no squashing layer.

    Examples:
        >>> renumber({"decoder.layers.0.weight": 1, "encoder.0.bias": 2})
        {'decoder.1.weight': 1, 'encoder.0.bias': 2}
    """
    renamed = {}
    for key, value in state.items():
        match = _DIFFUSERS.fullmatch(key)
        if match is not None:
            part, number, rest = match.groups()
            key = f"{part}.{int(number) + (part == 'decoder')}.{rest}"
        renamed[key] = value
    return renamed


OFFERS: dict[str, Offer] = {name: _offer(name, model) for name, model in _MODELS.items()}
