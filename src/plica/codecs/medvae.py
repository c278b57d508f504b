"""MedVAE's six autoencoders: radiographs and mammograms in 2D, CT and MR in 3D.

Varma et al. 2025, "MedVAE: Efficient automated interpretation of medical images with large-scale
generalizable autoencoders", arXiv 2502.14753. The architecture is read from the published state
dicts, and agrees with the published code on made weights to 1e-4.

Differences from the published program, each on purpose: the posterior's mean instead of a sample;
sides padded with background and cut off again, where it drops columns in 2D and crops to a box in
3D; every slice of a volume in 2D models; adapters folded into the convolutions they stand beside.
"""

# torch and the networks are imported where a codec is built, not here: `plica codecs` lists cards.
from __future__ import annotations

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.errors import SettingsError
from plica.image import Image, Unit
from plica.networks.field import receptive_field
from plica.preparation.minmax import MinMax
from plica.preparation.reorient import Reorient
from plica.preparation.step import Step
from plica.preparation.window import Window

CT_LOW_HU, CT_HIGH_HU = -1000.0, 1000.0
_WIDTHS = {4: (128, 256, 512), 8: (128, 256, 512, 512)}
_WINDOW = 160
_REPO = "stanfordmimi/MedVAE"
# A stored page of the hub lists all six files at this revision; their sizes are those of the
# layouts here. Neither their SHA-256 nor their exact sizes were on it.
_REVISION = "041f23d40d9890a3ee0cc1ee56e750e4b81acbe0"
_TRAINED_ON = {
    2: "1,021,356 chest radiographs and mammograms of eight public datasets",
    3: "the 2D model lifted, then 31,374 head and knee MR and whole-body CT of eleven datasets",
}


def picture_steps(image: Image) -> tuple[Step, ...]:
    """To [−1, 1]: CT by MedVAE's window of −1000 … 1000 HU, all else by its own range."""
    return (Window(CT_LOW_HU, CT_HIGH_HU),) if image.unit is Unit.HU else (MinMax(),)


def volume_steps(image: Image) -> tuple[Step, ...]:
    """Axes to RAS, as the 3D models were trained, then as for pictures."""
    return (Reorient("RAS"), *picture_steps(image))


def _card(factor: int, channels: int, dims: int) -> CodecCard:
    adapted = channels > 1
    trained = "adapters on a natural-image autoencoder; " if adapted else ""
    return CodecCard(
        name=f"medvae-{factor}x{channels}-{dims}d",
        family="medvae",
        summary=f"MedVAE for {'volumes' if dims == 3 else 'pictures'}: {factor} times coarser per "
        f"axis, {channels} code channel{'s' if adapted else ''}.",
        dims=dims,
        factor=factor,
        channels=channels,
        in_channels=3 if adapted else 1,
        expects="CT: -1000…1000 HU to -1…1; all else: the image's own range. "
        + ("Volumes, turned to RAS." if dims == 3 else "Pictures, or slices of a volume."),
        licence="MIT",
        source="Varma et al. 2025, arXiv 2502.14753; github.com/StanfordMIMI/MedVAE",
        weights=WeightsSource(
            kind="hub",
            repo=_REPO,
            revision=_REVISION,
            filename=f"model_weights/vae_{factor}x_{channels}c_{dims}D.ckpt",
        ),
        receptive_field=0,
        native_window=_WINDOW if dims == 3 else 0,
        posterior="gaussian",
        latents=("raw", "projected"),
        training_data=trained + _TRAINED_ON[dims],
        extras={
            "convolutional_receptive_field": receptive_field(levels=len(_WIDTHS[factor])),
            "weights_checked": "by keys and shapes; the hub's SHA-256 is not known here",
            "projected": "made for classifiers; it cannot be decoded"
            if dims == 2
            else "the layers are in the file, but the published 3D training leaves them out: "
            "its classifiers take the raw latent",
        },
    )


def _asks_for_lifting(request: Request, card: CodecCard) -> bool:
    lift = request.options.get("lift", False)
    if not isinstance(lift, bool):
        raise SettingsError(
            f"{card.name}: lift is true (2D weights are laid into the 3D network) or false, "
            f"but got {lift!r}"
        )
    return lift


def _offer(factor: int, channels: int, dims: int) -> Offer:
    card = _card(factor, channels, dims)
    options = ("lift",) if dims == 3 else ()

    def build(request: Request) -> Codec:
        from plica.codecs.device import choose_device
        from plica.codecs.networkcodec import NetworkCodec
        from plica.codecs.weights import load_network
        from plica.networks.kl import KlAutoencoder
        from plica.networks.lifting import lift
        from plica.networks.lora import fold_lora

        check_options(request, card, options)
        lifting = _asks_for_lifting(request, card)
        network, fingerprint = load_network(
            card,
            request.weights,
            make=lambda: KlAutoencoder(
                dims=dims,
                in_channels=card.in_channels,
                code_channels=channels,
                widths=_WIDTHS[factor],
                projection=True,
            ),
            convert=lambda state: lift(fold_lora(state)) if lifting else fold_lora(state),
        )
        return NetworkCodec(
            card=card,
            network=network,
            fingerprint=fingerprint,
            steps=volume_steps if dims == 3 else picture_steps,
            device=choose_device(request.device),
        )

    return Offer(card, build)


OFFERS: dict[str, Offer] = {
    offer.card.name: offer
    for offer in (
        _offer(factor=4, channels=1, dims=2),
        _offer(factor=4, channels=3, dims=2),
        _offer(factor=8, channels=1, dims=2),
        _offer(factor=8, channels=4, dims=2),
        _offer(factor=4, channels=1, dims=3),
        _offer(factor=8, channels=1, dims=3),
    )
}
