"""The same autoencoder is read from every layout the world has written it in."""

import pytest
import torch
from tests.networks.made import make_state

from plica.codecs.layouts import SCHEDULE, from_maisi, to_compvis
from plica.errors import WeightsError
from plica.networks.kl import KlAutoencoder
from plica.networks.vq import VqAutoencoder

# Written out by hand from diffusers' module tree, not derived from the mapping under test: ours on
# the left, theirs on the right, {} a weight or bias.
ATTENTION_NEW = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
ATTENTION_OLD = {"q": "query", "k": "key", "v": "value", "proj_out": "proj_attn"}
BLOCK = {
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "nin_shortcut": "conv_shortcut",
}


def their_name(key: str, levels: int, attention: dict[str, str]) -> str:
    """A CompVis key as diffusers writes it, by walking its parts."""
    parts = key.split(".")
    if parts[0] not in {"encoder", "decoder"} or parts[1] in {"conv_in", "conv_out"}:
        return key
    side, part, *rest = parts
    if part == "norm_out":
        return ".".join([side, "conv_norm_out", *rest])
    if part == "mid":
        name, layer, kind = rest
        if name == "attn_1":
            layer = "group_norm" if layer == "norm" else attention[layer]
            return f"{side}.mid_block.attentions.0.{layer}.{kind}"
        number = {"block_1": 0, "block_2": 1}[name]
        return f"{side}.mid_block.resnets.{number}.{BLOCK[layer]}.{kind}"
    level = int(rest[0]) if part == "down" else levels - 1 - int(rest[0])
    stem = f"{side}.{part}_blocks.{level}"
    if rest[1] == "block":
        return f"{stem}.resnets.{rest[2]}.{BLOCK[rest[3]]}.{rest[4]}"
    if rest[1] == "attn":
        layer = "group_norm" if rest[3] == "norm" else attention[rest[3]]
        return f"{stem}.attentions.{rest[2]}.{layer}.{rest[4]}"
    resampling = {"downsample": "downsamplers", "upsample": "upsamplers"}[rest[1]]
    return f"{stem}.{resampling}.0.conv.{rest[3]}"


def their_state(state, levels, attention):
    theirs = {}
    for key, value in state.items():
        name = their_name(key, levels, attention)
        linear = any(f".{layer}." in name for layer in attention.values())
        theirs[name] = value[:, :, 0, 0] if linear and value.ndim == 4 else value
    return theirs


def networks():
    kl = KlAutoencoder(dims=2, in_channels=3, code_channels=4, widths=(32, 32, 64), blocks=1)
    vq = VqAutoencoder(
        dims=2,
        in_channels=3,
        code_channels=4,
        codebook=16,
        widths=(32, 64),
        blocks=2,
        attention_levels=(1,),
    )
    return {"kl": (kl, 3), "vq": (vq, 2)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].shape == value.shape
        assert torch.equal(found[key], value)


@pytest.mark.parametrize("kind", ["kl", "vq"])
@pytest.mark.parametrize("attention", [ATTENTION_NEW, ATTENTION_OLD], ids=["new", "old"])
def test_diffusers_weights_become_compvis_weights(kind, attention):
    network, levels = networks()[kind]
    state = make_state(network)
    theirs = their_state(state, levels, attention)
    assert theirs.keys() != state.keys()

    assert_same(to_compvis(theirs), state)


def test_compvis_weights_stay_as_they_are():
    state = make_state(networks()["kl"][0])

    assert_same(to_compvis(state), state)


def test_an_autoencoder_is_found_in_a_whole_model():
    state = make_state(networks()["kl"][0])
    whole = {f"first_stage_model.{key}": value for key, value in state.items()}
    beside = [
        "first_stage_model.loss.discriminator.main.0.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
        "model_ema.decay",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
        *SCHEDULE,
    ]

    assert_same(to_compvis({**whole, **{key: torch.zeros(1) for key in beside}}), state)


def test_training_losses_beside_it_are_passed_over():
    state = make_state(networks()["vq"][0])
    beside = {"loss.perceptual_loss.lin0.model.1.weight": torch.zeros(1)}

    assert_same(to_compvis({**state, **beside}), state)


def test_an_unknown_key_stays_for_the_network_to_refuse():
    assert "surprise.weight" in to_compvis({"surprise.weight": torch.zeros(1)})


def test_half_of_a_posterior_stays_for_the_network_to_refuse():
    mean = {f"quant_conv_mu.conv.{end}": torch.zeros(1) for end in ("weight", "bias")}
    whole = mean | {key.replace("mu", "log_sigma"): value for key, value in mean.items()}
    stem = {"encoder.blocks.0.conv.conv.weight": torch.zeros(1)}

    kept, joined = (from_maisi(stem | one, levels=3, blocks=2) for one in (mean, whole))

    assert set(kept) == {"encoder.conv_in.weight", "quant_conv_mu.weight", "quant_conv_mu.bias"}
    assert set(joined) == {"encoder.conv_in.weight", "quant_conv.weight", "quant_conv.bias"}


def test_two_layouts_in_one_file_are_refused():
    name = "decoder.up_blocks.0.resnets.0.conv1.weight"
    state = {name: torch.zeros(1), "decoder.up.0.block.0.conv1.weight": torch.zeros(1)}

    with pytest.raises(WeightsError, match="twice"):
        to_compvis(state)


def test_real_names_of_diffusers_are_known():
    """A few keys as they stand in published files, so that the walk above is anchored."""
    real = {
        "encoder.down_blocks.1.resnets.0.conv_shortcut.weight": (
            "encoder.down.1.block.0.nin_shortcut.weight"
        ),
        "encoder.down_blocks.0.downsamplers.0.conv.bias": "encoder.down.0.downsample.conv.bias",
        "decoder.up_blocks.0.upsamplers.0.conv.weight": "decoder.up.3.upsample.conv.weight",
        "decoder.up_blocks.3.resnets.2.norm2.weight": "decoder.up.0.block.2.norm2.weight",
        "encoder.mid_block.attentions.0.group_norm.weight": "encoder.mid.attn_1.norm.weight",
        "decoder.mid_block.attentions.0.to_out.0.bias": "decoder.mid.attn_1.proj_out.bias",
        "decoder.mid_block.attentions.0.key.bias": "decoder.mid.attn_1.k.bias",
        "decoder.conv_norm_out.bias": "decoder.norm_out.bias",
        "quantize.embedding.weight": "quantize.embedding.weight",
    }

    assert set(to_compvis({key: torch.zeros(1) for key in real})) == set(real.values())
