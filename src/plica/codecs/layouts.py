"""Layouts: the ways the world has written the same autoencoders into files.

Ours is CompVis', the authors' own (Rombach et al., 2022). Known besides it:

    whole latent diffusion models   first_stage_model.encoder.… among the denoiser's keys
    diffusers, since 0.17           encoder.down_blocks.0.resnets.0.…, attention to_q … to_out.0
    diffusers, before               the same with query, key, value and proj_attn
    MONAI, for MAISI                encoder.blocks.0.conv.conv.…, all layers counted in one row

diffusers writes attention's 1×1 convolutions as matrices (out, in), and counts the decoder's levels
from the coarsest. MAISI's mean and log-variance come of a convolution each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from plica.errors import WeightsError

_WHOLE = "first_stage_model."

# What lies beside the autoencoder in published checkpoints: its training losses and their
# discriminator, averaged copies, and the rest of a latent diffusion model with its schedule.
IGNORABLE = (
    "loss.",
    "model_ema.",
    "model.diffusion_model.",
    "cond_stage_model.",
)
SCHEDULE = frozenset(
    {
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "lvlb_weights",
        "logvar",
        "scale_factor",
    }
)

_PLACES = (
    (re.compile(r"(encoder|decoder)\.mid_block\.resnets\.0\."), r"\1.mid.block_1."),
    (re.compile(r"(encoder|decoder)\.mid_block\.resnets\.1\."), r"\1.mid.block_2."),
    (re.compile(r"(encoder|decoder)\.mid_block\.attentions\.0\."), r"\1.mid.attn_1."),
    (re.compile(r"(encoder|decoder)\.conv_norm_out\."), r"\1.norm_out."),
    (re.compile(r"encoder\.down_blocks\.(\d+)\."), r"encoder.down.\1."),
    (re.compile(r"\.resnets\."), ".block."),
    (re.compile(r"\.attentions\."), ".attn."),
    (re.compile(r"\.downsamplers\.0\."), ".downsample."),
    (re.compile(r"\.upsamplers\.0\."), ".upsample."),
    (re.compile(r"\.conv_shortcut\."), ".nin_shortcut."),
)
_IN_ATTENTION = (
    (re.compile(r"\.group_norm\."), ".norm."),
    (re.compile(r"\.(to_q|query)\."), ".q."),
    (re.compile(r"\.(to_k|key)\."), ".k."),
    (re.compile(r"\.(to_v|value)\."), ".v."),
    (re.compile(r"\.(to_out\.0|proj_attn)\."), ".proj_out."),
)
_MONAI = re.compile(r"(encoder|decoder)\.blocks\.(\d+)\.(.+)")
_UP = re.compile(r"decoder\.up_blocks\.(\d+)\.")
_ATTENTION = re.compile(r"\.(attn\.\d+|attn_1)\.")


def to_compvis(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An autoencoder's weights in any of the known layouts, in CompVis'.

    Keys that are known to lie beside an autoencoder are left out; unknown ones stay, for the
    network to refuse.

    Raises:
        WeightsError: Two keys mean the same tensor.
    """
    inner = _rename(state, {key: key.removeprefix(_WHOLE) for key in state})
    kept = {key: value for key, value in inner.items() if not _is_beside(key)}
    levels = [int(match[1]) for key in kept if (match := _UP.match(key))]
    if not levels:
        return kept
    renamed = _rename(kept, {key: _compvis_key(key, max(levels)) for key in kept})
    return {key: _as_convolution(key, value) for key, value in renamed.items()}


def _is_beside(key: str) -> bool:
    return key.startswith(IGNORABLE) or key in SCHEDULE


def _rename(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if names[key] in renamed:
            raise WeightsError(
                f"the weights hold {names[key]} twice, once as {key}: two layouts are mixed"
            )
        renamed[names[key]] = value
    return renamed


def _compvis_key(key: str, last: int) -> str:
    key = _UP.sub(lambda match: f"decoder.up.{last - int(match[1])}.", key)
    for pattern, place in _PLACES:
        key = pattern.sub(place, key)
    if _ATTENTION.search(key):
        for pattern, place in _IN_ATTENTION:
            key = pattern.sub(place, key)
    return key


def _as_convolution(key: str, value: Tensor) -> Tensor:
    """Attention's matrices (out, in) as 1×1 kernels (out, in, 1, 1)."""
    if _ATTENTION.search(key) and value.ndim == 2:
        return value[:, :, None, None]
    return value


def with_quant(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same, for networks that have no convolutions beside the codes.

    Ones that change nothing stand in their place: each channel is multiplied by one, and noughts
    are added to it, which is exact.
    """
    completed = dict(state)
    for name, end in (("quant_conv", "encoder.conv_out.bias"), ("post_quant_conv", "")):
        first = completed.get(end or "decoder.conv_in.weight")
        if first is None or f"{name}.weight" in completed:
            continue
        channels = first.shape[1] if first.ndim > 1 else first.shape[0]
        completed[f"{name}.weight"] = torch.eye(channels)[:, :, None, None]
        completed[f"{name}.bias"] = torch.zeros(channels)
    return completed


def from_maisi(state: Mapping[str, Tensor], *, levels: int, blocks: int) -> dict[str, Tensor]:
    """MAISI's weights as MONAI writes them, in CompVis' layout; that layout itself stays.

    Args:
        state: In either layout.
        levels: Of resolution.
        blocks: Per level.

    Raises:
        WeightsError: Two keys mean the same tensor.

    Examples:
        >>> state = {"encoder.conv_in.weight": torch.zeros(1)}
        >>> from_maisi(state, levels=3, blocks=2) == state
        True
    """
    if not any(_MONAI.match(key) for key in state):
        return dict(state)
    places = {
        "encoder": dict(enumerate(_count_maisi("encoder", levels, blocks))),
        "decoder": dict(enumerate(_count_maisi("decoder", levels, blocks))),
    }
    renamed = _rename(state, {key: _maisi_key(key, places) for key in state})
    for end in ("weight", "bias"):
        halves = [f"quant_conv_{half}.{end}" for half in ("mu", "log_sigma")]
        if all(half in renamed for half in halves):
            renamed[f"quant_conv.{end}"] = torch.cat([renamed.pop(half) for half in halves])
    return renamed


def _count_maisi(coder: str, levels: int, blocks: int) -> Iterator[str]:
    """What the layers of a coder are called, in MONAI's order."""
    yield "conv_in"
    way, change = ("down", "downsample") if coder == "encoder" else ("up", "upsample")
    for step in range(levels):
        level = step if coder == "encoder" else levels - 1 - step
        yield from (f"{way}.{level}.block.{block}" for block in range(blocks))
        if step < levels - 1:
            yield f"{way}.{level}.{change}.conv"
    yield from ("norm_out", "conv_out")


def _maisi_key(key: str, places: Mapping[str, Mapping[int, str]]) -> str:
    key = re.sub(r"(\.conv)+\.(weight|bias)$", r".\2", key)
    match = _MONAI.fullmatch(key)
    if match is None or int(match[2]) not in places[match[1]]:
        return key
    return f"{match[1]}.{places[match[1]][int(match[2])]}.{match[3]}"
