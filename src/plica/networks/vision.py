"""The image towers of CLIP and BiomedCLIP: a picture as 512 numbers that mean something.

    x ─ patches ─ + places ─ [ + attention ─ + perceptron ] × 12 ─ norm ─ first token ─ P ─► b(x)

Vision transformers (Dosovitskiy et al. 2021). Radford et al. 2021 ("CLIP") trained ViT-B/32 on 400
million pictures of the web and their captions; Zhang et al. 2023 ("BiomedCLIP") ViT-B/16 on 15
million figures of papers and theirs. CLIP's own form differs from the later one: tokens are
normalised before the first layer too, patches have no bias, GELU is x σ(1.702 x), and variances
have 1e-5 added.

The state dict's keys are those of BiomedCLIP's checkpoint below `visual.`; `image_tower` takes them
out of it, and `clip_tower` brings CLIP's own to them. Agrees with timm's ViT and open_clip's to
float rounding on made weights (tests/golden/perceptual, tests/golden/distribution).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import SettingsError, UnusablePixels

# Mean and deviation of CLIP's photographs (Radford et al., 2021), which BiomedCLIP keeps.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_TOWER = "visual."
_EPSILON, _EPSILON_OF_CLIP = 1e-6, 1e-5
_GELU_OF_CLIP = 1.702
# CLIP's own keys, and what stands for them here.
_RENAMED = (
    (r"^conv1\.weight$", "trunk.patch_embed.proj.weight"),
    (r"^class_embedding$", "trunk.cls_token"),
    (r"^positional_embedding$", "trunk.pos_embed"),
    (r"^ln_pre\.", "trunk.norm_pre."),
    (r"^ln_post\.", "trunk.norm."),
    (r"^proj$", "head.proj.weight"),
    (r"^transformer\.resblocks\.(\d+)\.", r"trunk.blocks.\1."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)


class VisionTower(nn.Module):
    """Embeddings of pictures; frozen, and differentiable in the picture.

    Args:
        side: Of the pictures, which are square.
        patch: Side of the patches.
        width: Channels of a token.
        depth: Layers.
        heads: Of attention.
        embedding: Length of the result.
        clip: Whether it is of CLIP's own form.
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
        clip: bool = False,
    ) -> None:
        super().__init__()
        if side % patch or width % heads:
            raise SettingsError(
                "a vision tower's side is a multiple of its patch, and its width of its heads, "
                f"but got {side} and {patch}, {width} and {heads}"
            )
        self.side = side
        self.trunk = _Trunk(tokens=(side // patch) ** 2, patch=patch, width=width, clip=clip)
        self.trunk.blocks.extend(_Block(width, heads, clip=clip) for _ in range(depth))
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

        Examples:
            >>> tower = VisionTower(side=32, width=48, depth=2, heads=3, embedding=16)
            >>> tower.embed(torch.zeros(2, 1, 64, 64)).shape
            torch.Size([2, 16])
        """
        return self(prepare(x, self.side, clamp=clamp))


class _Trunk(nn.Module):
    def __init__(self, *, tokens: int, patch: int, width: int, clip: bool) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + tokens, width))
        proj = nn.Conv2d(3, width, patch, stride=patch, bias=not clip)
        self.patch_embed = nn.ModuleDict({"proj": proj})
        self.norm_pre = nn.LayerNorm(width, eps=_EPSILON_OF_CLIP) if clip else nn.Identity()
        self.blocks = nn.ModuleList()
        self.norm = nn.LayerNorm(width, eps=_EPSILON_OF_CLIP if clip else _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        first = self.cls_token.to(patches.dtype).expand(len(x), -1, -1)
        h = self.norm_pre(torch.cat([first, patches], 1) + self.pos_embed)
        for block in self.blocks:
            h = block(h)
        return self.norm(h[:, 0])


class _Block(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, width: int, heads: int, *, clip: bool) -> None:
        super().__init__()
        self.heads = heads
        self.clip = clip
        epsilon = _EPSILON_OF_CLIP if clip else _EPSILON
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x))
        h = self.mlp["fc1"](self.norm2(x))
        h = h * torch.sigmoid(_GELU_OF_CLIP * h) if self.clip else functional.gelu(h)
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

    Examples:
        >>> prepare(torch.zeros(1, 1, 480, 640)).shape
        torch.Size([1, 3, 224, 224])
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


def clip_tower(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tower's weights from CLIP's own checkpoint, of image and text or of the image alone."""
    out = {}
    for key, value in image_tower(state).items():
        named = key
        for pattern, name in _RENAMED:
            named = re.sub(pattern, name, named)
        if named == "head.proj.weight":
            value = value.T.contiguous()
        elif named == "trunk.cls_token":
            value = value.reshape(1, 1, -1)
        elif named == "trunk.pos_embed":
            value = value[None]
        out[named] = value
    return out
