"""The moving average of a network's weights, which is judged and exported."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """An exponential moving average of the weights of `network`.

    The decay of early steps is less, (1 + n) / (10 + n) after n, so that the first weights do not
    weigh for thousands of steps. Buffers are taken over as they are.

    Args:
        network: Copied; later weights come by `update`.
        decay: What remains of the average at each step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` (from 0)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        ours, theirs = list(self.network.parameters()), list(network.parameters())
        blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch has no types here
        blend(ours, theirs, None)
        for mine, its in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(its)
