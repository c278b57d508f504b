"""Autoencoders of pictures, videos and volumes made for generators, frozen: one card for each.

Video models take the slices of a volume as frames (`codecs.framecodec`), picture models slice by
slice, MAISI whole volumes (`codecs.networkcodec`). CT is seen by the window of Foundation-VAE (Chen
et al. 2026, arXiv 2605.30893), −1000 … 1000 HU, unless a policy says otherwise
(`codecs.reconstruction`). Weights are those of the hub, or a file or folder in the layout of the
diffusers library (of MONAI for MAISI); their numbers stand below, one assembly each.
"""

# torch and the networks are imported where a codec is built, not here: `plica codecs` lists cards.
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plica.codecs.card import CodecCard, Posterior, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.codecs.latent_statistics import STATISTICS
from plica.codecs.medvae import picture_steps, volume_steps

_FILE = "diffusion_pytorch_model.safetensors"
_NVIDIA = "NVIDIA Open Model License"
_RANGE = "CT: -1000…1000 HU to -1…1; all else: the image's own range. "
_EXPECTS = {
    "frames": _RANGE + "The slices of a volume as frames, in order; grey in all three channels.",
    "slices": _RANGE + "Slices of a volume one by one; grey in all three channels.",
    "volumes": _RANGE + "Volumes, turned to RAS.",
}
_DIFFUSERS = {"package": "diffusers", "extra": "foundation"}
_WHOLE_MAP = "sees whole frames, through attention or normalisation"


@dataclass(frozen=True)
class _Model:
    """One published autoencoder.

    Args:
        what: The subject of the card's summary.
        make: Its assembly.
        factor: Along rows and columns, and along slices too where there is no period.
        channels: Of the codes.
        licence: Of the weights.
        source: Paper and code.
        weights: Where they are.
        norms: See `CodecCard`.
        period: See `CodecCard`; 0 for pictures and volumes.
        dims: See `CodecCard`.
        posterior: See `CodecCard`.
        facts: Further ones.
    """

    what: str
    make: Callable[[], Any]
    factor: int
    channels: int
    licence: str
    source: str
    weights: WeightsSource
    norms: tuple[str, ...]
    period: int = 0
    dims: int = 2
    posterior: Posterior = "gaussian"
    facts: Mapping[str, Any] = field(default_factory=dict)


def _hub(repo: str, folder: str = "vae") -> WeightsSource:
    return WeightsSource("hub", repo, filename=f"{folder}/{_FILE}" if folder else _FILE)


# -- assemblies ----------------------------------------------------------------------------------


def _wan_21() -> Any:
    from plica.networks.wan import Wan

    return Wan(width=96, decoder_width=96, code_channels=16)


def _wan_22() -> Any:
    from plica.networks.wan import Wan

    return Wan(width=160, decoder_width=256, code_channels=48, residual=True, patch=2)


def _cogvideox() -> Any:
    from plica.networks.cogvideox import CogVideoX

    return CogVideoX(widths=(128, 256, 256, 512), code_channels=16, blocks=3)


def _ltx() -> Any:
    from plica.networks.ltx import LtxVideo

    return LtxVideo(widths=(128, 256, 512, 512), code_channels=128, blocks=(4, 3, 3, 3, 4))


def _hunyuanvideo() -> Any:
    from plica.networks.hunyuanvideo import HunyuanVideo

    return HunyuanVideo(widths=(128, 256, 512, 512), code_channels=16, blocks=2)


def _cosmos() -> Any:
    from plica.networks.cosmos import Cosmos

    return Cosmos(
        widths=(128, 256, 512, 512), decoder_widths=(256, 512, 512, 512), code_channels=16, blocks=2
    )


def _dcae_f32c32() -> Any:
    from plica.networks.dcae import DeepCompression

    return DeepCompression(
        code_channels=32,
        widths=(128, 256, 512, 512, 1024, 1024),
        blocks=(0, 4, 8, 2, 2, 2),
        decoder_blocks=(0, 5, 10, 2, 2, 2),
    )


def _dcae_f64c128() -> Any:
    from plica.networks.dcae import DeepCompression

    return DeepCompression(
        code_channels=128,
        widths=(128, 256, 512, 512, 1024, 1024, 2048),
        blocks=(0, 4, 8, 2, 2, 2, 2),
        decoder_blocks=(0, 5, 10, 2, 2, 2, 2),
    )


def _kl(code_channels: int) -> Callable[[], Any]:
    def make() -> Any:
        from plica.networks.kl import KlAutoencoder

        return KlAutoencoder(
            dims=2, in_channels=3, code_channels=code_channels, widths=(128, 256, 512, 512)
        )

    return make


def _maisi() -> Any:
    from plica.networks.maisi import MaisiAutoencoder

    return MaisiAutoencoder(dims=3, in_channels=1, code_channels=4, widths=(64, 128, 256), blocks=2)


