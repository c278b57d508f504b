"""Pictures: what networks for pictures see of a batch, and what it costs the reconstruction.

A picture network sees slices of a volume across chosen axes, or the batch itself where that is one
of pictures. Its term is a mean over them,

    T = 1/n Σ f(xₛ, yₛ)        s over the n slices of all patches and axes

and each part's gradient in y is taken as soon as its value is known, so that what is kept is one
image of gradients instead of the activations of hundreds of slices; asking for the gradient again,
as the adaptive weight does, costs nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from plica.training.latents import generator

# Pixels that picture networks see at a time: VGG-16 keeps about 2 kB of each for the gradient.
CHUNK_PIXELS = 2**19
Compare = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Cut:
    """Slices of each patch of a batch of volumes across one axis.

    Args:
        axis: Of space, from 0.
        numbers: (batch, n): which slices.
    """

    axis: int
    numbers: Tensor

    def of(self, x: Tensor) -> Tensor:
        """The slices of x as pictures (batch · n, channel, …)."""
        rows = torch.arange(len(x), device=x.device)[:, None]
        return x.movedim(self.axis + 2, 1)[rows, self.numbers.to(x.device)].flatten(0, 1)


def choose_cuts(
    sides: tuple[int, ...], seeds: tuple[int, ...], *, axes: tuple[int, ...], share: float
) -> tuple[Cut, ...]:
    """Which slices are seen of patches with such sides; () for pictures, which are seen whole.

    Args:
        seeds: One per patch, whose chance draws its slices.
        share: Of the slices across each axis; at least one is drawn.

    Examples:
        >>> cuts = choose_cuts((8, 16, 16), (7,), axes=(0,), share=0.25)
        >>> len(cuts)
        1
    """
    if len(sides) < 3:
        return ()
    cuts = []
    for axis in axes:
        n = max(1, round(share * sides[axis]))
        drawn = [
            torch.randperm(sides[axis], generator=generator(seed, f"slices {axis}"))[:n].sort()[0]
            for seed in seeds
        ]
        cuts.append(Cut(axis, torch.stack(drawn)))
    return tuple(cuts)


def pictures(
    x: Tensor, y: Tensor, cuts: tuple[Cut, ...], *, side: int = 0, most: int = CHUNK_PIXELS
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of pictures of x and y, all of them once, a few at a time.

    Args:
        side: Pictures count as at least so large: networks may enlarge what they see.
        most: Pixels that come at a time, or one picture.

    Examples:
        >>> x = torch.zeros(3, 1, 16, 16)
        >>> [len(a) for a, b in pictures(x, x, (), most=2 * 16 * 16)]
        [2, 1]
    """
    if not cuts:
        n = _share(len(x), most // max(x[0, 0].numel(), side**2))
        yield from zip(torch.split(x, n), torch.split(y, n), strict=True)
    for cut in cuts:
        pixels = max(x[0, 0].numel() // x.shape[cut.axis + 2], side**2)
        patches = _share(len(x), most // (pixels * cut.numbers.shape[1]))
        slices = _share(cut.numbers.shape[1], most // (pixels * patches))
        for start in range(0, len(x), patches):
            part = slice(start, start + patches)
            for numbers in torch.split(cut.numbers[part], slices, dim=1):
                smaller = Cut(cut.axis, numbers)
                yield smaller.of(x[part]), smaller.of(y[part])


def _share(length: int, most: int) -> int:
    """How many come at a time, so that all shares are about as large."""
    times = -(-length // max(1, most))
    return -(-length // times)


def count_pictures(x: Tensor, cuts: tuple[Cut, ...]) -> int:
    """How many pictures there are."""
    return sum(cut.numbers.numel() for cut in cuts) if cuts else len(x)


def mean_over_pictures(
    compare: Compare,
    x: Tensor,
    y: Tensor,
    cuts: tuple[Cut, ...],
    *,
    side: int = 0,
    most: int = CHUNK_PIXELS,
) -> Tensor:
    """The term T; its gradient goes to y alone.

    Args:
        compare: Gives one number per pair of pictures.
        side, most: As for `pictures`.

    Examples:
        >>> def compare(x, y):
        ...     return (x - y).square().flatten(1).mean(1)
        >>> x = torch.zeros(3, 1, 16, 16)
        >>> mean_over_pictures(compare, x, x + 1, ())
        tensor(1.)
    """
    n = count_pictures(x, cuts)
    if not (y.requires_grad and torch.is_grad_enabled()):
        values = [
            compare(xs, ys).float().sum() for xs, ys in pictures(x, y, cuts, side=side, most=most)
        ]
        return torch.stack(values).sum() / n
    leaf = y.detach().requires_grad_()
    value, slope = torch.zeros((), device=y.device), torch.zeros_like(leaf)
    for xs, ys in pictures(x, leaf, cuts, side=side, most=most):
        part = compare(xs, ys).float().sum() / n
        slope += torch.autograd.grad(part, leaf)[0]
        value += part.detach()
    return cast("Tensor", _Known.apply(y, value, slope))  # type: ignore[no-untyped-call]


class _Known(torch.autograd.Function):
    """A value whose gradient is known already."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return above * slope, None, None
