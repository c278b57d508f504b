"""Probes: classifiers that say how much of an image, or of its latent, a machine can still read.

```text
       ┌───────┐  features  ┌──────┐
x ──►──┤ trunk ├──────►─────┤ head ├──► logits        a linear probe trains the head alone,
       └───────┘            └──────┘                   full training both
```

    hrnet-w64            2D    Wang et al. 2021, of timm: the papers' probe of pictures      126 M
    seresnet-152         3D    Hu et al. 2018, of MONAI: the papers' probe of volumes        124 M
    small-2d, small-3d         a residual network that two cores train in minutes
    pooled-2d, pooled-3d       no network at all: means, deviations and roughness of cells
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.errors import MissingExtra, SettingsError, UnknownName, WeightsError

_GROUPS = 8


class Probe(nn.Module):
    """A trunk that makes features of an image, and a linear head that reads classes from them.

    Args:
        trunk: (batch, channel, *space) → (batch, features).
        features: How many the trunk makes.
        classes: Logits; 1 for a yes or no.
    """

    def __init__(self, trunk: nn.Module, *, features: int, classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(features, classes)

    def train(self, mode: bool = True) -> Probe:
        """Train what is trained: a frozen trunk stays in evaluation, so that no statistic moves."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.trunk.parameters()):
            self.trunk.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        return self.head(self.trunk(x))


@dataclass(frozen=True)
class Kind:
    """A probe in the table.

    Args:
        summary: One sentence.
        dims: Axes of space it sees.
        least: Side below which the trunk has nothing left to look at.
        make_trunk: Makes it for so many input channels, and says how many features it has.
        epochs: Passes over the training images, unless told otherwise.
        batch: Images per step, unless told otherwise.
        rate: Learning rate of AdamW, unless told otherwise.
        source: Whose it is.
        drawn: Whether the trunk has weights, which are drawn where none are given.
    """

    summary: str
    dims: int
    least: int
    make_trunk: Callable[[int], tuple[nn.Module, int]]
    epochs: int
    batch: int
    rate: float
    source: str
    drawn: bool = True


def find_probe(name: str) -> Kind:
    """The probe of a name in `PROBES`.

    Raises:
        UnknownName: There is none.
    """
    if name not in PROBES:
        near = difflib.get_close_matches(name, PROBES, n=1)
        advice = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(PROBES)}"
        raise UnknownName(f"no probe '{name}'; {advice}")
    return PROBES[name]


def build_probe(
    name: str,
    *,
    in_channels: int = 1,
    classes: int = 1,
    weights: Mapping[str, Tensor] | None = None,
) -> Probe:
    """A probe with weights as its constructor draws them, or with those of a pretrained trunk.

    Args:
        in_channels: Of the images or latents.
        classes: Logits; 1 for a yes or no.
        weights: Of the trunk, as its library names them; a head's are left out, and a stem made
            for pictures of three colours is laid out for other channels (`fit_stem`).

    Raises:
        UnknownName: There is no such probe.
        MissingExtra: The library it comes from is not installed.
        WeightsError: The weights are another network's.

    Examples:
        >>> build_probe("small-2d")(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1])
    """
    kind = find_probe(name)
    if in_channels < 1 or classes < 1:
        raise SettingsError(
            f"a probe has a channel and a class at least, but got {in_channels} and {classes}"
        )
    trunk, features = kind.make_trunk(in_channels)
    probe = Probe(trunk, features=features, classes=classes)
    if weights is not None:
        load_trunk(probe, weights)
    return probe


def trained_parameters(probe: Probe, *, linear: bool) -> tuple[nn.Parameter, ...]:
    """What training changes: the head of a linear probe, else everything."""
    return tuple((probe.head if linear else probe).parameters())


def load_trunk(probe: Probe, weights: Mapping[str, Tensor]) -> None:
    """Give a probe the trunk of a classifier that was trained on other images.

    Raises:
        WeightsError: They are another network's; names what does not fit.
    """
    own = probe.trunk.state_dict()
    given = {name: tensor for name, tensor in weights.items() if name in own}
    if missing := [name for name in own if name not in given and "num_batches" not in name]:
        raise WeightsError(
            f"the weights lack {len(missing)} of the probe's {len(own)} tensors, such as "
            f"{missing[0]}: they are another network's"
        )
    fitted = {name: fit_stem(tensor, own[name]) for name, tensor in given.items()}
    wrong = [name for name, tensor in fitted.items() if tensor.shape != own[name].shape]
    if wrong:
        raise WeightsError(
            f"{wrong[0]} has the shape {tuple(fitted[wrong[0]].shape)}, and the probe's "
            f"{tuple(own[wrong[0]].shape)}: they are another network's"
        )
    probe.trunk.load_state_dict(fitted, strict=False)


