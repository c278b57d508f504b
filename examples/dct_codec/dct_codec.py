"""A codec in one file: the lowest cosines of 8×8 blocks, as JPEG has them before it rounds.

Installed, this package adds one line to the table of codecs (see pyproject.toml):

    pip install ./examples/dct_codec
    plica codecs dct-8x4-2d
    plica reconstruct ct/ -o out.nii.gz --codec dct-8x4-2d

A codec is a card (facts, in fields), a network (tensors in, tensors out) and a function that joins
them. docs/your-codec.md does the same for a network that is trained, with its weights inside.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 8
LOWEST = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Which cosines are kept: the mean of a block, its two slopes and their product."""

CARD = CodecCard(
    name="dct-8x4-2d",
    family="dct",
    summary="The four lowest cosines of each block of 8×8 pixels.",
    dims=2,
    factor=SIDE,
    channels=len(LOWEST),
    in_channels=1,
    expects="Any image; its full range is mapped to −1…1.",
    licence="none needed (a formula)",
    source="Ahmed, Natarajan & Rao 1974",
    weights=WeightsSource("none"),
    receptive_field=SIDE,
    tileable=True,
)


class Cosines:
    """x (batch, 1, h, w) in [−1, 1] ⇄ z (batch, 4, h/8, w/8), orthonormal on what is kept."""

    dims, factor, in_channels, code_channels = 2, SIDE, 1, len(LOWEST)
    encoder_reach = decoder_reach = 0  # in codes: a block knows nothing of the others
    floats_per_voxel = (1.1, 1.1)  # the image, and its codes

    def __init__(self) -> None:
        import torch  # here, so that listing codecs needs no torch

        n = torch.arange(SIDE, dtype=torch.float32)
        rows = [torch.cos(math.pi * (n + 0.5) * k / SIDE) for k in range(SIDE)]
        rows = [row / row.norm() for row in rows]
        self.kernels = torch.stack([torch.outer(rows[u], rows[v]) for u, v in LOWEST])[:, None]

    def encode(self, x: Tensor) -> Tensor:
        """Coefficients, divided by the block's side: a flat image keeps its own value."""
        from torch.nn.functional import conv2d

        return conv2d(x, self.kernels.to(x), stride=SIDE) / SIDE

    def decode(self, z: Tensor) -> Tensor:
        """Their sum of cosines."""
        from torch.nn.functional import conv_transpose2d

        return conv_transpose2d(z * SIDE, self.kernels.to(z), stride=SIDE)


def build(request: Request) -> Codec:
    """The codec; it has no settings and no weights, so that its fingerprint names its formula."""
    from plica.codecs.networkcodec import NetworkCodec
    from plica.preparation.pipelines import full_range

    check_options(request, CARD)
    return NetworkCodec(
        card=CARD, network=Cosines(), fingerprint="dct 8x8, 4 lowest, 1", steps=full_range
    )


OFFER = Offer(CARD, build)
