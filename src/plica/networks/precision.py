"""Half precision for the layers that cost: bfloat16 weights and maps, float32 at both ends.

    x ─ to bfloat16 ─ convolutions, attention ─ to float32 ─ last convolution ─►
                      └ statistics of GroupNorm, softmax and sums in float32 ┘

What enters and what leaves a network stays float32, and with it everything that stands around its
coders: quantisation, the codebook, linear codes of compact networks. Rounding of maps to 8 bits is
what remains; it changes codes by a few thousandths to a few hundredths of their deviation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import torch
from torch import nn

from plica.errors import SettingsError
from plica.networks.branches import Decoding, Encoding
from plica.networks.coders import Decoder, Encoder

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


def has_precision(network: nn.Module) -> bool:
    """Whether a network has layers that half precision would be of use to."""
    return any(True for _ in _layers(network))


def get_precision(network: nn.Module) -> Precision:
    """The precision its layers compute in."""
    layer = next(_layers(network), None)
    half = layer is not None and next(layer.parameters()).dtype == torch.bfloat16
    return "bfloat16" if half else "float32"


def set_precision(network: nn.Module, precision: Precision) -> None:
    """Make a network's layers compute in a precision, in place.

    Raises:
        SettingsError: The network has no such layers, or its weights were rounded before.

    Examples:
        >>> set_precision(network, "bfloat16")
        >>> network.encode(torch.zeros(1, 1, 16, 16)).dtype
        torch.float32
    """
    if precision == get_precision(network):
        return
    if precision == "float32":
        raise SettingsError(
            "the network's weights were rounded to bfloat16 and cannot become exact again: load "
            "it anew"
        )
    if not has_precision(network):
        raise SettingsError(
            f"{type(network).__name__} has no layers that bfloat16 would make faster: leave out "
            "the precision"
        )
    for layer in _layers(network):
        layer.to(torch.bfloat16)


def is_native(device: str) -> bool:
    """Whether a device multiplies bfloat16 itself; elsewhere float32 is faster."""
    if device.startswith("cuda"):
        return bool(torch.cuda.get_device_capability(device) >= (8, 0))
    if device != "cpu":
        return False
    mkldnn = torch.ops.mkldnn
    return bool(torch.backends.mkldnn.is_available()) and bool(mkldnn._is_mkldnn_bf16_supported())  # type: ignore[no-untyped-call]


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    """Convolutions, and where PyTorch wants them alike normalisations, of all coders."""
    for coder in network.modules():
        if isinstance(coder, Encoder | Decoder):
            last = coder.conv_out
            yield from (one for one in _leaves(coder) if one is not last)
        elif isinstance(coder, Encoding | Decoding):
            yield from _leaves(coder)


def _leaves(coder: nn.Module) -> Iterator[nn.Module]:
    for module in coder.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) or (
            # CPUs take float32 scales beside bfloat16 maps.
            isinstance(module, nn.GroupNorm) and module.weight.device.type != "cpu"
        ):
            yield module
