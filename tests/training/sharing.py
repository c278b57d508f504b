"""The gradients of one batch, which one process or several compute.

python -m tests.training.sharing FILE
"""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tests.training.small import make_batch, make_kl, squared_distance

from plica.networks.discriminator import PatchDiscriminator
from plica.training.adversary import Opponent
from plica.training.engine import Engine
from plica.training.objective import Batch
from plica.training.recipe import Adversary, Reconstruction
from plica.training.reconstruction import ReconstructionObjective


def make_objective():
    torch.manual_seed(3)
    settings = Reconstruction(
        pixel="psnr", perceptual=1.0, kl=0.1, adversary=Adversary(weight=0.5, adaptive=True)
    )
    critic = PatchDiscriminator(in_channels=1, width=4, layers=2)
    return ReconstructionObjective(
        settings, make_kl(), perceptual=squared_distance, opponent=Opponent(critic)
    )


def main(path):
    engine = Engine("cpu")
    objective = make_objective()
    whole = make_batch((4, 1, 16, 16))
    size = 4 // engine.world
    own = slice(engine.rank * size, (engine.rank + 1) * size)
    batch = Batch(whole.x[own], whole.seeds[own], engine.average)
    found = {}
    for player, parameters in objective.players().items():
        terms = objective.terms(player, batch, 0)
        torch.autograd.backward(terms.total, inputs=parameters)
        engine.average_gradients(parameters)
        for number, parameter in enumerate(parameters):
            found[f"{player}.{number}"] = parameter.grad
        for name, term in terms.parts.items():
            found[f"{player}.{name}"] = engine.average(term)
        if player == "codec":
            found["adaptive_weight"] = terms.facts["adaptive_weight"]
    for name, buffer in objective.modules()["discriminator"].named_buffers():
        found[name] = buffer
    if engine.is_first:
        save_file({key: value.contiguous() for key, value in found.items()}, path)
    engine.wait()  # a process that leaves before the other has read takes the line down
    if engine.world > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
    # Now and then the interpreter's end finds a thread of gloo's that has not gone, and aborts.
    os._exit(0)
