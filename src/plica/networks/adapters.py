"""Low-rank adapters that are trained beside frozen convolutions (Hu et al. 2022, "LoRA").

    y = W ∗ x + U ∗ (D ∗ x)        W: frozen;  D: rank r, W's kernel, stride and padding;  U: 1×1

U begins at zero, so that training begins at the unadapted network. Keys are those of MedVAE's
checkpoints, and `networks.lora.fold_lora` makes one convolution of the two branches.

MedVAE adapts the convolutions of residual and attention blocks; its paper says all of them. Its
adapters drop a tenth of their features in training; ours drop none: that chance has no seed.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from plica.errors import SettingsError
from plica.networks.attention import Attention
from plica.networks.blocks import CONVOLUTION, ResidualBlock

Scope = Literal["blocks", "all"]
Convolution = nn.Conv2d | nn.Conv3d


class AdaptedConvolution(nn.Module):
    """A frozen convolution with a trained low-rank one beside it.

    Args:
        conv: The convolution; it is frozen.
        rank: Channels between D and U.
        generator: Where D comes from; PyTorch's global one by default.
    """

    def __init__(
        self, conv: Convolution, rank: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        kind = CONVOLUTION[conv.weight.ndim - 2]
        self.conv = conv.requires_grad_(False)
        self.lora_down = kind(
            conv.in_channels,
            rank,
            conv.kernel_size,  # type: ignore[arg-type]  # as long as the convolution has axes
            stride=conv.stride,  # type: ignore[arg-type]
            padding=conv.padding,  # type: ignore[arg-type]
            bias=False,
        )
        self.lora_up = kind(rank, conv.out_channels, 1, bias=False)
        self.to(conv.weight.device, conv.weight.dtype)
        nn.init.normal_(self.lora_down.weight, 0.0, 1.0 / rank, generator=generator)
        nn.init.zeros_(self.lora_up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Both branches, summed."""
        return self.conv(x) + self.lora_up(self.lora_down(x))

    @property
    def weight(self) -> Tensor:
        """The kernel of the one convolution that does the same, for layers that rearrange it."""
        both = self.lora_up.weight.flatten(1) @ self.lora_down.weight.flatten(1)
        return self.conv.weight + both.reshape(self.conv.weight.shape)

    @property
    def bias(self) -> Tensor | None:
        """The convolution's own."""
        return self.conv.bias


def adapt(
    network: nn.Module,
    *,
    rank: int,
    scope: Scope = "blocks",
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Put adapters beside a network's convolutions, in place; nothing else is trained any more.

    Args:
        network: As it was trained before.
        rank: Of the adapters; a kernel of fewer channels has one of its own, full rank.
        scope: "blocks" adapts the convolutions of residual and attention blocks (MedVAE's
            program), "all" every one (MedVAE's paper).
        generator: Where their first weights come from; PyTorch's global one by default.

    Raises:
        SettingsError: The rank is not above zero, or the network has no such convolution.

    Examples:
        >>> adapted = adapt(network, rank=4)
        >>> sum(value.numel() for value in adapted.parameters() if value.requires_grad)
        27648
    """
    if rank < 1:
        raise SettingsError(f"adapters have a rank above zero, but got {rank}")
    if any(isinstance(module, AdaptedConvolution) for module in network.modules()):
        raise SettingsError("the network has adapters already: fold them in first")
    network.requires_grad_(False)
    found = list(_find(network, scope))
    if not found:
        raise SettingsError(
            f"adapters stand beside convolutions of {scope}, of which the network has none: "
            "leave start.adapters out"
        )
    for parent, name in found:
        conv = getattr(parent, name)
        most = min(conv.out_channels, conv.in_channels)
        setattr(parent, name, AdaptedConvolution(conv, min(rank, most), generator=generator))
    return network


def _find(network: nn.Module, scope: Scope) -> list[tuple[nn.Module, str]]:
    """Modules that hold a convolution to adapt, and its name in them."""
    inside = [m for m in network.modules() if isinstance(m, ResidualBlock | Attention)]
    parents = inside if scope == "blocks" else list(network.modules())
    return [
        (parent, name)
        for parent in parents
        for name, child in parent.named_children()
        if isinstance(child, nn.Conv2d | nn.Conv3d) and _is_plain(child)
    ]


def _is_plain(conv: Convolution) -> bool:
    return conv.groups == 1 and set(conv.dilation) == {1} and conv.padding_mode == "zeros"
