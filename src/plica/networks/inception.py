"""Inception-v3 as FID has it: a picture as 2048 numbers, the mean of its last feature maps.

    x ─ stem ─ A ─ A ─ A ─ ↓B ─ C ─ C ─ C ─ C ─ ↓D ─ E ─ E′ ─ mean over places ─► 2048

Szegedy et al. 2016 ("Rethinking the Inception architecture"), in the form of TensorFlow's graph of
2015-12-05, on which all published FIDs stand. It differs from torchvision's network in three
places: means of pooling leave the margin out, the last block pools by its maximum, and the weights
are others. The state dict's keys are those of the file `pt_inception-2015-12-05-6726825d.pth`;
`trunk` takes them out of it. Agrees with pytorch-fid and torch-fidelity to float rounding on made
weights (tests/golden/distribution).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import UnusablePixels

SIDE = 299
WIDTH = 2048
_EPSILON = 1e-3
_GREY_LEVELS, _MIDDLE = 255.0, 128.0  # TensorFlow's graph: (255 x − 128) / 128
_LEFT_OUT = ("fc.", "AuxLogits.")
_COUNTED = "num_batches_tracked"
_Kernel = int | tuple[int, int]


class Inception(nn.Module):
    """FID's features of pictures; frozen, and differentiable in the picture."""

    def __init__(self) -> None:
        super().__init__()
        stem = {
            "Conv2d_1a_3x3": _Convolution(3, 32, 3, stride=2),
            "Conv2d_2a_3x3": _Convolution(32, 32, 3),
            "Conv2d_2b_3x3": _Convolution(32, 64, 3, padding=1),
            "Conv2d_3b_1x1": _Convolution(64, 80, 1),
            "Conv2d_4a_3x3": _Convolution(80, 192, 3),
        }
        mixed = {
            "Mixed_5b": _MixedA(192, pooled=32),
            "Mixed_5c": _MixedA(256, pooled=64),
            "Mixed_5d": _MixedA(288, pooled=64),
            "Mixed_6a": _MixedB(288),
            "Mixed_6b": _MixedC(768, width=128),
            "Mixed_6c": _MixedC(768, width=160),
            "Mixed_6d": _MixedC(768, width=160),
            "Mixed_6e": _MixedC(768, width=192),
            "Mixed_7a": _MixedD(768),
            "Mixed_7b": _MixedE(1280, largest=False),
            "Mixed_7c": _MixedE(2048, largest=True),
        }
        for name, module in (stem | mixed).items():
            self.add_module(name, module)
        self._stem, self._mixed = tuple(stem), tuple(mixed)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Inception:
        """Stay as it is: there is nothing here that is trained."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, 2048) of pictures (batch, 1 or 3, height, width) in [0, 1].

        They are seen at their size; FID's is 299 × 299, and nothing is resized here.

        Raises:
            UnusablePixels: The pictures have neither 1 nor 3 channels, or are below 75 pixels.
        """
        if x.ndim != 4 or x.shape[1] not in {1, 3} or min(x.shape[2:]) < 75:
            raise UnusablePixels(
                "Inception sees pictures of 1 or 3 channels and at least 75 pixels a side, but got "
                f"the shape {tuple(x.shape)}"
            )
        h = (x.expand(-1, 3, -1, -1) * _GREY_LEVELS - _MIDDLE) / _MIDDLE
        for place, name in enumerate(self._stem):
            h = self.get_submodule(name)(h)
            if place in {2, 4}:
                h = functional.max_pool2d(h, 3, stride=2)
        for name in self._mixed:
            h = self.get_submodule(name)(h)
        return h.mean((2, 3))


def trunk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights behind the features, without classifier and counters."""
    return {
        key: value
        for key, value in state.items()
        if not key.startswith(_LEFT_OUT) and not key.endswith(_COUNTED)
    }


class FrozenNorm(nn.Module):
    """Batch normalisation by stored moments, under the keys of PyTorch's own.

    Args:
        width: Channels.
        epsilon: Added to the variances.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """The same map with the stored moments taken out."""
        moments = self.running_mean, self.running_var
        return functional.batch_norm(x, *moments, self.weight, self.bias, eps=self.epsilon)


class _Convolution(nn.Module):
    def __init__(
        self, before: int, width: int, kernel: _Kernel, *, stride: int = 1, padding: _Kernel = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, kernel, stride=stride, padding=padding, bias=False)
        self.bn = FrozenNorm(width, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


def _row(before: int, width: int, length: int) -> _Convolution:
    return _Convolution(before, width, (1, length), padding=(0, length // 2))


def _column(before: int, width: int, length: int) -> _Convolution:
    return _Convolution(before, width, (length, 1), padding=(length // 2, 0))


def _mean_without_margin(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _MixedA(nn.Module):
    def __init__(self, before: int, *, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(before, 64, 1)
        self.branch5x5_1 = _Convolution(before, 48, 1)
        self.branch5x5_2 = _Convolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Convolution(before, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, padding=1)
        self.branch_pool = _Convolution(before, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pooled = self.branch_pool(_mean_without_margin(x))
        return torch.cat([self.branch1x1(x), wide, double, pooled], 1)


class _MixedB(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3 = _Convolution(before, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Convolution(before, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, functional.max_pool2d(x, 3, stride=2)], 1)


class _MixedC(nn.Module):
    def __init__(self, before: int, *, width: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(before, 192, 1)
        self.branch7x7_1 = _Convolution(before, width, 1)
        self.branch7x7_2 = _row(width, width, 7)
        self.branch7x7_3 = _column(width, 192, 7)
        self.branch7x7dbl_1 = _Convolution(before, width, 1)
        self.branch7x7dbl_2 = _column(width, width, 7)
        self.branch7x7dbl_3 = _row(width, width, 7)
        self.branch7x7dbl_4 = _column(width, width, 7)
        self.branch7x7dbl_5 = _row(width, 192, 7)
        self.branch_pool = _Convolution(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        pooled = self.branch_pool(_mean_without_margin(x))
        return torch.cat([self.branch1x1(x), wide, double, pooled], 1)


class _MixedD(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Convolution(before, 192, 1)
        self.branch3x3_2 = _Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Convolution(before, 192, 1)
        self.branch7x7x3_2 = _row(192, 192, 7)
        self.branch7x7x3_3 = _column(192, 192, 7)
        self.branch7x7x3_4 = _Convolution(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.branch3x3_2(self.branch3x3_1(x))
        wide = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        pooled = functional.max_pool2d(x, 3, stride=2)
        return torch.cat([narrow, self.branch7x7x3_4(wide), pooled], 1)


class _MixedE(nn.Module):
    """Args: largest: whether it pools by the maximum, as the last block does, or by the mean."""

    def __init__(self, before: int, *, largest: bool) -> None:
        super().__init__()
        self.largest = largest
        self.branch1x1 = _Convolution(before, 320, 1)
        self.branch3x3_1 = _Convolution(before, 384, 1)
        self.branch3x3_2a = _row(384, 384, 3)
        self.branch3x3_2b = _column(384, 384, 3)
        self.branch3x3dbl_1 = _Convolution(before, 448, 1)
        self.branch3x3dbl_2 = _Convolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _row(384, 384, 3)
        self.branch3x3dbl_3b = _column(384, 384, 3)
        self.branch_pool = _Convolution(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = (
            functional.max_pool2d(x, 3, stride=1, padding=1)
            if self.largest
            else _mean_without_margin(x)
        )
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(narrow),
            self.branch3x3_2b(narrow),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(pooled),
        ]
        return torch.cat(parts, 1)
