"""Cost: how many multiply-adds a network does at a shape, and how long they take.

Conventions

    multiply-adds    of convolutions, linear layers, matrix products and attention; a multiply-add
                     counts as one (PyTorch's counter says two)
    elsewhere        what a multiply-add counter leaves out and some count: five operations for each
                     value that is normalised, one for each value that is made by resampling
    a step           forward, binary cross-entropy, backward, AdamW
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from plica.errors import SettingsError

CONVENTION = (
    "a multiply-add counts as one; convolutions, linear layers, matrix products and attention"
)
_PER_NORMALISED, _PER_RESAMPLED = 5, 1
_RATE = 1e-4
Shape = Sequence[int]


@dataclass(frozen=True)
class Work:
    """What a network does for one input.

    Args:
        shape: Of the input (batch, channel, *space).
        multiply_adds: A multiply-add counts as one.
        elsewhere: Operations of normalisation and resampling, which are no multiply-adds.
        parameters: Numbers that can be trained.
        by_operation: Multiply-adds by operation.
    """

    shape: tuple[int, ...]
    multiply_adds: int
    elsewhere: int
    parameters: int
    by_operation: Mapping[str, int]

    @property
    def everything(self) -> int:
        """Multiply-adds, normalisation and resampling, as some counters add them up."""
        return self.multiply_adds + self.elsewhere


def count_work(module: nn.Module, shape: Shape) -> Work:
    """Count what a module does, without doing it: its tensors are replaced by shapes alone.

    Args:
        module: On any device; it and its weights are left as they are.
        shape: Of its input (batch, channel, *space).

    Raises:
        SettingsError: The module cannot look at such an input.

    Examples:
        >>> count_work(nn.Conv2d(1, 8, 3, padding=1), (1, 1, 64, 64)).multiply_adds
        294912
    """
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    x = torch.empty(tuple(shape), device="meta")
    elements, counter = _Elements(), FlopCounterMode(display=False)
    with torch.no_grad(), _plain_attention(), _evaluating(module), counter, elements:
        try:
            functional_call(module, shapes, (x,), tie_weights=True)
        except (RuntimeError, ValueError, IndexError) as error:
            raise _refusal(module, shape, error) from error
    found = counter.get_flop_counts().get("Global", {})
    by_operation = {str(name).removeprefix("aten."): flops // 2 for name, flops in found.items()}
    return Work(
        shape=tuple(shape),
        multiply_adds=sum(by_operation.values()),
        elsewhere=_PER_NORMALISED * elements.made["normalised"]
        + _PER_RESAMPLED * elements.made["resampled"],
        parameters=sum(p.numel() for p in module.parameters()),
        by_operation=by_operation,
    )


def build_shapes(build: Callable[[], nn.Module]) -> nn.Module:
    """A network of shapes without numbers, at once and in no memory: enough to be counted.

    Examples:
        >>> from plica.networks.probes import build_probe
        >>> count_work(build_shapes(lambda: build_probe("small-2d")), (1, 1, 64, 64)).parameters
        307665
    """
    with torch.device("meta"):
        return build()


class _Elements(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the values that come out of normalisation and of resampling."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        first = out[0] if isinstance(out, tuple | list) and out else out
        name = func.name().removeprefix("aten::")
        if isinstance(first, Tensor) and "backward" not in name:
            if any(kind in name for kind in ("batch_norm", "group_norm", "layer_norm")):
                self.made["normalised"] += first.numel()
            elif "upsample" in name:
                self.made["resampled"] += first.numel()
        return out


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Without the fused attention of inference, whose work PyTorch's counter does not see."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation mode, so that running statistics are left alone; then as it was."""
    before = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in before.items():
            part.training = training


# -- what is timed -------------------------------------------------------------------------------


def prepare_forward(module: nn.Module, shape: Shape, *, device: str = "cpu") -> Callable[[], None]:
    """A forward pass without gradients over made images, finished when it returns.

    Examples:
        >>> forward = prepare_forward(nn.Conv2d(1, 8, 3), (1, 1, 64, 64))
        >>> len(time_together({"convolution": forward}, repeats=5)["convolution"])
        5
    """
    module = module.to(device).eval()
    x = _make_input(shape, device)

    def forward() -> None:
        module.eval()
        with torch.inference_mode():
            _attempt(module, x)
        synchronise(device)

    return forward


