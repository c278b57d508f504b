"""The tiny autoencoders of the TAESD family: distilled stand-ins for the large ones of diffusion.

```text
           ┌── near: tiles ──┐  ┌─ head ─┐      ┌─ head ─┐  ┌── near: tiles ──┐
x ──► [0,1]┤ conv B ↓ 3B ↓ … ├──┤ 3B conv├─ z ──┤ conv 3B├──┤ ↑ 3B ↑ … B conv ├──► [−1,1]
           └─────────────────┘  └────────┘      └────────┘  └─────────────────┘
B: relu(x + conv relu conv relu conv x)       pooled B: of x + w₂ relu(groupnorm(w₁ x))
```

Ollin Boer Bohan, "Tiny AutoEncoder for Stable Diffusion", github.com/madebyollin/taesd (MIT); the
pooled blocks are those of TAEF2, for FLUX.2's latents. Layers stand in sequences under the authors'
numbers, so that their files fit as they are.

Blocks see three convolutions far and no further. Only the pooled ones look at a whole map, and all
of those stand at the resolution of the codes: the near layers are run in tiles and the head at
once, which gives the untiled result bit for bit but for the order of sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError
from plica.networks.autoencoder import Pass
from plica.networks.blocks import Normalisation

POOL_GROUPS, POOL_WIDENING = 4, 4
_CLAMP = 3.0  # codes beyond it are squashed
_BLOCKS = 3  # of a level
# Maps of a level's width that exist at once in a block, its convolution's workspace among them.
_MAPS = 4


class TinyBlock(nn.Module):
    """Three convolutions around which x goes on, rectified.

    Args:
        width: Channels in and out.
        pooled: Whether x is first changed by what all of its map is like.
    """

    def __init__(self, width: int, *, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(width, width), nn.ReLU(inplace=True),
            _conv(width, width), nn.ReLU(inplace=True), _conv(width, width),
        )  # fmt: skip
        if pooled:
            wide = POOL_WIDENING * width
            self.pool = nn.Sequential(
                nn.Conv2d(width, wide, 1, bias=False), Normalisation(POOL_GROUPS, wide),
                nn.ReLU(inplace=True), nn.Conv2d(wide, width, 1, bias=False),
            )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """The block's map, of x's shape."""
        if hasattr(self, "pool"):
            x = x + self.pool(x)
        return functional.relu(self.conv(x) + x)


class Squash(nn.Module):
    """Codes brought between −3 and 3, as the distilled decoder saw them."""

    def forward(self, z: Tensor) -> Tensor:
        """Squashed codes."""
        return torch.tanh(z / _CLAMP) * _CLAMP


class TinyAutoencoder(nn.Module):
    """A TAESD autoencoder as a network of this package: x and x̂ in [−1, 1].

    Args:
        code_channels: Of a code.
        pooled: Whether the blocks at the codes' resolution look at the whole map (TAEF2).
        decoder_widths: Channels of the decoder's levels, coarsest first, one for each doubling;
            the finest level has as many as the last.
        strided_stem: Whether the encoder begins with two strided convolutions, which is how the
            variant of 32 voxels per code does it (TAESANA).
        width: Channels of the encoder.
    """

    dims = 2
    in_channels = 3

    def __init__(
        self,
        *,
        code_channels: int,
        pooled: bool = False,
        decoder_widths: tuple[int, ...] = (64, 64, 64),
        strided_stem: bool = False,
        width: int = 64,
    ) -> None:
        super().__init__()
        if code_channels < 1 or not decoder_widths or min(*decoder_widths, width) < 1:
            raise SettingsError(
                "a tiny autoencoder has at least one code channel and one level, but "
                f"code_channels {code_channels} and decoder_widths {decoder_widths} came"
            )
        self.code_channels = code_channels
        self.factor = 2 ** len(decoder_widths)
        self.pooled = pooled
        self._widths = width, decoder_widths
        self._strided_stem = strided_stem
        downs = len(decoder_widths) - 2 * strided_stem
        self.encoder = nn.Sequential(
            *(_strided_stem(width) if strided_stem else (_conv(3, width),)),
            TinyBlock(width),
            *_encoder_levels(width, downs, pooled),
            _conv(width, code_channels),
        )
        self.decoder = nn.Sequential(
            Squash(),
            _conv(code_channels, decoder_widths[0]),
            nn.ReLU(),
            *_decoder_levels(decoder_widths, pooled),
            TinyBlock(decoder_widths[-1]),
            _conv(decoder_widths[-1], 3),
        )

    def encode(self, x: Tensor) -> Tensor:
        """Codes (batch, code, rows / factor, columns / factor); there is no posterior."""
        return self._look_around(self._look_near(x))

    def decode(self, z: Tensor) -> Tensor:
        """The image of codes z, about [−1, 1]; not clamped."""
        return self._enlarge(self._begin(z))

    # -- in passes -------------------------------------------------------------------------------

    @property
    def _near(self) -> list[nn.Module]:
        return list(self.encoder)[: -1 - _BLOCKS]

    @property
    def _far(self) -> list[nn.Module]:
        return list(self.decoder)[3 + _BLOCKS :]

    def _look_near(self, x: Tensor) -> Tensor:
        return _run(self._near, x.add(1).div_(2))

    def _look_around(self, h: Tensor) -> Tensor:
        return _run(list(self.encoder)[-1 - _BLOCKS :], h)

    def _begin(self, z: Tensor) -> Tensor:
        return _run(list(self.decoder)[: 3 + _BLOCKS], z)

    def _enlarge(self, h: Tensor) -> Tensor:
        return _run(self._far, h).mul(2).sub(1)

    def encoding_passes(self) -> tuple[Pass, ...]:
        """See `networks.autoencoder.Passing`."""
        cell, width = self.factor, self._widths[0]
        near = -(-self._near_reach // cell) * cell
        floats = _MAPS * width / (4 if self._strided_stem else 1) + 6
        if not self.pooled:
            reach = near + (1 + 3 * _BLOCKS) * cell
            return (Pass(self.encode, reach, cell, floats),)
        return (
            Pass(self._look_near, near, cell, floats, share=0.9, channels=width),
            Pass(self._look_around, 0, 1, self._head_floats(width), share=0.1, whole=True),
        )

    def decoding_passes(self) -> tuple[Pass, ...]:
        """See `networks.autoencoder.Passing`."""
        cell, (width, *_, finest) = self.factor, self._widths[1]
        far = -(-self._far_reach // cell)
        floats = (_MAPS * finest + 6) * cell**2
        if not self.pooled:
            return (Pass(self.decode, far + 1 + 3 * _BLOCKS, 1 / cell, floats),)
        return (
            Pass(
                self._begin, 0, 1, self._head_floats(width), share=0.1, channels=width, whole=True
            ),
            Pass(self._enlarge, far, 1 / cell, floats, share=0.9),
        )

    @staticmethod
    def _head_floats(width: int) -> float:
        return (2 * POOL_WIDENING + _MAPS) * width

    @property
    def _near_reach(self) -> int:
        """Voxels beyond its own that a cell of the encoder's near layers sees."""
        return sum(stride * reach for stride, reach in _strides(self._near))

    @property
    def _far_reach(self) -> int:
        """Voxels beyond its own cell's that see a cell of the decoder's head."""
        reach, cell = 0, self.factor
        for layer in self._far:
            if isinstance(layer, nn.Upsample):
                cell //= 2
            reach += cell * _reach(layer)
        return reach


