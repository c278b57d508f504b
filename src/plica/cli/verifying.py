"""Verifying: trials of a codec in processes of their own, so that each has a peak of its own."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from plica.cli.reading import Reading
from plica.codecs.catalogue import load
from plica.codecs.difference import Half, Values
from plica.errors import PlicaError, SettingsError
from plica.formats.sources import Source


@dataclass(frozen=True)
class Task:
    """One trial; it can be sent to another process.

    Args:
        name: Of the codec.
        weights: Its file, "random", or None.
        device: Where it runs.
        options: As `plica.load` takes them.
        source: Of the image.
        reading: How it is read.
        way: "whole" (in one piece), "asked" (as the options say, in pieces small enough to matter),
            or "full" (the whole image, as the options say).
        side: Of the crop; None chooses it.
        codes: What is decoded; None takes what was encoded.
    """

    name: str
    weights: str | None
    device: str
    options: dict[str, Any]
    source: Source
    reading: Reading
    way: str
    side: int | None = None
    codes: Values | None = None


@dataclass(frozen=True)
class Trial:
    """What came of a task.

    Args:
        encoded, decoded: Either direction; of the full image without their values.
        peaks: Most bytes the process held, until encoding and until decoding were done.
        shape: Of the image that was tried.
        memory: What the process was allowed.
    """

    encoded: Half
    decoded: Half
    peaks: tuple[int, int] = (0, 0)
    shape: tuple[int, ...] = ()
    memory: int = 0


def run_apart(task: Task) -> Trial:
    """Do a task in a process of its own.

    Raises:
        PlicaError: What it raised.
        SettingsError: The system ended it, or it failed in a way that nobody foresaw.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(there, task))
    child.start()
    there.close()
    try:
        found = here.recv()
    except EOFError as error:
        child.join()
        if (child.exitcode or 0) >= 0:
            raise SettingsError(
                f"a trial of {task.name} ended with an error, which stands above"
            ) from error
        raise SettingsError(
            f"the system ended a trial of {task.name} (exit code {child.exitcode}): there is less "
            "memory than it was allowed; give a smaller memory="
        ) from error
    finally:
        child.join()
        here.close()
    if isinstance(found, PlicaError):
        raise found
    if not isinstance(found, Trial):
        raise SettingsError(f"a trial of {task.name} failed: {found}")
    return found


def _work(pipe: Connection, task: Task) -> None:
    try:
        pipe.send(_try(task))
    except PlicaError as error:
        pipe.send(error)
    except (OSError, MemoryError) as error:
        pipe.send(str(error) or "there is not enough memory")


def _try(task: Task) -> Trial:
    # In the child alone: who only asks for help does not wait for torch.
    from plica.codecs import trial
    from plica.codecs.budget import choose_memory
    from plica.networks.memory import read_peak

    codec = trial.check_network(load(task.name, task.weights, task.device, **task.options))
    image = task.reading.read(task.source)
    if task.way != "full":
        image = trial.choose_crop(codec, image, task.side)
        codec = trial.run_whole(codec) if task.way == "whole" else trial.cut_small(codec, image)
    encoded = trial.try_encoding(codec, image)
    peak, shape = read_peak(), image.pixels.shape
    codes = encoded.values if task.codes is None else task.codes
    latent = codec.outline_latent(image)
    del image
    decoded = trial.try_decoding(codec, latent, codes, back=task.way == "full")
    if task.way == "full":  # looked at by nobody
        encoded = replace(encoded, values=codes[:0])
    return Trial(encoded, decoded, (peak, read_peak()), shape, choose_memory(codec.running.memory))
