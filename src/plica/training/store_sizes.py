"""Latents of several sizes in one batch: padded to the largest of it, or each cut to one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from plica.errors import InputError, SettingsError

CODES, MASK = "codes", "mask"


def pad_batch(items: Sequence[Any]) -> dict[str, Any]:
    """A batch of items whose codes are of several sizes: `DataLoader(…, collate_fn=pad_batch)`.

    Codes get zeros at the far ends of their axes, up to the largest of the batch: no number of
    theirs is changed or left out. "mask" says where codes are: a tensor (batch, 1, i, j, k) of
    booleans, or of an axis less where the codes have one less.

    Args:
        items: Dicts, of a store's dataset or stream opened with any `dims` and `dtype`.

    Raises:
        InputError: The codes are no plain tensors of equally many channels and axes, or a label is
            called "mask".

    Examples:
        >>> items = [{"codes": torch.ones(3, side, 4), "finding": 1.0} for side in (2, 5)]
        >>> batch = pad_batch(items)
        >>> batch["codes"].shape, batch["mask"].sum((1, 2, 3)).tolist()
        (torch.Size([2, 3, 5, 4]), [8, 20])
    """
    codes = [_take_codes(item, "pad_batch") for item in items]
    _refuse_unlike(codes, items)
    if MASK in items[0]:
        raise InputError(
            f'pad_batch puts "{MASK}" into the batch, and the items have that already: give that '
            "label or column another name"
        )
    sides = [max(of_axis) for of_axis in zip(*(one.shape[1:] for one in codes), strict=True)]
    padded = codes[0].new_zeros(len(codes), len(codes[0]), *sides)
    mask = torch.zeros(len(codes), 1, *sides, dtype=torch.bool)
    for number, one in enumerate(codes):
        where = [slice(side) for side in one.shape[1:]]
        padded[number][(slice(None), *where)] = one
        mask[number, 0][tuple(where)] = True
    others = [{name: item[name] for name in item if name != CODES} for item in items]
    return {CODES: padded, **default_collate(others), MASK: mask}


class CropOrPad:
    """A transform of items: codes of one size, cut or padded with zeros about their middle.

    What lies beyond is cut off, so that a finding there is lost: where all of each image matters,
    take sides as large as the largest, or `pad_batch`.

    Args:
        sides: Of the codes along each axis but that of channels: (i, j, k), or (i, j) with dims=2.

    Raises:
        SettingsError: A side is less than 1.

    Examples:
        >>> data = plica.open_store("archive.store", transform=CropOrPad(6, 12, 1))
        >>> data[0]["codes"].shape
        torch.Size([1, 6, 12, 1])
    """

    def __init__(self, *sides: int) -> None:
        if not sides or min(sides) < 1:
            raise SettingsError(
                f"codes are cut or padded to sides of at least 1, but they are {sides}: give one "
                "for each axis, such as CropOrPad(64, 64, 1)"
            )
        self.sides = sides

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """The item with its codes cut and padded.

        Raises:
            InputError: Its codes are no plain tensor of so many axes.
        """
        codes = _take_codes(item, "CropOrPad")
        if codes.ndim != len(self.sides) + 1:
            raise InputError(
                f"CropOrPad got {len(self.sides)} sides, and the codes are {tuple(codes.shape)}, "
                f"channels first: give it {codes.ndim - 1}"
            )
        made = codes.new_zeros(len(codes), *self.sides)
        pairs = zip(codes.shape[1:], self.sides, strict=True)
        cuts = [_align(here, there) for here, there in pairs]
        made[(slice(None), *(to for _, to in cuts))] = codes[
            (slice(None), *(since for since, _ in cuts))
        ]
        return item | {CODES: made}


def _refuse_unlike(codes: Sequence[Tensor], items: Sequence[Any]) -> None:
    """Refuse codes of unequal axes, which no padding mends, or channels, as colour has more."""
    if len({one.ndim for one in codes}) > 1:
        raise InputError(
            "codes of one batch have equally many axes, but these are "
            + " and ".join(map(str, sorted({tuple(one.shape) for one in codes})))
        )
    counts = [len(one) for one in codes]
    fewest, most = min(counts), max(counts)
    if fewest != most:
        key = items[counts.index(most)].get("key")
        raise InputError(
            f"codes of one batch have equally many channels, but these have {fewest} and {most}"
            f"{f', as those of {key}' if key else ''}: an image of several channels that differ, "
            "such as one in colour, has codes of each, one after the other; take those of the "
            f'first by a transform that leaves item["codes"][:{fewest}], or keep such images in '
            "a store of their own"
        )


def _align(here: int, there: int) -> tuple[slice, slice]:
    """What is taken of an axis so long, and where it stands on one so long, middle on middle."""
    cut, gap = max(0, here - there) // 2, max(0, there - here) // 2
    both = min(here, there)
    return slice(cut, cut + both), slice(gap, gap + both)


def _take_codes(item: Any, taker: str) -> Tensor:
    codes = item.get(CODES) if isinstance(item, dict) else None
    if type(codes) is not Tensor:  # a MetaTensor is one, too, and its affine would be lost
        what = type(item if codes is None else codes).__name__
        raise InputError(
            f'{taker} takes items with a plain tensor under "{CODES}", but got {what}: cut or pad '
            "MONAI's items with its ResizeWithPadOrCropd and TorchIO's with its CropOrPad, which "
            "know of affines"
        )
    return codes
