"""Autoencoders of which there is only a card: nobody maintains a program that could be installed.

Foundation-VAE (Chen et al. 2026, arXiv 2605.30893) compares them with those that can be loaded
(`codecs.foundation`). A card says what is known of each; to load one is answered with what is
missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from plica.codecs.card import CodecCard, Posterior, WeightsSource
from plica.codecs.codec import Codec, Offer, Request
from plica.errors import WeightsError

_LACK = "there is no maintained implementation that can be installed"
_FREE = {"MIT", "Apache-2.0"}


@dataclass(frozen=True)
class _Model:
    """What is known of one.

    Args:
        title: As its authors write it.
        channels: Of the codes, in the released settings.
        licence: Of the code.
        source: The code.
        causal: Whether 1 + 4 n slices are folded.
        norms: See `CodecCard`; empty where it was not looked into.
        posterior: See `CodecCard`.
    """

    title: str
    channels: int
    licence: str
    source: str
    causal: bool = True
    norms: tuple[str, ...] = ()
    posterior: Posterior = "gaussian"

    @property
    def lack(self) -> str:
        """What is missing."""
        if self.licence in _FREE:
            return _LACK
        return f"{_LACK}, and its licence does not allow one to be made of its code"


_MODELS = {
    "leanvae": _Model(
        "LeanVAE", 16, "MIT", "github.com/westlake-repl/LeanVAE",
        norms=("position",), posterior="none",
    ),
    "wf-vae": _Model("WF-VAE", 16, "Apache-2.0", "github.com/PKU-YuanGroup/WF-VAE"),
    "cv-vae": _Model("CV-VAE", 4, "none stated", "github.com/AILab-CVC/CV-VAE"),
    "iv-vae": _Model("IV-VAE", 16, "MIT", "github.com/ali-vilab/iv-vae"),
    "videovae-plus": _Model(
        "VideoVAE+", 16, "CC BY-NC-ND 4.0", "github.com/VideoVerses/VideoVAEPlus", causal=False
    ),
}  # fmt: skip


def _card(name: str, model: _Model) -> CodecCard:
    return CodecCard(
        name=name,
        family="foundation",
        summary=f"{model.title}, a video autoencoder; only a card: {model.lack}.",
        dims=3,
        factor=8,
        channels=model.channels,
        in_channels=3,
        expects="nothing: it cannot be loaded",
        licence=model.licence,
        source=model.source,
        weights=WeightsSource("file"),
        receptive_field=0,
        period=4,
        causal=model.causal,
        norms=model.norms,
        posterior=model.posterior,
        training_data="natural videos",
        extras={"missing": model.lack},
    )


def _offer(name: str, model: _Model) -> Offer:
    card = _card(name, model)

    def build(_: Request) -> Codec:
        raise WeightsError(
            f"{name} cannot be loaded, since {model.lack} ({model.source}, licence: "
            f"{model.licence}). Choose another video autoencoder, such as wan2.1 or cogvideox"
        )

    return Offer(card, build)


OFFERS: dict[str, Offer] = {name: _offer(name, model) for name, model in _MODELS.items()}
