"""Networks borrowed from the diffusers library, where it is installed."""

from __future__ import annotations

from typing import Any

import torch

from plica.errors import MissingExtra


def borrow(name: str) -> Any:
    """The class of that name.

    Args:
        name: Of one of the library's autoencoders.

    Raises:
        MissingExtra: The library is not installed, is older than that autoencoder, or fails on
            another package, such as a torchvision made for another torch.
    """
    try:
        # Networks are made on the meta device, but tables that the library makes when it is
        # imported are values, and belong into memory.
        with torch.device("cpu"):
            import diffusers

            return getattr(diffusers, name)
    except (ImportError, AttributeError) as error:
        raise MissingExtra(f"{name} of the diffusers library", "diffusers", "foundation") from error
    except RuntimeError as error:  # what its deferred imports make of any failure
        lines = str(error).strip().splitlines() or [type(error).__name__]
        said = lines[-1].rstrip(".")
        purpose = f"{name} of the diffusers library"
        raise MissingExtra(purpose, "diffusers", "foundation", said) from error
