"""Contract: whether a network is an autoencoder as plica knows them, tried on a tiny input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

ATTRIBUTES = ("dims", "factor", "in_channels", "code_channels", "encode", "decode")
"""What `plica.networks.autoencoder.Autoencoder` asks for."""


RAISED = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError,
          NotImplementedError, RuntimeError, TypeError, ValueError)  # fmt: skip
"""What another's code raises where it has a fault; the rest is no fault of a network's."""


def find_breach(network: nn.Module, cells: Sequence[int] = (2,)) -> str:
    """What a network breaks of the contract of autoencoders, in a sentence; "" where nothing.

    An image is encoded and decoded, in evaluation mode and without gradients; chance and the
    network's mode are as before.

    Args:
        cells: Sides of the image to try, in codes; the next is tried where the network fails on
            one, since some need a larger map.

    Examples:
        >>> find_breach(nn.Linear(1, 1))[:32]
        'it has no dims, factor, in_chann'
    """
    if lacking := [name for name in ATTRIBUTES if not hasattr(network, name)]:
        return f"it has no {', '.join(lacking)} (see plica.networks.autoencoder)"
    for name in ATTRIBUTES[:4]:
        value = getattr(network, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            return f"its {name} is {value!r}, and not a whole number of 1 or more"
    if network.dims not in {2, 3}:
        return f"its dims is {network.dims}, and not 2 or 3"
    mode = network.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            return _try(network.eval(), cells)
        finally:
            network.train(mode)


def _try(network: Any, cells: Sequence[int]) -> str:
    breach = ""
    for n in cells:
        space = (n * network.factor,) * network.dims
        shape = (1, network.in_channels, *space)
        step = "encode"
        try:
            codes = network.encode(torch.zeros(shape))
            wanted = (1, network.code_channels, *(n,) * network.dims)
            if breach := _compare(step, shape, codes, wanted):
                return breach
            step = "decode"
            return _compare(step, wanted, network.decode(codes), shape)
        except RAISED as error:
            breach = f"its {step} fails on an image of {shape}: {type(error).__name__}: {error}"
    return breach


def _compare(step: str, given: tuple[int, ...], made: Any, wanted: tuple[int, ...]) -> str:
    if not isinstance(made, torch.Tensor):
        return f"its {step} gives {type(made).__name__}, and not a tensor"
    if tuple(made.shape) != wanted:
        return f"its {step} makes {tuple(made.shape)} of {given}, and not {wanted}"
    return ""