def make_optimiser(module: nn.Module) -> torch.optim.Optimizer:
    """AdamW over all of a module, for steps at several shapes to share."""
    return torch.optim.AdamW(module.parameters(), lr=_RATE)


def prepare_step(
    module: nn.Module,
    shape: Shape,
    *,
    device: str = "cpu",
    optimiser: torch.optim.Optimizer | None = None,
) -> Callable[[], None]:
    """A step of training over made images and labels, finished when it returns.

    Args:
        optimiser: Of the module on its device; None makes one, with memory of its own.

    Examples:
        >>> step = prepare_step(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), (2, 1, 8, 8))
        >>> step()
    """
    module = module.to(device).train()
    x = _make_input(shape, device)
    labels = (torch.arange(shape[0], device=device) % 2).float()[:, None]
    optimiser = optimiser or make_optimiser(module)

    def step() -> None:
        module.train()
        optimiser.zero_grad(set_to_none=True)
        logits = _attempt(module, x)
        loss = functional.binary_cross_entropy_with_logits(logits, labels.expand_as(logits))
        torch.autograd.backward(loss)
        optimiser.step()
        synchronise(device)

    return step


def time_together(
    works: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    seconds: float = float("inf"),
    warmed: Mapping[str, float] | None = None,
    tell: Callable[[str], None] = lambda name: None,
) -> dict[str, tuple[float, ...]]:
    """Time several works in turns, so that what else the machine does falls on all of them.

    Each is done once before, which is not counted: memory is taken and kernels are chosen then.
    The order is turned round from turn to turn.

    Args:
        works: By name; each is finished when it returns.
        repeats: Turns.
        seconds: For each work; one that needs longer has fewer turns, and one at least.
        warmed: Seconds of the first time, of works that were done once already.
        tell: Is given a work's name before each time it is done.

    Returns:
        Seconds of each turn, by name.

    Examples:
        >>> works = {"short": lambda: sum(range(9)), "long": lambda: sum(range(99_999))}
        >>> seconds = time_together(works, repeats=3)
        >>> min(seconds["short"]) < min(seconds["long"])
        True
    """
    if repeats < 1:
        raise SettingsError(f"something is timed once at least, not {repeats} times")
    first = dict(warmed or {})
    for name, work in works.items():
        if name not in first:
            tell(name)
            first[name] = time_once(work)
    turns = {name: max(1, int(min(repeats, seconds / max(first[name], 1e-9)))) for name in works}
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats):
        for name in list(works)[:: -1 if turn % 2 else 1]:
            if turn < turns[name]:
                tell(name)
                found[name].append(time_once(works[name]))
    return {name: tuple(taken) for name, taken in found.items()}


def time_once(work: Callable[[], object]) -> float:
    """Seconds something takes, once."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def synchronise(device: str) -> None:
    """Wait until a device has done what it was given; the processor has, always."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def describe_device(device: str) -> str:
    """A device in words: its name, and how many cores or how much memory."""
    if device.startswith("cuda"):
        facts = torch.cuda.get_device_properties(device)
        return f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    if device.startswith("mps"):
        return "Apple GPU (Metal)"
    return f"CPU, {torch.get_num_threads()} threads of torch"


def _make_input(shape: Shape, device: str) -> Tensor:
    """The same noise each time; what a network costs does not depend on what it sees."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(tuple(shape), generator=generator).to(device)


def _attempt(module: nn.Module, x: Tensor) -> Tensor:
    try:
        return module(x)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        if "allocate" in str(error):
            raise torch.OutOfMemoryError(str(error)) from error
        raise _refusal(module, x.shape, error) from error


def _refusal(module: nn.Module, shape: Shape, error: Exception) -> SettingsError:
    reason = str(error).strip().splitlines()
    return SettingsError(
        f"{type(module).__name__} cannot look at an input of {tuple(shape)} "
        f"({reason[0][:120] if reason else type(error).__name__}): give a larger size, or one of "
        "as many axes and channels as it takes"
    )