def fit_stem(weight: Tensor, like: Tensor) -> Tensor:
    """A first convolution of three colours, for another number of channels.

    For one channel its kernels are added up, so that a grey picture gives what its three equal
    colours gave; for others they are repeated and scaled, as timm does.
    """
    if weight.ndim < 3 or weight.shape[1] != 3 or like.shape[1] == 3:
        return weight
    channels = like.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight.repeat(1, -(-channels // 3), *(1,) * (weight.ndim - 2))[:, :channels] * (
        3 / channels
    )


# -- the papers' ---------------------------------------------------------------------------------


def _hrnet_w64(in_channels: int) -> tuple[nn.Module, int]:
    try:
        import timm
    except ImportError as error:
        raise MissingExtra("the probe hrnet-w64", "timm", "cad") from error
    trunk = timm.create_model("hrnet_w64", pretrained=False, in_chans=in_channels, num_classes=0)
    return trunk, trunk.num_features


def _seresnet_152(in_channels: int) -> tuple[nn.Module, int]:
    try:
        from monai.networks.nets import SEResNet152
    except ImportError as error:
        raise MissingExtra("the probe seresnet-152", "monai", "cad") from error
    trunk = SEResNet152(spatial_dims=3, in_channels=in_channels, num_classes=1, dropout_prob=None)
    features = trunk.last_linear.in_features
    trunk.last_linear = nn.Identity()
    return trunk, features


# -- small ones ----------------------------------------------------------------------------------


class _SmallTrunk(nn.Module):
    """Residual stages, each at half the resolution and twice the width of the one before.

    Group normalisation: batches of a few volumes would make other statistics unsteady.
    """

    def __init__(self, in_channels: int, *, dims: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        conv = _CONVOLUTIONS[dims]
        self.stem = conv(in_channels, widths[0], 3, padding=1)
        before = (widths[0], *widths[:-1])
        self.stages = nn.Sequential(
            *(_Stage(conv, a, b) for a, b in zip(before, widths, strict=True))
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.stages(self.stem(x))
        return h.flatten(2).mean(2)


class _Stage(nn.Module):
    """h ↦ skip(h) + conv(act(norm(conv(act(norm(h)))))), at half the resolution."""

    def __init__(self, conv: type[nn.Conv2d] | type[nn.Conv3d], before: int, after: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, before)
        self.conv1 = conv(before, after, 3, stride=2, padding=1)
        self.norm2 = nn.GroupNorm(_GROUPS, after)
        self.conv2 = conv(after, after, 3, padding=1)
        self.skip = conv(before, after, 1, stride=2)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.conv1(functional.silu(self.norm1(h)))
        return self.skip(h) + self.conv2(functional.silu(self.norm2(inner)))


class _PooledTrunk(nn.Module):
    """In each cell of a coarse lattice: mean, deviation, and roughness, of each channel.

    Roughness is the mean absolute difference of neighbours: what fine detail an image has, and
    interpolation loses. Nothing here is trained.
    """

    def __init__(self, *, dims: int, cells: int) -> None:
        super().__init__()
        self.pool = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[dims]((cells,) * dims)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.pool(x)
        deviation = (self.pool(x.square()) - mean.square()).clamp_min(0).sqrt()
        axes = range(2, x.ndim)
        rough = [
            self.pool(x.diff(dim=axis).abs()) if x.shape[axis] > 1 else torch.zeros_like(mean)
            for axis in axes
        ]
        return torch.cat([mean, deviation, *rough], 1).flatten(1)


_CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


def _small_2d(in_channels: int) -> tuple[nn.Module, int]:
    return _SmallTrunk(in_channels, dims=2, widths=(16, 32, 64, 128)), 128


def _small_3d(in_channels: int) -> tuple[nn.Module, int]:
    return _SmallTrunk(in_channels, dims=3, widths=(16, 32, 64)), 64


def _pooled_2d(in_channels: int) -> tuple[nn.Module, int]:
    return _PooledTrunk(dims=2, cells=6), in_channels * 6**2 * 4


def _pooled_3d(in_channels: int) -> tuple[nn.Module, int]:
    return _PooledTrunk(dims=3, cells=3), in_channels * 3**3 * 5


PROBES: dict[str, Kind] = {
    "hrnet-w64": Kind(
        summary="HRNet-W64: keeps its resolution to the end; the papers' probe of pictures.",
        dims=2, least=32, make_trunk=_hrnet_w64, epochs=100, batch=256, rate=1e-4,
        source="Wang et al. 2021, doi:10.1109/TPAMI.2020.2983686; built by timm",
    ),
    "seresnet-152": Kind(
        summary="SE-ResNet-152 for volumes: the papers' probe of CT and MR.",
        dims=3, least=8, make_trunk=_seresnet_152, epochs=100, batch=20, rate=1e-4,
        source="Hu et al. 2018, arXiv:1709.01507; built by MONAI",
    ),
    "small-2d": Kind(
        summary="Four residual stages for pictures: trained from nothing on two cores.",
        dims=2, least=4, make_trunk=_small_2d, epochs=30, batch=16, rate=1e-3,
        source="plica",
    ),
    "small-3d": Kind(
        summary="Three residual stages for volumes: trained from nothing on two cores.",
        dims=3, least=4, make_trunk=_small_3d, epochs=30, batch=8, rate=1e-3,
        source="plica",
    ),
    "pooled-2d": Kind(
        summary="Logistic regression on 6 × 6 cells of a picture: mean, deviation, roughness.",
        dims=2, least=1, make_trunk=_pooled_2d, epochs=200, batch=64, rate=1e-2,
        source="plica", drawn=False,
    ),
    "pooled-3d": Kind(
        summary="Logistic regression on 3 × 3 × 3 cells of a volume: mean, deviation, roughness.",
        dims=3, least=1, make_trunk=_pooled_3d, epochs=200, batch=64, rate=1e-2,
        source="plica", drawn=False,
    ),
}  # fmt: skip
