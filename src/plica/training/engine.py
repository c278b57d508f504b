"""Engine: on what a training runs: device, precision, and processes that share each batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plica.codecs.device import choose_device
from plica.errors import MissingExtra, SettingsError
from plica.networks.sending import send

# One process prepares a cohort's images while the others wait: longer than the minutes after which
# they would otherwise take it for lost.
_PATIENCE = timedelta(days=2)
# Gradients travel between processes in pieces of at most so many numbers.
_PIECE = 1 << 24


class Engine:
    """One process's view of all that share a training.

    `torchrun --nproc-per-node N` starts N of them; without it there is one.

    Args:
        device: "auto", "cpu", "cuda", …; each of several processes takes an accelerator of its own.
        precision: "bfloat16" computes under autocast; "float32" does not.

    Raises:
        MissingExtra: accelerate is not installed.
        UnknownName: There is no such device.
        SettingsError: Several processes are to share one accelerator.

    Examples:
        engine = Engine("cpu")
    """

    def __init__(self, device: str = "auto", precision: str = "float32") -> None:
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise MissingExtra("training", "accelerate", "train") from error
        wanted = torch.device(choose_device(device))
        state = PartialState(cpu=wanted.type == "cpu", timeout=_PATIENCE)
        if state.num_processes > 1 and wanted.index is not None:
            raise SettingsError(
                f"{state.num_processes} processes cannot share {wanted}; each takes an accelerator "
                f"of its own where the device is '{wanted.type}'"
            )
        self.rank: int = state.process_index
        self.world: int = state.num_processes
        self.device: torch.device = state.device if self.world > 1 else wanted
        self.precision = precision
        self._state = state

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def bring(self, x: NDArray[np.float32] | Tensor) -> Tensor:
        """`x` on the device; an accelerator copies while it computes."""
        if isinstance(x, np.ndarray) and not x.flags.writeable:
            x = x.copy()  # torch cannot promise to leave it unchanged
        tensor = torch.as_tensor(x)
        return send(tensor, self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision the objective's terms are computed in."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def average(self, x: Tensor) -> Tensor:
        """The mean of `x` over the processes, without a gradient."""
        return x.detach() if self.world == 1 else self._reduce(x.detach(), "mean")

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Each gradient becomes its mean over the processes.

        A parameter that got no gradient in any process keeps none; in some, zero counts for it.
        """
        if self.world == 1:
            return
        given = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        given = self._reduce(given, "sum")
        learning = [p for p, n in zip(parameters, given.tolist(), strict=True) if n]
        for piece in _pieces(learning):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in piece]
            flat = self._reduce(torch.cat([g.reshape(-1) for g in gradients]), "mean")
            parts = torch.split(flat, [p.numel() for p in piece])
            for parameter, part in zip(piece, parts, strict=True):
                parameter.grad = part.view_as(parameter).clone()

    def share_weights(self, modules: Iterable[nn.Module]) -> None:
        """All processes take the first one's weights and buffers."""
        if self.world == 1:
            return
        from accelerate.utils import broadcast

        with torch.no_grad():
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    tensor.copy_(broadcast(tensor.detach().contiguous().clone()))

    def gather(self, items: list[Any]) -> list[Any]:
        """The items of all processes, those of the first one first."""
        if self.world == 1:
            return items
        from accelerate.utils import gather_object

        return list(gather_object(items))

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        if self.world == 1:
            return flag
        return bool(self._reduce(torch.tensor([float(flag)], device=self.device), "sum").item())

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            self._state.wait_for_everyone()

    def leave(self) -> None:
        """Part from the other processes, once all are here; the engine is of no use afterwards."""
        if self.world > 1:
            self._state.wait_for_everyone()
            self._state.destroy_process_group()

    @staticmethod
    def _reduce(x: Tensor, how: str) -> Tensor:
        from accelerate.utils import reduce

        reduced: Tensor = reduce(x.clone(), how)
        return reduced


def _pieces(parameters: Sequence[nn.Parameter]) -> Iterable[list[nn.Parameter]]:
    piece: list[nn.Parameter] = []
    numbers = 0
    for parameter in parameters:
        if piece and (numbers + parameter.numel() > _PIECE or parameter.dtype != piece[0].dtype):
            yield piece
            piece, numbers = [], 0
        piece.append(parameter)
        numbers += parameter.numel()
    if piece:
        yield piece
