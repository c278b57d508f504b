"""A training in a process of its own, which may send itself a signal after some step.

python -m tests.training.walk FOLDER [--send SIGTERM --after 13 --rank 0] [--batch 8 ...]
"""

import argparse
import os
import resource
import signal
import sys
from pathlib import Path

import torch
from tests.training.toy import Ramps, Squared, cases, make_recipe

from plica.errors import TrainingInterrupted
from plica.run import Run
from plica.training.engine import Engine
from plica.training.loop import train


class Signalling(Ramps):
    """The same batches; after some step, asking for the next one sends a signal."""

    def __init__(self, recipe, number, after, rank):
        super().__init__(recipe)
        self.number, self.after, self.rank = number, after, rank

    def stream(self, first, last, *, rank, world):
        for step, share in enumerate(super().stream(first, last, rank=rank, world=world), first):
            if self.number and (step, rank) == (self.after, self.rank):
                os.kill(os.getpid(), self.number)
            yield share


def main(arguments=None):
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=Path)
    asked.add_argument("--send", type=lambda name: getattr(signal, name), default=0)
    asked.add_argument("--after", type=int, default=0)
    asked.add_argument("--rank", type=int, default=0)
    asked.add_argument("--steps", type=int, default=20)
    asked.add_argument("--accumulate", type=int, default=1)
    asked.add_argument("--most-bytes", type=int, default=0)
    options = asked.parse_args(arguments)
    every = 20 if options.most_bytes else 1  # so that checkpoints are the largest files
    recipe = make_recipe(
        log_every=every, batch=8, steps=options.steps, accumulate=options.accumulate
    )
    engine = Engine("cpu")
    if engine.is_first and not options.folder.exists():
        Run.start(options.folder, recipe)
    engine.wait()
    if options.most_bytes:
        sys.dont_write_bytecode = True  # else half of a module may be kept for the next process
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.most_bytes,) * 2)
    batches = Signalling(recipe, options.send, options.after, options.rank)
    try:
        train(
            recipe, Squared(critic=True, seed=engine.rank), batches, cases(5),
            Run.open(options.folder), engine=engine,
        )  # fmt: skip
    except TrainingInterrupted as error:
        print(error)
        return 130
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
