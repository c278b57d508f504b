"""A patch discriminator: which parts of a picture are an autoencoder's, and which are true.

    x ─ conv↓2 ─ [ conv↓2 norm ] … ─ conv norm ─ conv ─► one logit per patch

Kernels of 4, LeakyReLU of slope 0.2 between; with three layers of stride two a logit sees 70²
pixels. Isola et al. 2018, "Image-to-image translation with conditional adversarial networks", in
the layout of Esser et al. 2021 and Rombach et al. 2022, whose keys are the state dict's. The hinge
losses are those of Lim and Ye 2017, "Geometric GAN".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from plica.errors import SettingsError, UnusablePixels
from plica.networks.coders import Decoder

NORMALISATIONS = ("batch", "group", "none")
SLOPE = 0.2
DEVIATION = 0.02
# Greatest adaptive weight, and what keeps its denominator from zero (Esser et al., 2021).
MOST_WEIGHT = 1e4
_LEAST_GRADIENT = 1e-4
_WIDEST = 8
_GROUPS = 32


class PatchDiscriminator(nn.Module):
    """Logits of patches being true, for two dimensions.

    Args:
        in_channels: Channels of the pictures.
        width: Channels of the first layer; they double with each, up to eight times as many.
        layers: Layers of stride two.
        normalisation: "batch" (published; over all processes in training), "group" or "none".
        generator: Where the first weights come from; PyTorch's global one by default.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        width: int = 64,
        layers: int = 3,
        normalisation: str = "batch",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if normalisation not in NORMALISATIONS or min(in_channels, width, layers) < 1:
            raise SettingsError(
                f"a discriminator has one of the normalisations {', '.join(NORMALISATIONS)} and "
                f"at least one channel and layer, but got {normalisation!r}, {in_channels} image "
                f"channels, width {width} and {layers} layers"
            )
        self.in_channels = in_channels
        # Each halving rounds down, and the last two layers take a pixel each.
        self.least_side = 3 * 2**layers
        widths = [width * min(2**number, _WIDEST) for number in range(layers + 1)]
        parts: list[nn.Module] = [_convolution(in_channels, widths[0], stride=2)]
        parts.append(nn.LeakyReLU(SLOPE))
        for number in range(1, layers + 1):
            before, after = widths[number - 1 : number + 1]
            stride = 2 if number < layers else 1
            parts.append(_convolution(before, after, stride=stride, bias=normalisation != "batch"))
            if normalisation != "none":
                parts.append(_normalise(normalisation, after))
            parts.append(nn.LeakyReLU(SLOPE))
        parts.append(_convolution(widths[-1], 1, stride=1))
        self.main = nn.Sequential(*parts)
        self._begin(generator)

    def _begin(self, generator: torch.Generator | None) -> None:
        """Kernels from N(0, 0.02²), scales of batch normalisation from N(1, 0.02²), no biases."""
        for module in self.main:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, DEVIATION, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, DEVIATION, generator=generator)
            if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
                nn.init.zeros_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, 1, height', width') of pictures in [−1, 1].

        Raises:
            UnusablePixels: The pictures are too small or of other channels.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < self.least_side:
            raise UnusablePixels(
                f"this discriminator sees pictures of {self.in_channels} channels and at least "
                f"{self.least_side} pixels a side, but got the shape {tuple(x.shape)}: "
                "take larger crops or fewer layers"
            )
        return self.main(x)


class BatchNormalisation(nn.BatchNorm2d):
    """Batch normalisation whose batch is that of all processes, on any device.

    PyTorch's own (SyncBatchNorm) exists on GPUs only. Mean and variance are summed over the
    processes in two rounds, through which gradients flow back to every process, so that any number
    of processes computes what one would on the whole batch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x by its own moments in training, by the running ones otherwise."""
        if not (self.training and several_processes()):
            return super().forward(x)
        h = x.float()
        count = h.numel() / h.shape[1]
        sums = _sum_over_processes(torch.cat([h.sum((0, 2, 3)), h.new_tensor([count])]))
        n, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        h = h - mean[:, None, None]
        variance = _sum_over_processes(h.square().sum((0, 2, 3))) / n
        if self.track_running_stats:  # not while the decoder is judged (training.adversary)
            self._remember(mean.detach(), variance.detach() * n / (n - 1))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (h * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        momentum = cast("float", self.momentum)
        for running, now in ((self.running_mean, mean), (self.running_var, variance)):
            cast("Tensor", running).lerp_(now, momentum)
        cast("Tensor", self.num_batches_tracked).add_(1)


def _sum_over_processes(x: Tensor) -> Tensor:
    # Not there in builds of PyTorch without processes, which never come here.
    from torch.distributed.nn.functional import all_reduce

    summed: Tensor = all_reduce(x)  # type: ignore[no-untyped-call]
    return summed


def several_processes() -> bool:
    """Whether this process trains together with others."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def _convolution(before: int, after: int, *, stride: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=bias)


def _normalise(kind: str, width: int) -> nn.Module:
    if kind == "batch":
        return BatchNormalisation(width)
    return nn.GroupNorm(math.gcd(_GROUPS, width), width)


# -- losses ------------------------------------------------------------------------------------


def hinge_discriminator(true: Tensor, made: Tensor) -> Tensor:
    """½ mean max(0, 1 − D(x)) + ½ mean max(0, 1 + D(x̂)): what the discriminator minimises.

    Args:
        true: Its logits of images.
        made: Its logits of reconstructions, which no gradient should reach.

    Examples:
        >>> hinge_discriminator(torch.tensor([2.0, 0.5]), torch.tensor([-2.0, -0.5]))
        tensor(0.2500)
    """
    return (functional.relu(1 - true).mean() + functional.relu(1 + made).mean()) / 2


def adaptive_weight(
    reconstruction: Tensor,
    adversarial: Tensor,
    at: Tensor,
    *,
    average: Callable[[Tensor], Tensor] = torch.detach,
) -> Tensor:
    """|∇ reconstruction| / |∇ adversarial| at one tensor, so that both pull with like force.

    Esser et al. 2021, "Taming transformers", equation 7: the tensor is the decoder's last layer
    (`last_kernel`), and the weight is no more than 10⁴. Both graphs are kept.

    Args:
        reconstruction: The reconstruction's loss, a number.
        adversarial: The adversarial one.
        at: A tensor both depend on.
        average: The mean over the processes that share the batch: of gradients, not of norms, so
            that any number of processes finds the weight that one would.

    Examples:
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> round(adaptive_weight(6 * w.sum(), 2 * w.sum(), w).item(), 2)
        3.0
    """
    pulls = [
        average(torch.autograd.grad(loss, at, retain_graph=True)[0].float()).norm()
        for loss in (reconstruction, adversarial)
    ]
    weight: Tensor = pulls[0] / (pulls[1] + _LEAST_GRADIENT)
    return weight.clamp(0.0, MOST_WEIGHT).detach()


def last_kernel(network: nn.Module) -> nn.Parameter:
    """The trained kernel next to the image: where the terms' gradients are compared.

    Of a decoder of the published kind that is its last convolution. With adapters, which leave
    that one frozen (MedVAE's program stops there), it is the last adapter's.

    Raises:
        SettingsError: Nothing is trained.
    """
    decoder: nn.Module = getattr(network, "decoder", network)
    layers = list(decoder.layers()) if isinstance(decoder, Decoder) else []
    near = [network, decoder, *layers, getattr(decoder, "conv_out", decoder)]
    for module in reversed(near):
        kernels = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
        if kernels:
            return kernels[-1]
    raise SettingsError("the network has no kernel that is trained")
