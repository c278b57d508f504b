"""ResNet-50 without its classifier: a picture as 2048 numbers, as RadImageNet trained it.

    x ─ 7×7 ↓ ─ pool ↓ ─ [ 1×1 ─ 3×3 ─ 1×1 + ] × 3 ─ ↓ × 4 ─ ↓ × 6 ─ ↓ × 3 ─ mean ─► 2048

He et al. 2016. Two files of RadImageNet (Mei et al. 2022) are in use, and they are two networks:

    keras    `RadImageNet-ResNet50_notop.pth`, converted from the authors' Keras file and used by
             MONAI's FID: convolutions have a bias, a level halves in its first 1×1 convolution,
             and 1.001e-5 is added to variances
    torch    `ResNet50.pt` of Lab-Rasool/RadImageNet, in torchvision's form: no bias, a level
             halves in its 3×3 convolution, 1e-5

They share no weights, and their shapes fit either way: only the biases tell them apart, and make a
file of the one be refused by the other. `trunk` brings both to torchvision's keys. Agrees with
torchvision's ResNet-50 to float rounding on made weights (tests/golden/distribution).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from plica.errors import UnusablePixels
from plica.networks.inception import FrozenNorm

Form = Literal["keras", "torch"]

WIDTH = 2048
_EPSILON: dict[str, float] = {"keras": 1.001e-5, "torch": 1e-5}
_LEVELS = ((64, 3), (128, 4), (256, 6), (512, 3))
_PARTS = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_PREFIX = "backbone."


class ResNet50(nn.Module):
    """Features of pictures; frozen, and differentiable in the picture.

    Args:
        form: Whose network it is.
    """

    def __init__(self, *, form: Form = "keras") -> None:
        super().__init__()
        self.form = form
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=form == "keras")
        self.bn1 = FrozenNorm(64, _EPSILON[form])
        before = 64
        for number, (width, count) in enumerate(_LEVELS, start=1):
            blocks = nn.Sequential()
            for place in range(count):
                stride = 2 if place == 0 and number > 1 else 1
                blocks.append(_Block(before, width, stride, form))
                before = 4 * width
            self.add_module(f"layer{number}", blocks)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> ResNet50:
        """Stay as it is: there is nothing here that is trained."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, 2048) of pictures (batch, 3, height, width), normalised by the caller.

        Raises:
            UnusablePixels: The pictures have not 3 channels.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise UnusablePixels(
                f"ResNet-50 sees pictures of 3 channels, but got the shape {tuple(x.shape)}"
            )
        h = functional.relu(self.bn1(self.conv1(x)))
        h = functional.max_pool2d(h, 3, stride=2, padding=1)
        for number in range(1, 5):
            h = self.get_submodule(f"layer{number}")(h)
        return h.mean((2, 3))


class _Block(nn.Module):
    """x + 1×1 (3×3 (1×1 (x))), the first and last to fewer channels and back."""

    def __init__(self, before: int, width: int, stride: int, form: Form) -> None:
        super().__init__()
        biased, epsilon = form == "keras", _EPSILON[form]
        first, second = (stride, 1) if form == "keras" else (1, stride)
        self.conv1 = nn.Conv2d(before, width, 1, stride=first, bias=biased)
        self.bn1 = FrozenNorm(width, epsilon)
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=1, bias=biased)
        self.bn2 = FrozenNorm(width, epsilon)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=biased)
        self.bn3 = FrozenNorm(4 * width, epsilon)
        self.downsample = nn.Sequential()
        if stride > 1 or before != 4 * width:
            self.downsample.append(nn.Conv2d(before, 4 * width, 1, stride=stride, bias=biased))
            self.downsample.append(FrozenNorm(4 * width, epsilon))

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.bn1(self.conv1(x)))
        h = functional.relu(self.bn2(self.conv2(h)))
        return functional.relu(self.downsample(x) + self.bn3(self.conv3(h)))


def trunk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights behind the features under torchvision's keys, without classifier and counters."""
    out = {}
    for key, value in state.items():
        head, dot, rest = key.removeprefix(_PREFIX).partition(".")
        if head != "fc" and not rest.endswith("num_batches_tracked"):
            out[_PARTS.get(head, head) + dot + rest] = value
    return out
