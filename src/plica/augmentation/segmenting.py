"""Segmenting: a small U-Net trained on views of labelled slices, and what it draws on others.

A demonstration that runs on two processor cores, not a competitor of nnU-Net. Every arm (a set of
views) starts from the same weights, sees the same crops of the same patients in the same order for
as many steps, and differs only in which view a crop is taken from. It has a loop of its own: two
dozen networks of a minute each need neither checkpoints nor several devices, which
`training.loop` is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from plica.cohort import Key
from plica.errors import InputError, MissingExtra
from plica.grid import Grid
from plica.image import Image, Unit

WIDTHS = (8, 16, 32, 64, 128)
_MULTIPLE = 2 ** (len(WIDTHS) - 1)

Tell = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Slice:
    """A labelled slice and its views.

    Args:
        key: Patient, study, series and place.
        views: By name, values (i, j) in float32.
        labels: Whole numbers from 0, (i, j).
        grid: Where it is, one voxel along k.
        trainable: Whether it may be trained on where its patient is not held out.
    """

    key: Key
    views: Mapping[str, NDArray[np.float32]]
    labels: NDArray[np.uint8]
    grid: Grid
    trainable: bool = True

    @property
    def patient(self) -> str:
        """Whose it is."""
        return self.key[0]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Args:
        classes: Labels with the background.
        steps: Of the optimiser.
        batch: Crops of a step.
        crop: Side of a crop, in voxels.
        rate: Of Adam, falling to 0 in a line.
        seed: Of weights, crops and views.
    """

    classes: int
    steps: int = 150
    batch: int = 2
    crop: int = 256
    rate: float = 1e-2
    seed: int = 0


@dataclass(frozen=True)
class Scale:
    """How values become a network's input: clipped, then of mean 0 and deviation 1.

    As nnU-Net does it for CT: from the labelled voxels of the images that are trained on.
    """

    low: float
    high: float
    mean: float
    deviation: float

    @classmethod
    def of(cls, slices: Sequence[Slice], view: str) -> Scale:
        """From the labelled voxels of a view.

        Raises:
            InputError: There are none.
        """
        inside = [one.views[view][one.labels > 0] for one in slices]
        values = np.concatenate(inside) if inside else np.zeros(0)
        if not values.size:
            raise InputError("the slices to be trained on hold no label: nothing can be learnt")
        low, high = np.percentile(values, [0.5, 99.5])
        kept = np.clip(values, low, high)
        return cls(float(low), float(high), float(kept.mean()), float(kept.std()) or 1.0)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The values as input."""
        return ((np.clip(values, self.low, self.high) - self.mean) / self.deviation).astype("f4")


def train(
    slices: Sequence[Slice], views: Sequence[str], training: Training, scale: Scale
) -> nn.Module:
    """A network trained on some views of some slices.

    Every step draws its slices, crops and flips before it draws the view, by generators of their
    own, so that arms of one seed differ in nothing else.

    Raises:
        MissingExtra: MONAI is not installed.
    """
    try:
        from monai.losses import DiceCELoss
    except ImportError as error:
        raise MissingExtra("segmentation", "monai", "cad") from error
    network = build_network(training)
    loss_of = DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=training.rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, training.steps)
    where, which = (np.random.default_rng((training.seed, n)) for n in (1, 2))
    shown = [{view: scale(one.views[view]) for view in views} for one in slices]
    network.train()
    for _ in range(training.steps):
        drawn = [
            _draw(slices, shown, views, training, (where, which)) for _ in range(training.batch)
        ]
        x = torch.from_numpy(np.stack([crop for crop, _ in drawn]))[:, None]
        y = torch.from_numpy(np.stack([labels for _, labels in drawn]))[:, None]
        optimiser.zero_grad()
        loss = loss_of(network(x), y)
        loss.backward()
        optimiser.step()
        falling.step()
    return network.eval()


def build_network(training: Training) -> nn.Module:
    """The U-Net with the weights its seed draws; the caller's random state is left as it was.

    Raises:
        MissingExtra: MONAI is not installed.
    """
    try:
        from monai.networks.nets.unet import UNet
    except ImportError as error:
        raise MissingExtra("segmentation", "monai", "cad") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network: nn.Module = UNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=training.classes,
            channels=WIDTHS,
            strides=(2,) * (len(WIDTHS) - 1),
            num_res_units=1,
            # Norms of one crop would take its level away, and with it what Hounsfield units say.
            norm="BATCH",
        )
    return network


def _draw(
    slices: Sequence[Slice],
    shown: Sequence[Mapping[str, NDArray[np.float32]]],
    views: Sequence[str],
    training: Training,
    chances: tuple[np.random.Generator, np.random.Generator],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A crop: a patient first, so that many slices of one do not outweigh the others."""
    where, which = chances
    patients = sorted({one.patient for one in slices})
    patient = patients[where.integers(len(patients))]
    own = [n for n, one in enumerate(slices) if one.patient == patient]
    n = own[where.integers(len(own))]
    labels = slices[n].labels
    starts = [int(where.integers(max(1, side - training.crop + 1))) for side in labels.shape]
    box = tuple(slice(start, start + training.crop) for start in starts)
    flips = tuple(axis for axis in (0, 1) if where.random() < 0.5)
    values = shown[n][views[int(which.integers(len(views)))]]
    crop, drawn = (_pad(np.flip(a[box], flips), training.crop) for a in (values, labels))
    return crop.copy(), drawn.astype(np.int64)


