"""Memory: the largest batch a network can be given.

CUDA    tried: doubled until the card's memory, or the part of it that was allowed, is out, then
        narrowed down by halves
CPU     foretold: a child process does batches of 1, 2, … and reads the most memory it ever had;
        that grows by the same amount for each further image. Trying would end in the system's
        killing the process, or swapping.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

from plica.errors import SettingsError
from plica.networks.cost import Shape, prepare_forward, prepare_step
from plica.networks.heap import give_back_at_once

MOST = 2**14
_CLEAR_GROWTH = 2**29  # bytes above which growth is more than what allocators keep or give back
_MOST_MEASURED = 64
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Largest:
    """The largest batch that fits.

    Args:
        batch: Images; 0 where not even one fits.
        memory: Bytes that were allowed.
        how: "tried" or "foretold", with what it rests on.
        peaks: Most memory in bytes, by batch, where it was measured.
        bound: Whether probing ended before memory did: the batch is at least this.
    """

    batch: int
    memory: int
    how: str
    peaks: tuple[tuple[int, int], ...] = ()
    bound: bool = False

    @property
    def power_of_two(self) -> int:
        """The largest power of two in it, as papers report."""
        return 1 << (self.batch.bit_length() - 1) if self.batch else 0


def find_largest_batch(
    build: Build, shape: Shape, *, device: str = "cpu", memory: int | None = None,
    train: bool = False,
) -> Largest:  # fmt: skip
    """The largest batch of a forward pass, or of a step of training.

    Args:
        build: Makes the network; a function that can be pickled, since a child process calls it.
        shape: Of one image (channel, *space).
        device: "cpu" or "cuda".
        memory: Bytes that may be used; None takes all of the card's. A CPU's must be given.
        train: A step of training in place of a forward pass without gradients.

    Raises:
        SettingsError: No memory is given, or the device is none whose memory can be told.
    """
    if device.startswith("cuda"):
        return _try_on_card(build, shape, device=device, memory=memory, train=train)
    if device != "cpu":
        raise SettingsError(f"the memory of {device} cannot be told: choose cpu or cuda")
    if memory is None:
        raise SettingsError("say how much memory a batch may need, such as --memory 8G")
    peaks = measure_peaks(build, shape, train=train, memory=memory)
    return foretell(peaks, memory)


def find_largest(fits: Callable[[int], bool], *, most: int = MOST) -> int:
    """The largest number up to `most` that fits, by doubling and then by halves; 0 if none does.

    Args:
        fits: Whether a number does; if one does, all below it do.

    Examples:
        >>> find_largest(lambda batch: batch * 300 <= 4096)
        13
    """
    if most < 1 or not fits(1):
        return 0
    low = 1
    while low < most and fits(min(2 * low, most)):
        low = min(2 * low, most)
    high = min(2 * low, most + 1)  # fits not, or is past the most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def foretell(peaks: Sequence[tuple[int, int]], memory: int) -> Largest:
    """The largest batch, from the most memory of some smaller ones: a line through two of them.

    Args:
        peaks: Batch and bytes, of rising batches; the last may be over `memory`.
        memory: Bytes that may be used.

    Examples:
        >>> largest = foretell([(1, 2_000), (2, 3_000), (4, 5_000)], 21_000)
        >>> largest.batch, largest.how
        (20, 'foretold from the most memory of batches of 1 and 4')
    """
    first, last = peaks[0], peaks[-1]
    if first[1] > memory:
        return Largest(0, memory, f"measured: a batch of {first[0]} needs more", tuple(peaks))
    fitting = max(batch for batch, peak in peaks if peak <= memory)
    if last[0] == first[0]:
        return Largest(fitting, memory, "measured: a batch of 2 was not tried", tuple(peaks))
    growth = (last[1] - first[1]) / (last[0] - first[0])
    how = f"foretold from the most memory of batches of {first[0]} and {last[0]}"
    if growth <= 0:
        return Largest(MOST, memory, f"{how}, which do not differ", tuple(peaks), bound=True)
    batch = int(first[0] + (memory - first[1]) / growth)
    return Largest(min(max(batch, fitting), MOST), memory, how, tuple(peaks), bound=batch > MOST)


# -- on a card -----------------------------------------------------------------------------------


def _try_on_card(
    build: Build, shape: Shape, *, device: str, memory: int | None, train: bool
) -> Largest:
    total = torch.cuda.get_device_properties(device).total_memory
    allowed = total if memory is None else min(memory, total)
    module = build()
    prepare = prepare_step if train else prepare_forward
    peaks: dict[int, int] = {}

    def fits(batch: int) -> bool:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            prepare(module, (batch, *shape), device=device)()
        except torch.OutOfMemoryError:
            return False
        finally:
            module.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
        peaks[batch] = torch.cuda.max_memory_allocated(device)
        return True

    index = torch.device(device).index or 0
    torch.cuda.set_per_process_memory_fraction(allowed / total, index)
    try:
        batch = find_largest(fits)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)
    measured = tuple(sorted(peaks.items()))
    return Largest(batch, allowed, "tried until memory was out", measured, bound=batch == MOST)


# -- in a child process --------------------------------------------------------------------------


def measure_peaks(
    build: Build, shape: Shape, *, train: bool = False, memory: int
) -> tuple[tuple[int, int], ...]:
    """The most memory a process of its own ever had, after each of rising batches.

    Batches of 1, 2, 4, … are done until the growth is clear, and no more once half of `memory` is
    taken.

    Raises:
        SettingsError: The process was ended by the system: there is less memory than was said.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(there, build, tuple(shape), train, memory))
    child.start()
    there.close()
    peaks = []
    try:
        while (word := here.recv()) is not None:
            if isinstance(word, Exception):
                raise word
            peaks.append(word)
    except EOFError as error:
        child.join()
        raise SettingsError(
            f"the system ended the process that measured memory (exit code {child.exitcode}): "
            "this machine has less than is needed for one image; choose a smaller size"
        ) from error
    finally:
        child.join()
        here.close()
    return tuple(peaks)


def _measure(
    pipe: Connection, build: Build, shape: tuple[int, ...], train: bool, memory: int
) -> None:
    """What the child does; its words are (batch, bytes), an error, and None at the end."""
    give_back_at_once()
    prepare = prepare_step if train else prepare_forward
    try:
        module, batch, peaks = build(), 1, [0]
        while batch <= _MOST_MEASURED:
            prepare(module, (batch, *shape))()
            peaks.append(read_peak())
            pipe.send((batch, peaks[-1]))
            clear = batch > 1 and peaks[-1] - peaks[1] > _CLEAR_GROWTH
            if clear or 2 * peaks[-1] > memory:
                break
            batch *= 2
        pipe.send(None)
    except (SettingsError, torch.OutOfMemoryError) as error:
        pipe.send(error)


def read_peak() -> int:
    """The most bytes this process ever held in memory.

    Linux' own record is read where there is one: what getrusage says of a child begins with what
    its parent held when it was started.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # which Windows has not

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