def _run(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _conv(inputs: int, outputs: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)


def _strided_stem(width: int) -> tuple[nn.Module, ...]:
    half = width // 2
    return (
        _conv(3, half, stride=2), nn.ReLU(inplace=True),
        _conv(half, width, stride=2), nn.ReLU(inplace=True),
    )  # fmt: skip


def _encoder_levels(width: int, downs: int, pooled: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for level in range(downs):
        last = level == downs - 1
        layers.append(_conv(width, width, stride=2, bias=False))
        layers += [TinyBlock(width, pooled=pooled and last) for _ in range(_BLOCKS)]
    return layers


def _decoder_levels(widths: tuple[int, ...], pooled: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for level, width in enumerate(widths):
        layers += [TinyBlock(width, pooled=pooled and level == 0) for _ in range(_BLOCKS)]
        finer = widths[min(level + 1, len(widths) - 1)]
        layers += [nn.Upsample(scale_factor=2), _conv(width, finer, bias=False)]
    return layers


def _reach(layer: nn.Module) -> int:
    """Cells of its input beyond its own that a layer sees."""
    return 3 if isinstance(layer, TinyBlock) else int(isinstance(layer, nn.Conv2d))


def _strides(layers: Sequence[nn.Module]) -> list[tuple[int, int]]:
    """Voxels per cell of each layer's input, and how many such cells it sees beyond its own."""
    found, stride = [], 1
    for layer in layers:
        found.append((stride, _reach(layer)))
        if isinstance(layer, nn.Conv2d):
            stride *= layer.stride[0]
    return found
