"""Where a network runs."""

from __future__ import annotations

from plica.errors import UnknownName


def choose_device(asked: str) -> str:
    """The device torch is to use for "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        UnknownName: There is no such device here; nothing else is taken in its place.

    Examples:
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


def list_devices() -> list[str]:
    """What networks can run on here, by name, and what it is: "cuda:0 (NVIDIA H200)", "cpu"."""
    import torch

    found = [
        f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]
