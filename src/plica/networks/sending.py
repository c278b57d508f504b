"""Sending: what a network is to compute on, to the device it runs on."""

from __future__ import annotations

import torch
from torch import Tensor


def send(x: Tensor, device: str | torch.device) -> Tensor:
    """`x` on the device.

    From pinned memory CUDA copies by itself, and the host goes on at once; from other memory the
    host would wait. `codecs.batches.read_ahead` prepares the next batch meanwhile.
    """
    wanted = torch.device(device)
    if wanted.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(wanted, non_blocking=True)
    return x.to(wanted)
