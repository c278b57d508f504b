"""The way back: what a latent is decoded into, for every codec around a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from plica.codecs.card import CodecCard
from plica.codecs.codec import Begin, check_way_back
from plica.image import Image
from plica.latent import Latent
from plica.preparation.trail import revert
from plica.preparation.view import Absent, View


def absent(latent: Latent, card: CodecCard) -> View:
    """The prepared image before it is decoded."""
    channels = latent.codes.shape[0] // card.channels * card.in_channels
    pixels = Absent((channels, *latent.prepared.shape), np.dtype(np.float32))
    return View(pixels, latent.prepared, provenance=latent.provenance, display=latent.display)


def outline_decoded(view: View, latent: Latent) -> Image:
    """The decoded image but for its values, which are all zero and in no memory.

    Raises:
        LatentError: The way back does not end on the source's grid.
    """
    check_way_back(view.grid, latent.source)
    return Image(
        np.broadcast_to(np.zeros((), view.pixels.dtype), view.shape),
        view.grid,
        latent.unit,
        view.provenance.after(f"decoded by {latent.codec.name}"),
        view.display,
    )


def revert_whole(prepared: View, latent: Latent, begin: Begin) -> Image:
    """The image of decoded pixels, where the way back needs all voxels together.

    Raises:
        LatentError: The trail is damaged.
    """
    image = revert(prepared.collect(), latent.trail)
    outline = outline_decoded(View.of(image), latent)
    laid = begin(outline)
    laid[...] = image.pixels
    return replace(outline, pixels=laid)
