"""The natural-image autoencoders of latent diffusion, which MedVAE compares with.

Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models"; the numbers are
those of github.com/CompVis/latent-diffusion, models/first_stage_models/*/config.yaml at a506df5.
Images are prepared as for MedVAE, so that a comparison sees the networks and nothing else.
"""

# torch and the networks are imported where a codec is built, not here: `plica codecs` lists cards.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.codecs.medvae import picture_steps
from plica.networks.field import receptive_field

if TYPE_CHECKING:
    from plica.networks.kl import KlAutoencoder
    from plica.networks.vq import VqAutoencoder

_PAGE = "published as {name}.zip (model.ckpt) by github.com/CompVis/latent-diffusion"


@dataclass(frozen=True)
class _Model:
    """The numbers of one published autoencoder.

    Args:
        codes: Code channels.
        widths: Channels of each level, finest first.
        codebook: Entries of the codebook; 0 for KL models.
        attention_levels: Levels with attention besides the middle.
        licence: Of the weights.
        note: Which weights these are, where that is not plain.
    """

    codes: int
    widths: tuple[int, ...]
    weights: WeightsSource
    codebook: int = 0
    attention_levels: tuple[int, ...] = ()
    licence: str = "not stated with the weights; the code is MIT"
    note: str = ""


_MODELS = {
    "kl-f4": _Model(
        codes=3, widths=(128, 256, 512), weights=WeightsSource("file", filename="kl-f4/model.ckpt")
    ),
    "kl-f8": _Model(
        codes=4,
        widths=(128, 256, 512, 512),
        weights=WeightsSource(
            kind="hub",
            repo="stabilityai/sd-vae-ft-mse",
            revision="31f26fdeee1355a5c34592e401dd41e45d25a493",
            filename="diffusion_pytorch_model.safetensors",
            sha256="a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
            bytes=334_643_276,
        ),
        licence="MIT",
        note="The hub's weights have kl-f8's encoder and a decoder fitted further (ft-MSE); "
        "the original is a file of its own, kl-f8/model.ckpt.",
    ),
    "vq-f4": _Model(
        codes=3,
        widths=(128, 256, 512),
        codebook=8192,
        weights=WeightsSource(
            kind="hub",
            repo="CompVis/ldm-super-resolution-4x-openimages",
            revision="dbca3bb272e42704010d0ba21a41aa3236e06270",
            filename="vqvae/diffusion_pytorch_model.bin",
        ),
        licence="Apache-2.0",
        note="As it lies in the authors' super-resolution pipeline; its SHA-256 is not known here.",
    ),
    "vq-f8": _Model(
        codes=4,
        widths=(128, 256, 256, 512),
        codebook=16384,
        # The published number is a resolution, 32 of 256: the coarsest of four levels.
        attention_levels=(3,),
        weights=WeightsSource("file", filename="vq-f8/model.ckpt"),
    ),
}


def _card(name: str, model: _Model) -> CodecCard:
    levels = len(model.widths)
    kind = f"VQ, {model.codebook} codes" if model.codebook else "KL"
    extras = {"convolutional_receptive_field": receptive_field(levels=levels)}
    if model.codebook:
        extras["codebook"] = model.codebook
    return CodecCard(
        name=name,
        family="latentdiffusion",
        summary=f"Latent diffusion's autoencoder of natural images ({kind}): "
        f"{2 ** (levels - 1)} times coarser per axis, {model.codes} code channels.",
        dims=2,
        factor=2 ** (levels - 1),
        channels=model.codes,
        in_channels=3,
        expects="Pictures, or slices of a volume, as for MedVAE; grey in all three channels.",
        licence=model.licence,
        source="Rombach et al. 2022; github.com/CompVis/latent-diffusion",
        weights=model.weights,
        receptive_field=0,
        posterior="codebook" if model.codebook else "gaussian",
        training_data="OpenImages (natural photographs)",
        extras={**extras, "weights_note": model.note or _PAGE.format(name=name)},
    )


def _make(model: _Model) -> KlAutoencoder | VqAutoencoder:
    from plica.networks.kl import KlAutoencoder
    from plica.networks.vq import VqAutoencoder

    if model.codebook == 0:
        return KlAutoencoder(dims=2, in_channels=3, code_channels=model.codes, widths=model.widths)
    return VqAutoencoder(
        dims=2,
        in_channels=3,
        code_channels=model.codes,
        codebook=model.codebook,
        widths=model.widths,
        attention_levels=model.attention_levels,
    )


def _offer(name: str, model: _Model) -> Offer:
    card = _card(name, model)

    def build(request: Request) -> Codec:
        from plica.codecs.device import choose_device
        from plica.codecs.layouts import to_compvis
        from plica.codecs.networkcodec import NetworkCodec
        from plica.codecs.weights import load_network

        check_options(request, card)
        network, fingerprint = load_network(
            card, request.weights, make=lambda: _make(model), convert=to_compvis
        )
        return NetworkCodec(
            card=card,
            network=network,
            fingerprint=fingerprint,
            steps=picture_steps,
            device=choose_device(request.device),
        )

    return Offer(card, build)


OFFERS: dict[str, Offer] = {name: _offer(name, model) for name, model in _MODELS.items()}
