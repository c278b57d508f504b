"""Precision: what a codec's network computes in, as asked for.

float32 is the default and the reference. bfloat16 is several times as fast where the processor
multiplies it itself and slower elsewhere; `plica verify` says how far its codes are from the exact
ones. A latent made in it says so, and is decoded in whichever precision is asked for then.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from plica.errors import SettingsError
from plica.networks.precision import PRECISIONS, Precision, has_precision, is_native

if TYPE_CHECKING:
    from plica.codecs.networkcodec import NetworkCodec


def check_precision(codec: NetworkCodec, asked: Any) -> Precision:
    """What was asked for, if the codec's network can compute in it.

    Raises:
        SettingsError: It is no precision, or the network would gain nothing by it.
    """
    if asked not in PRECISIONS:
        near = difflib.get_close_matches(str(asked), PRECISIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"precision is {' or '.join(PRECISIONS)}, but got {asked!r}{hint}")
    network = codec.network
    fitting = isinstance(network, nn.Module) and has_precision(network)
    if asked == "bfloat16" and not fitting:
        raise SettingsError(
            f"{codec.card.name} has no layers that bfloat16 would make faster: leave out the "
            "precision"
        )
    return cast("Precision", asked)


def describe_slowness(codec: Any) -> str:
    """What is to be said of a codec whose device only imitates its precision; else nothing."""
    if getattr(codec, "precision", "float32") != "bfloat16" or is_native(codec.device):
        return ""
    return (
        f"'{codec.device}' does not multiply bfloat16 itself, so that {codec.card.name} is slower "
        "in it than in float32"
    )