# -- facts ---------------------------------------------------------------------------------------

_MODELS = {
    "wan2.1": _Model(
        what="Wan 2.1's causal video autoencoder",
        make=_wan_21,
        factor=8,
        period=4,
        dims=3,
        channels=16,
        licence="Apache-2.0",
        source="Wan Team 2025, arXiv 2503.20314; github.com/Wan-Video/Wan2.1",
        weights=_hub("Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
        norms=("position",),
        facts={"streaming": "exact, four slices at a time", "attention": "within one frame"},
    ),
    "wan2.2": _Model(
        what="Wan 2.2's causal video autoencoder",
        make=_wan_22,
        factor=16,
        period=4,
        dims=3,
        channels=48,
        licence="Apache-2.0",
        source="Wan Team 2025, arXiv 2503.20314; github.com/Wan-Video/Wan2.2",
        weights=_hub("Wan-AI/Wan2.2-TI2V-5B-Diffusers"),
        norms=("position",),
        facts={"streaming": "exact, four slices at a time", "attention": "within one frame"},
    ),
    "cogvideox": _Model(
        what="CogVideoX's causal video autoencoder",
        make=_cogvideox,
        factor=8,
        period=4,
        dims=3,
        channels=16,
        licence="Apache-2.0, with CogVideoX-2B",
        source="Yang et al. 2024, arXiv 2408.06072; github.com/zai-org/CogVideo",
        weights=_hub("zai-org/CogVideoX-2b"),
        norms=("group",),
        facts={
            "streaming": "exact, in the batches of eight slices over which it normalises",
            "look_ahead": "within a batch, through its statistics",
            "filled": "5 + 8 n slices, by four copies of the last, which are cut off again",
        },
    ),
    "ltx": _Model(
        what="LTX-Video's autoencoder, version 0.9.0",
        make=_ltx,
        factor=32,
        period=8,
        dims=3,
        channels=128,
        licence="LTX-Video open weights licence, which restricts use: see the model's page",
        source="HaCohen et al. 2024, arXiv 2501.00103; github.com/Lightricks/LTX-Video",
        weights=_hub("Lightricks/LTX-Video"),
        norms=("position",),
        facts={
            "streaming": "exact, eight slices at a time",
            "look_ahead": "none in encoding; decoding waits for the codes its layers look at",
        },
    ),
    "hunyuanvideo": _Model(
        what="HunyuanVideo's causal video autoencoder",
        make=_hunyuanvideo,
        factor=8,
        period=4,
        dims=3,
        channels=16,
        licence="Tencent Hunyuan Community License, not for the EU, the UK and South Korea",
        source="Kong et al. 2024, arXiv 2412.03603; github.com/Tencent-Hunyuan/HunyuanVideo",
        weights=_hub("hunyuanvideo-community/HunyuanVideo"),
        norms=("group",),
        facts={
            "streaming": "none: it normalises over all slices, so that no code is known before the "
            "last one; its library's blended pieces are another function, and not done here",
        },
    ),
    "cosmos": _Model(
        what="Cosmos' causal video tokenizer, CV8x8x8",
        make=_cosmos,
        factor=8,
        period=8,
        dims=3,
        channels=16,
        licence=_NVIDIA,
        source="NVIDIA 2025, arXiv 2501.03575; github.com/NVIDIA/Cosmos-Tokenizer",
        weights=_hub("nvidia/Cosmos-1.0-Diffusion-7B-Text2World"),
        norms=("frame",),
        posterior="none",
        facts={
            "streaming": "exact, eight slices at a time; attention keeps keys and values of all "
            "code slices before, which alone grow",
        },
    ),
    "dc-ae-f32c32": _Model(
        what="DC-AE, the deep compression autoencoder of pictures",
        make=_dcae_f32c32,
        factor=32,
        channels=32,
        licence="not known here; the code is Apache-2.0: see the model's page",
        source="Chen et al. 2025, arXiv 2410.10733; github.com/mit-han-lab/efficientvit",
        weights=_hub("mit-han-lab/dc-ae-f32c32-in-1.0-diffusers", ""),
        norms=("position", "batch"),
        posterior="none",
        facts={"attention": "linear, over the whole of coarse maps: run whole"},
    ),
    "dc-ae-f64c128": _Model(
        what="DC-AE, the deep compression autoencoder of pictures",
        make=_dcae_f64c128,
        factor=64,
        channels=128,
        licence="not known here; the code is Apache-2.0: see the model's page",
        source="Chen et al. 2025, arXiv 2410.10733; github.com/mit-han-lab/efficientvit",
        weights=_hub("mit-han-lab/dc-ae-f64c128-in-1.0-diffusers", ""),
        norms=("position", "batch"),
        posterior="none",
        facts={"attention": "linear, over the whole of coarse maps: run whole"},
    ),
    "sdxl": _Model(
        what="Stable Diffusion XL's autoencoder of pictures",
        make=_kl(4),
        factor=8,
        channels=4,
        licence="MIT",
        source="Podell et al. 2023, arXiv 2307.01952; github.com/Stability-AI/generative-models",
        weights=_hub("stabilityai/sdxl-vae", ""),
        norms=("group",),
    ),
    "sd3": _Model(
        what="Stable Diffusion 3's autoencoder of pictures",
        make=_kl(16),
        factor=8,
        channels=16,
        licence="Stability AI Community License",
        source="Esser et al. 2024, arXiv 2403.03206",
        weights=_hub("stabilityai/stable-diffusion-3-medium-diffusers"),
        norms=("group",),
    ),
    "flux": _Model(
        what="FLUX.1's autoencoder of pictures",
        make=_kl(16),
        factor=8,
        channels=16,
        licence="Apache-2.0, with FLUX.1 [schnell]",
        source="Black Forest Labs 2024; github.com/black-forest-labs/flux",
        weights=_hub("black-forest-labs/FLUX.1-schnell"),
        norms=("group",),
    ),
    "flux2": _Model(
        what="FLUX.2's autoencoder of pictures",
        make=_kl(32),
        factor=8,
        channels=32,
        licence="Apache-2.0 for the autoencoder; other parts of its repository are not",
        source="Black Forest Labs 2025; github.com/black-forest-labs/flux2",
        weights=_hub("black-forest-labs/FLUX.2-dev"),
        norms=("group",),
    ),
    "maisi": _Model(
        what="MAISI's autoencoder of CT and MR volumes",
        make=_maisi,
        factor=4,
        dims=3,
        channels=4,
        licence=_NVIDIA,
        source="Guo et al. 2024, arXiv 2409.11169; github.com/NVIDIA-Medtech/NV-Generate-CTMR",
        weights=WeightsSource("file", filename="autoencoder_v1.pt (autoencoder_epoch273.pt)"),
        norms=("group",),
        facts={"within": "0 … 1, which −1 … 1 is brought to and back from"},
    ),
}


def _card(name: str, model: _Model) -> CodecCard:
    causal = model.period > 0
    slices = f", {model.period} slices to a code slice" if causal else ""
    return CodecCard(
        name=name,
        family="foundation",
        summary=f"{model.what}: {model.factor} times coarser per axis"
        f"{' in the plane' if causal else ''}{slices}, {model.channels} code channels.",
        dims=model.dims,
        factor=model.factor,
        channels=model.channels,
        in_channels=1 if name == "maisi" else 3,
        expects=_EXPECTS["frames" if causal else "volumes" if model.dims == 3 else "slices"],
        licence=model.licence,
        source=model.source,
        weights=model.weights,
        receptive_field=0,
        period=model.period,
        causal=causal,
        norms=model.norms,
        posterior=model.posterior,
        training_data="CT and MR volumes" if name == "maisi" else "natural pictures and videos",
        extras={
            **({"sees": _WHOLE_MAP} if "group" in model.norms else {}),
            **({"needs": _DIFFUSERS} if causal or name.startswith("dc-ae") else {}),
            **model.facts,
            **STATISTICS[name],
            "weights_note": "by keys and shapes; the hub's SHA-256 is not known here",
        },
    )


# -- offers --------------------------------------------------------------------------------------


def _offer(name: str, model: _Model) -> Offer:
    card = _card(name, model)

    def build(request: Request) -> Codec:
        from plica.codecs.device import choose_device
        from plica.codecs.framecodec import FrameCodec
        from plica.codecs.networkcodec import NetworkCodec
        from plica.codecs.weights import load_network

        check_options(request, card)
        network, fingerprint = load_network(
            card, request.weights, make=model.make, convert=_convert(name)
        )
        codec = FrameCodec if card.period else NetworkCodec
        return codec(
            card=card,
            network=network,
            fingerprint=fingerprint,
            steps=volume_steps if name == "maisi" else picture_steps,
            device=choose_device(request.device),
            padding="background" if name == "maisi" else "edge",
        )

    return Offer(card, build)


def _convert(name: str) -> Callable[[Any], Any]:
    """Brings a published file's keys to the network's."""
    from plica.codecs.layouts import from_maisi, to_compvis, with_quant

    if name == "maisi":
        return lambda state: from_maisi(state, levels=3, blocks=2)
    if _MODELS[name].dims == 2 and not name.startswith("dc-ae"):
        return lambda state: with_quant(to_compvis(_without_statistics(state)))
    return _without_statistics


def _without_statistics(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weights without what the codes are scaled by for diffusion, and how long was trained."""
    beside = ("latents_mean", "latents_std", "bn.")
    return {
        key: value
        for key, value in state.items()
        if not key.startswith(beside) and not key.endswith("num_batches_tracked")
    }


OFFERS: dict[str, Offer] = {name: _offer(name, model) for name, model in _MODELS.items()}
