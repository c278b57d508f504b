"""The image tower of BiomedCLIP: a picture as 512 numbers that mean something to medicine.

    x ─ patches ─ + places ─ [ + attention ─ + perceptron ] × 12 ─ norm ─ first token ─ P ─► b(x)

A vision transformer (Dosovitskiy et al. 2021, ViT-B/16) that Zhang et al. 2023 ("BiomedCLIP")
trained on 15 million figures of papers and their captions. The state dict's keys are those of
their checkpoint below `visual.`; `image_tower` takes them out of it. Agrees with timm's ViT to
float rounding on made weights (tests/golden/perceptual).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError, UnusablePixels

# Mean and deviation of CLIP's photographs (Radford et al., 2021), which BiomedCLIP keeps.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_TOWER = "visual."
_EPSILON = 1e-6


class VisionTower(nn.Module):
    """Embeddings of pictures; frozen, and differentiable in the picture.

    Args:
        side: Of the pictures, which are square.
        patch: Side of the patches.
        width: Channels of a token.
        depth: Layers.
        heads: Of attention.
        embedding: Length of the result.
    """

    def __init__(
        self,
        *,
        side: int = 224,
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        embedding: int = 512,
    ) -> None:
        super().__init__()
        if side % patch or width % heads:
            raise SettingsError(
                "a vision tower's side is a multiple of its patch, and its width of its heads, "
                f"but got {side} and {patch}, {width} and {heads}"
            )
        self.side = side
        self.trunk = _Trunk(tokens=(side // patch) ** 2, patch=patch, width=width)
        self.trunk.blocks.extend(_Block(width, heads) for _ in range(depth))
        self.head = nn.ModuleDict({"proj": nn.Linear(width, embedding, bias=False)})
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> VisionTower:
        """Stay as it is: there is nothing here that is trained."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (batch, embedding) of pictures as `prepare` makes them; of any length."""
        return self.head["proj"](self.trunk(x))

    def embed(self, x: Tensor, *, clamp: bool = True) -> Tensor:
        """Embeddings of pictures (batch, 1 or 3, height, width) in [−1, 1]; see `prepare`.

        Example:
            distance = (tower.embed(image) - tower.embed(reconstruction)).square().sum(1)
        """
        return self(prepare(x, self.side, clamp=clamp))


class _Trunk(nn.Module):
    def __init__(self, *, tokens: int, patch: int, width: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + tokens, width))
        proj = nn.Conv2d(3, width, patch, stride=patch)
        self.patch_embed = nn.ModuleDict({"proj": proj})
        self.blocks = nn.ModuleList()
        self.norm = nn.LayerNorm(width, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        first = self.cls_token.to(patches.dtype).expand(len(x), -1, -1)
        h = torch.cat([first, patches], 1) + self.pos_embed
        for block in self.blocks:
            h = block(h)
        return self.norm(h[:, 0])


class _Block(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x))
        h = functional.gelu(self.mlp["fc1"](self.norm2(x)))
        return x + self.mlp["fc2"](h)

    def _attend(self, h: Tensor) -> Tensor:
        batch, tokens, width = h.shape
        split = self.attn["qkv"](h).reshape(batch, tokens, 3, self.heads, -1)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v)
        return self.attn["proj"](attended.transpose(1, 2).reshape(batch, tokens, width))


def prepare(x: Tensor, side: int = 224, *, clamp: bool = True) -> Tensor:
    """A picture in [−1, 1] as the tower was trained to see it, differentiably.

    To [0, 1], grey in all three channels, the shorter side to `side` by bicubic interpolation with
    antialiasing, the middle cut out, CLIP's mean and deviation: as MedVAE's program does.

    Args:
        x: (batch, 1 or 3, height, width).
        side: Of the square that comes out.
        clamp: Whether values beyond [−1, 1] are cut off first; a latent that is shown as a picture
            is not cut.

    Raises:
        UnusablePixels: The pictures have neither 1 nor 3 channels.
    """
    if x.ndim != 4 or x.shape[1] not in {1, 3}:
        raise UnusablePixels(
            f"the vision tower sees pictures of 1 or 3 channels, but got the shape {tuple(x.shape)}"
        )
    h = (x.float() + 1) / 2
    h = h.clamp(0.0, 1.0) if clamp else h
    h = _cut_middle(_resize(h, side), side).expand(-1, 3, -1, -1)
    mean, deviation = (h.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return (h - mean) / deviation


def _resize(x: Tensor, side: int) -> Tensor:
    """The shorter side to `side`; the longer one in proportion, rounded down (torchvision)."""
    height, width = x.shape[2:]
    short = min(height, width)
    size = (side * height // short, side * width // short)
    if size == (height, width):
        return x
    return functional.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=True)


def _cut_middle(x: Tensor, side: int) -> Tensor:
    top, left = (round((length - side) / 2) for length in x.shape[2:])
    return x[:, :, top : top + side, left : left + side]


def image_tower(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tower's weights from a whole checkpoint of image and text; its own pass unchanged."""
    if not any(key.startswith(_TOWER) for key in state):
        return dict(state)
    return {
        key.removeprefix(_TOWER): value for key, value in state.items() if key.startswith(_TOWER)
    }
