"""Small networks with made weights, and schedules whose tiles are said."""

import dataclasses
import math

import torch
from tests.networks.made import make_state

from plica.errors import TooLarge
from plica.networks.blocks import lay_out
from plica.networks.kl import KlAutoencoder
from plica.networks.schedule import plan_schedule
from plica.networks.stitched import Stitched
from plica.networks.vq import VqAutoencoder

MIB = 2**20


def build(kind, *, dims=2, widths=(32, 64), dtype=torch.float32, **settings):
    settings = {"in_channels": 1, "code_channels": 2, "blocks": 1, "widths": widths} | settings
    if kind == "kl":
        network = KlAutoencoder(dims=dims, **settings)
    elif kind == "vq":
        network = VqAutoencoder(dims=dims, codebook=24, **settings)
    else:
        network = Stitched(**settings)
    state = make_state(network)
    if kind == "vq":  # entries as far apart as codes are
        state["quantize.embedding.weight"] *= 3
    network.load_state_dict(state)
    lay_out(network)
    return network.to(dtype).eval().requires_grad_(False)


def with_tiles(plan, side, *, scratch):
    """The same plan in boxes of at most this side, with all maps in memory or in files."""
    steps = tuple(
        dataclasses.replace(step, tile=tuple(min(side, one) for one in step.stage.sides))
        for step in plan.steps
    )
    held = 0 if scratch else math.inf
    return dataclasses.replace(plan, steps=steps, held=held, scratch_bytes=int(scratch))


def find_least(network, direction, sides, *, scratch=True, into=False):
    """The least bytes that a refusal says would do."""
    try:
        plan_schedule(network, direction, sides=sides, memory=1, scratch=scratch, into=into)
    except TooLarge as error:
        return int(str(error).split("least that can is ")[1].split(" ")[0]) * MIB
    raise AssertionError("one byte was not refused")
