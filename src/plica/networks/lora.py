"""Low-rank adapters in a state dict, folded into the convolutions they stand beside.

MedVAE's models of 3 and 4 code channels were fitted by adapters (Hu et al., 2022, "LoRA") in every
convolution of their residual and attention blocks:

    y = W ∗ x + U ∗ (D ∗ x)        D: rank r, W's kernel, stride and padding;  U: 1×1

A 1×1 convolution after a convolution is one convolution, so W' = W + U D gives the same y and
nothing more needs to be run:

    W'[o, i, …] = W[o, i, …] + Σ_r U[o, r] D[r, i, …]
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from plica.errors import WeightsError

DOWN, UP = ".lora_down.weight", ".lora_up.weight"


def fold_lora(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights without adapters, under the keys of a network that has none.

    A state dict without adapters comes back as it is.

    Raises:
        WeightsError: A part of an adapter is missing, or its shapes do not fit.
    """
    adapted = sorted(
        {key.removesuffix(end) for key in state for end in (DOWN, UP) if key.endswith(end)}
    )
    folded = dict(state)
    for name in adapted:
        parts = {}
        for end in (".conv.weight", DOWN, UP):
            if name + end not in state:
                raise WeightsError(
                    f"the weights hold an adapter at {name}, but no {name}{end}: "
                    "the file is incomplete"
                )
            parts[end] = folded.pop(name + end)
        folded[f"{name}.weight"] = _fold(name, parts[".conv.weight"], parts[DOWN], parts[UP])
        if f"{name}.conv.bias" in folded:
            folded[f"{name}.bias"] = folded.pop(f"{name}.conv.bias")
    return folded


def _fold(name: str, W: Tensor, D: Tensor, U: Tensor) -> Tensor:
    fits = (
        W.ndim > 2
        and D.shape[1:] == W.shape[1:]
        and tuple(U.shape) == (W.shape[0], D.shape[0], *[1] * (W.ndim - 2))
    )
    if not fits:
        raise WeightsError(
            f"the adapter at {name} has shapes {tuple(D.shape)} and {tuple(U.shape)}, "
            f"which do not fit its convolution's {tuple(W.shape)}"
        )
    return W + (U.flatten(1) @ D.flatten(1)).reshape(W.shape)
