"""LPIPS: how different two pictures look to a network that was trained on photographs.

    d(x, y) = Σ_l mean over space of  Σ_c w_lc (φ̂_lc(x) − φ̂_lc(y))²

φ_l are the feature maps after some of the backbone's rectifiers, φ̂_l the same divided by their
length at every place, and w_l weights fitted to people's judgements. Zhang et al. 2018, "The
unreasonable effectiveness of deep features as a perceptual metric", version 0.1 of their weights.

The state dict's keys are those in which the weights are published: features.N.… of torchvision's
classifiers, and linN.model.1.weight for w. Agrees with the authors' package to float rounding on
made weights (tests/golden/perceptual).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError, UnusablePixels

# ImageNet's mean and deviation, for pictures in [−1, 1], as LPIPS rounds them.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_LEAST_LENGTH = 1e-10
_COPIED = re.compile(r"^(\d+)\.weight$")

# "conv", channels in and out, kernel, stride, padding; "pool", kernel, whether a rest is kept;
# "fire", channels in, squeezed, expanded; "relu".
_Layer = tuple[str, *tuple[int, ...]]


@dataclass(frozen=True)
class _Backbone:
    """Layers of a classifier, and where LPIPS listens.

    Args:
        layers: In order; their places are the keys of the state dict.
        taps: Places of the layers whose results are compared.
        widths: Channels there.
        least_side: Of a picture that reaches the last tap.
    """

    layers: tuple[_Layer, ...]
    taps: tuple[int, ...]
    widths: tuple[int, ...]
    least_side: int


def _vgg(*levels: tuple[int, int]) -> tuple[_Layer, ...]:
    """Levels of 3×3 convolutions, given as (width, how many), halved in between."""
    layers: list[_Layer] = []
    before = 3
    for width, count in levels:
        for _ in range(count):
            layers += [("conv", before, width, 3, 1, 1), ("relu",)]
            before = width
        layers.append(("pool", 2, 0))
    return tuple(layers[:-1])  # nothing is compared after the last pooling


_BACKBONES = {
    "vgg16": _Backbone(  # Simonyan and Zisserman 2015, configuration D
        layers=_vgg((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
        taps=(3, 8, 15, 22, 29),
        widths=(64, 128, 256, 512, 512),
        least_side=16,
    ),
    "alexnet": _Backbone(  # Krizhevsky 2014, "One weird trick"
        layers=(
            ("conv", 3, 64, 11, 4, 2),
            ("relu",),
            ("pool", 3, 0),
            ("conv", 64, 192, 5, 1, 2),
            ("relu",),
            ("pool", 3, 0),
            ("conv", 192, 384, 3, 1, 1),
            ("relu",),
            ("conv", 384, 256, 3, 1, 1),
            ("relu",),
            ("conv", 256, 256, 3, 1, 1),
            ("relu",),
        ),
        taps=(1, 4, 7, 9, 11),
        widths=(64, 192, 384, 256, 256),
        least_side=31,
    ),
    "squeezenet": _Backbone(  # Iandola et al. 2016, version 1.1
        layers=(
            ("conv", 3, 64, 3, 2, 0),
            ("relu",),
            ("pool", 3, 1),
            ("fire", 64, 16, 64),
            ("fire", 128, 16, 64),
            ("pool", 3, 1),
            ("fire", 128, 32, 128),
            ("fire", 256, 32, 128),
            ("pool", 3, 1),
            ("fire", 256, 48, 192),
            ("fire", 384, 48, 192),
            ("fire", 384, 64, 256),
            ("fire", 512, 64, 256),
        ),
        taps=(1, 4, 7, 9, 10, 11, 12),
        widths=(64, 128, 256, 384, 384, 512, 512),
        least_side=17,
    ),
}
BACKBONES = tuple(_BACKBONES)


class Perceptual(nn.Module):
    """LPIPS distance of pairs of pictures; frozen, and differentiable in the second one.

    Args:
        network: One of `BACKBONES`.
    """

    def __init__(self, *, network: str = "vgg16") -> None:
        super().__init__()
        if network not in _BACKBONES:
            raise SettingsError(
                f"LPIPS has the backbones {', '.join(BACKBONES)}, but got {network!r}"
            )
        self.network = network
        backbone = _BACKBONES[network]
        self.taps = backbone.taps
        self.least_side = backbone.least_side
        self.features = nn.Sequential(*(_layer(*layer) for layer in backbone.layers))
        for number, width in enumerate(backbone.widths):
            self.add_module(f"lin{number}", _weighing(width))
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Perceptual:
        """Stay as it is: there is nothing here that is trained."""
        return super().train(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of each pair, (batch,).

        Args:
            x: Pictures (batch, 1 or 3, height, width) in [−1, 1]; no gradient flows to them.
            y: Pictures of the same shape, which are to look like them.

        Raises:
            UnusablePixels: The pictures are too small, of two shapes, or of two channels.

        Examples:
            >>> perceptual = Perceptual(network="squeezenet")  # random, until weights are loaded
            >>> perceptual(torch.zeros(2, 1, 64, 64), torch.zeros(2, 1, 64, 64)).shape
            torch.Size([2])
        """
        self._check(x, y)
        with torch.no_grad():
            targets = list(self._maps(x))
        total = torch.zeros(len(y), device=y.device)
        for number, (target, seen) in enumerate(zip(targets, self._maps(y), strict=True)):
            weight = self.get_parameter(f"lin{number}.model.1.weight")[0, :, 0, 0].float()
            # One sum over channels and then the mean over places; no weighted copy of the map.
            squares = (_unit(target) - _unit(seen)).square().mean((2, 3))
            total = total + squares @ weight
        return total

    def _check(self, x: Tensor, y: Tensor) -> None:
        if x.shape != y.shape or x.ndim != 4 or x.shape[1] not in {1, 3}:
            raise UnusablePixels(
                "LPIPS compares two batches of pictures of 1 or 3 channels, but the shapes are "
                f"{tuple(x.shape)} and {tuple(y.shape)}"
            )
        if min(x.shape[2:]) < self.least_side:
            raise UnusablePixels(
                f"LPIPS with {self.network} sees pictures of at least {self.least_side} pixels a "
                f"side, but these have {tuple(x.shape[2:])}: take larger crops"
            )

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        """The compared feature maps, in order."""
        h = x.expand(-1, 3, -1, -1)
        shift, scale = (_as_channels(values, h) for values in (_SHIFT, _SCALE))
        h = (h - shift) / scale
        for place, layer in enumerate(self.features):
            h = layer(h)
            if place in self.taps:
                yield h


