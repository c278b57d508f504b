"""A codec as another package brings it, with a setting of its own that decoding needs."""

import torch
from torch import Tensor

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import Codec, Offer, Request, check_options
from plica.codecs.networkcodec import NetworkCodec
from plica.preparation.pipelines import full_range

NAME = "sharing-2x1-2d"
CARD = CodecCard(
    name=NAME, family="sharing", summary="A test's own.", dims=2, factor=2, channels=1,
    in_channels=1, expects="anything", licence="Apache-2.0", source="a test",
    weights=WeightsSource("none"),
)  # fmt: skip


class Sharing:
    """Means of 2×2, of which a share is kept."""

    dims, factor, in_channels, code_channels = 2, 2, 1, 1

    def __init__(self, share: float) -> None:
        self.share = share

    def encode(self, x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(x, 2) * self.share

    def decode(self, z: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(z, scale_factor=2.0) / self.share


def build(request: Request) -> Codec:
    check_options(request, CARD, ("share",))
    share = float(request.options.get("share", 1.0))
    return NetworkCodec(card=CARD, network=Sharing(share), fingerprint="2x2", steps=full_range)


OFFER = Offer(CARD, build)
TARGET = f"{__name__}:OFFER"
