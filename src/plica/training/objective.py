"""Objective: what the loop minimises; it knows the networks, the loop knows none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

Player = str  # "codec", "discriminator": parameters with an optimiser of their own


def alone(x: Tensor) -> Tensor:
    """The mean over processes where there is one."""
    return x


@dataclass(frozen=True)
class Batch:
    """Some patches and where their chance comes from.

    Args:
        x: (batch, channel, *space) in [−1, 1] on the objective's device.
        seeds: One per patch, the same however many processes share the batch: noise for a patch
            is drawn from a generator with its seed.
        average: The mean of a tensor over the processes that share the batch, without a gradient:
            for numbers that are not a mean over patches, such as a ratio of gradients. All
            processes ask for the same, in the same order.
        targets: What each patch is to be known as, its class say; None where the patches
            themselves are the target.
    """

    x: Tensor
    seeds: tuple[int, ...]
    average: Callable[[Tensor], Tensor] = alone
    targets: Tensor | None = None


@dataclass(frozen=True)
class Terms:
    """What one player minimises on one batch.

    Args:
        parts: The weighted terms by name; their sum is minimised.
        facts: Numbers worth a line in the log: the deviation of the latent, active units, …
            A tensor of one number need not be fetched from the device; the loop does it in time.
    """

    parts: Mapping[str, Tensor]
    facts: Mapping[str, float | Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        """The sum of the parts."""
        return sum(self.parts.values())  # type: ignore[return-value]  # never empty


@dataclass(frozen=True)
class Measure:
    """One number per judged case."""

    name: str
    unit: str
    better: Literal["higher", "lower"]


@runtime_checkable
class Objective(Protocol):
    """What is minimised, by whom, and how its success is judged.

    Contract: `modules` holds everything that has weights which change or are exported, under the
    names they have in checkpoints; "network" is the one that is exported and averaged. `players`
    names the parameters each player trains. `turns(step)` says who is trained at a step, in that
    order. `terms` leaves the gradients alone. `judge` takes whole images or patches one at a time,
    in evaluation mode, and is deterministic. Nothing reads a global random state.
    """

    measures: tuple[Measure, ...]

    def modules(self) -> Mapping[str, nn.Module]:
        """Everything that is kept in a checkpoint, by name."""
        ...

    def players(self) -> Mapping[Player, tuple[nn.Parameter, ...]]:
        """The parameters each player trains."""
        ...

    def turns(self, step: int) -> tuple[Player, ...]:
        """Who is trained at `step` (from 0)."""
        ...

    def terms(self, player: Player, batch: Batch, step: int) -> Terms:
        """What `player` minimises on the batch."""
        ...

    def probe(self, player: Player) -> nn.Parameter:
        """The parameter at which the terms' shares of the gradient are compared."""
        ...

    def judge(self, network: nn.Module, x: Tensor) -> tuple[Mapping[str, float], Tensor | None]:
        """Measures of one case (1, channel, *space) under `network`, and its reconstruction.

        `network` is the "network" module or its moving average.
        """
        ...