def _pad(array: NDArray[Any], side: int) -> NDArray[Any]:
    room = [(0, max(0, side - length)) for length in array.shape]
    return np.pad(array, room, mode="edge") if any(more for _, more in room) else array


@torch.inference_mode()
def predict(network: nn.Module, values: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """Probability of each class, (class, i, j), of a whole slice."""
    sides = values.shape
    room = [(0, -side % _MULTIPLE) for side in sides]
    x = torch.from_numpy(np.pad(scale(values), room, mode="edge"))[None, None]
    found = torch.softmax(network(x)[0], dim=0).numpy()
    return np.asarray(found[:, : sides[0], : sides[1]], dtype=np.float32)


def judge_arms(
    slices: Sequence[Slice],
    arms: Mapping[str, Sequence[str]],
    folds: Sequence[frozenset[str]],
    training: Training,
    *,
    judged_on: str,
    tell: Tell = lambda done, total: None,
) -> dict[tuple[str, int], Image]:
    """What each arm's networks draw on slices of patients they have not seen.

    A trainable patient is judged by the network of the fold that holds it out; others, which are
    never trained on, by the mean of all folds' probabilities, as nnU-Net does with test cases.

    Args:
        arms: By name, the views it is trained on.
        folds: Patients held out.
        judged_on: The view that all arms are judged on.
        tell: Is told how many networks of all are trained.

    Returns:
        By arm and the slice's place in `slices`: its labels as drawn.
    """
    drawn: dict[tuple[str, int], Image] = {}
    for place, (arm, views) in enumerate(arms.items()):
        sums: dict[int, Any] = {}
        for number, held in enumerate(folds):
            kept = [one for one in slices if one.trainable and one.patient not in held]
            scale = Scale.of(kept, judged_on)
            network = train(kept, views, training, scale)
            for n, one in enumerate(slices):
                if not one.trainable or one.patient in held:
                    sums[n] = sums.get(n, 0) + predict(network, one.views[judged_on], scale)
            tell(place * len(folds) + number + 1, len(arms) * len(folds))
        for n, probabilities in sums.items():
            labels = probabilities.argmax(axis=0).astype(np.uint8)
            drawn[arm, n] = Image(labels[None, :, :, None], slices[n].grid, Unit.LABEL)
    return drawn
