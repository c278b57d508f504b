"""Where a network runs."""

from __future__ import annotations

from plica.errors import UnknownName


def choose_device(asked: str) -> str:
    """The device torch is to use for "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        UnknownName: There is no such device here; nothing else is taken in its place.

    Example:
        >>> choose_device("cpu")
        'cpu'
    """
    import torch

    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here = ["cuda", *(f"cuda:{n}" for n in range(torch.cuda.device_count())), *here]
    if asked == "auto":
        return here[0]
    if asked not in here:
        raise UnknownName(
            f"no device '{asked}' on this machine; there are: auto, {', '.join(here)}"
        )
    return asked
