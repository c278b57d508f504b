"""Sending: what a network is to compute on, to the device it runs on."""

from __future__ import annotations

import torch
from torch import Tensor


def send(x: Tensor, device: str | torch.device) -> Tensor:
    """`x` on the device.

    CUDA copies from pinned memory while it computes and while the host prepares what comes next;
    from other memory it first copies into such, and everybody waits.
    """
    wanted = torch.device(device)
    if wanted.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(wanted, non_blocking=True)
    return x.to(wanted)