def join_weights(
    classifier: Mapping[str, Tensor], linear: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The state dict of `Perceptual` from those of a classifier and of LPIPS' linear layers.

    Args:
        classifier: torchvision's or timm's; what follows its convolutions is left out.
        linear: Under LPIPS' keys, or as {number}.weight in a copy of them.

    Examples:
        >>> classifier = {"features.0.bias": torch.zeros(1)}
        >>> sorted(join_weights(classifier, {"lin0.weight": torch.zeros(1)}))
        ['features.0.bias', 'lin0.weight']
    """
    features = {key: value for key, value in classifier.items() if key.startswith("features.")}
    return features | {_COPIED.sub(r"lin\1.model.1.weight", k): v for k, v in linear.items()}


def _layer(kind: str, *numbers: int) -> nn.Module:
    if kind == "conv":
        before, width, size, stride, margin = numbers
        return nn.Conv2d(before, width, size, stride=stride, padding=margin)
    if kind == "pool":
        size, keep_rest = numbers
        return nn.MaxPool2d(size, stride=2, ceil_mode=bool(keep_rest))
    return _Fire(*numbers) if kind == "fire" else nn.ReLU(inplace=True)


class _Fire(nn.Module):
    """SqueezeNet's block: few channels, then many by kernels of 1 and of 3 beside each other."""

    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.squeeze(x))
        return functional.relu(torch.cat([self.expand1x1(h), self.expand3x3(h)], 1))


def _weighing(width: int) -> nn.Module:
    """w_l under its published key, model.1.weight: model.0 was a dropout of its training."""
    convolution = nn.Conv2d(width, 1, 1, bias=False)
    return nn.Sequential(OrderedDict(model=nn.Sequential(OrderedDict({"1": convolution}))))


def _unit(h: Tensor) -> Tensor:
    """Features divided by their length at every place; where there are none, the gradient is 0."""
    h = h.float()
    return h / (torch.linalg.vector_norm(h, dim=1, keepdim=True) + _LEAST_LENGTH)


def _as_channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
