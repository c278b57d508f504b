"""Leading a network over pixels as a plan says: in tiles, in windows, whole, or layer by layer."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plica.codecs.plan import Part, Plan, Planner
from plica.codecs.tiling import (
    Advance,
    run_in_blocks,
    run_in_tiles,
    run_in_windows,
    run_passes,
)
from plica.networks.autoencoder import Pass
from plica.networks.heap import give_back
from plica.networks.schedule import run_schedule
from plica.networks.sending import send

Array = NDArray[np.float32]
_EVERY = slice(None)


@dataclass(frozen=True)
class Leader:
    """Leads one network.

    Args:
        planner: Of the network's plans.
    """

    planner: Planner

    def lead(self, plan: Plan, part: Part, x: Any, *, out: Any = None, advance: Advance) -> Any:
        """Compute a part of the network on x.

        Args:
            plan: Made for x, or for more inputs of its sides.
            part: What is computed.
            x: (inputs, channels, *sides): an array, or what reads boxes of one.
            out: Where the result is laid, box by box; None makes an array.
            advance: Is told after each piece how many voxels of x it took care of.
        """
        if plan.pieces > 1:
            advance = _then_give_back(advance)
        if plan.tiles:
            return self._lead_tiles(plan, part, x, out, advance)
        if plan.manner == "windows":
            factor = self.planner.factor
            return run_in_windows(
                lambda window: self._run(plan, part, window), x, window=plan.sides,
                factor=1 / factor if part == "decode" else factor, out=out, advance=advance,
            )  # fmt: skip
        if plan.schedule is not None and out is not None:
            self._run(plan, part, x, into=out, advance=advance)
            return out
        result = self._run(plan, part, _to_tensor(x), advance=advance).float().cpu().numpy()
        if out is None:
            return result
        out[(_EVERY, _EVERY, *(slice(0, side) for side in result.shape[2:]))] = result
        return out

    def _lead_tiles(self, plan: Plan, part: Part, x: Any, out: Any, advance: Advance) -> Any:
        passes = tuple(self._on_device(one) for one in self.planner.passes(part))
        if self.planner.is_passing:
            return run_passes(passes, x, tiles=plan.tiles, out=out, advance=advance)
        if len(passes) == 1:
            return run_in_tiles(passes[0], x, tile=plan.tiles[0], out=out, advance=advance)
        first, second, block = plan.tiles
        return run_in_blocks(
            (passes[0], passes[1]), x, block=block, tiles=(first, second), out=out, advance=advance
        )

    def _on_device(self, one: Pass) -> Pass:
        device, function = self.planner.device, one.function
        return replace(one, function=lambda x: function(send(x, device)))

    def _run(
        self,
        plan: Plan,
        part: Part,
        x: Any,
        *,
        into: Any = None,
        advance: Advance = lambda voxels: None,
    ) -> Any:
        """One piece: the network at once, or its layers one after another."""
        network: Any = self.planner.network
        if plan.schedule is not None:
            folder = Path(tempfile.gettempdir()) if plan.schedule.scratch_bytes else None
            return run_schedule(
                network, part, x, plan=plan.schedule, scratch=folder, into=into, advance=advance
            )
        x = send(x, self.planner.device)
        if part == "posterior":
            result = torch.cat(network.posterior(x), dim=1)
        else:
            result = network.encode(x) if part == "encode" else network.decode(x)
        advance(x.numel())
        return result


def _then_give_back(advance: Advance) -> Advance:
    def told(voxels: float) -> None:
        advance(voxels)
        give_back()

    return told


def _to_tensor(x: Any) -> Tensor:
    return torch.from_numpy(np.array(x[(_EVERY,) * len(x.shape)], np.float32))
