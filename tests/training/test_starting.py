"""A training begins from the weights its recipe names, and from nothing else."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from tests.networks.made import make_state, make_tensor

from plica.codecs.card import CodecCard
from plica.codecs.directory import write_directory
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.weights import fingerprint
from plica.errors import SettingsError, UnknownName, WeightsError
from plica.networks.kl import KlAutoencoder
from plica.networks.lora import fold_lora
from plica.preparation.pipelines import full_range
from plica.training import checkpoint
from plica.training.loop import CHECKPOINTS
from plica.training.recipe import Recipe, Start
from plica.training.starting import build_network, read_start
from plica.training.state import AVERAGE, NETWORK

KL = {
    "kind": "kl", "dims": 2, "in_channels": 1, "code_channels": 2, "widths": (32, 32), "blocks": 1
}  # fmt: skip
COMPACT = {
    "kind": "compact", "dims": 2, "factor": 4, "code_channels": 3, "encoder": (4, 8, 1),
    "decoder": (4, 8, 1),
}  # fmt: skip
DIFFUSERS = (
    ("encoder.mid.block_1.", "encoder.mid_block.resnets.0."),
    ("encoder.mid.block_2.", "encoder.mid_block.resnets.1."),
    ("encoder.down.", "encoder.down_blocks."),
    (".block.", ".resnets."),
    (".downsample.", ".downsamplers.0."),
)


def make_recipe(network=KL, **start) -> Recipe:
    return Recipe(
        name="test", summary="A test's own.", network=dict(network), steps=1, batch=1,
        start=Start(**start),
    )  # fmt: skip


def make_kl(**changes) -> KlAutoencoder:
    settings = {**KL, **changes}
    settings.pop("kind")
    return KlAutoencoder(**settings)


def keep(path, state):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def agree(network, state):
    own = network.state_dict()
    assert set(own) == set(state)
    return all(torch.equal(own[key], state[key]) for key in state)


# -- networks ------------------------------------------------------------------------------------


def test_the_same_recipe_makes_the_same_weights_and_leaves_chance_alone():
    before = torch.get_rng_state()
    first, again = build_network(make_recipe()), build_network(make_recipe())
    other = build_network(dataclasses.replace(make_recipe(), seed=1))

    assert torch.equal(before, torch.get_rng_state())
    assert agree(first, again.state_dict())
    assert not agree(first, other.state_dict())
    assert first.training
    assert all(parameter.requires_grad for parameter in first.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 2}, "unknown layers"),
        ({"widths": (33,)}, "multiples of 32"),
        ({"widths": "wide"}, "widths"),
        ({"blocks": 2**30}, "blocks"),
        ({"projection": 1}, "projection"),
        ({"widths": (65536, 65536)}, "thousand million numbers, and 2 are the limit"),
    ],
)
def test_a_recipe_that_describes_no_network_is_refused(change, said):
    with pytest.raises(SettingsError, match=said):
        build_network(make_recipe({**KL, **change}))


def test_an_unknown_kind_of_network_is_named():
    with pytest.raises(UnknownName, match="did you mean kl"):
        build_network(make_recipe({**KL, "kind": "kll"}))


# -- what is trained -----------------------------------------------------------------------------


class Folding(torch.nn.Module):
    """A network as a package might bring it; what is wrong with it is set by a test."""

    wrong = ""

    def __init__(self, width: int = 4):
        super().__init__()
        self.dims, self.factor, self.in_channels = 2, 4, 1
        if self.wrong != "lacking":
            self.code_channels = "4" if self.wrong == "typed" else width
        self.down = torch.nn.Conv2d(1, width, 4, stride=4)
        self.up = torch.nn.ConvTranspose2d(width, 1, 2 if self.wrong == "small" else 4, stride=4)

    def encode(self, x):
        if self.wrong == "failing":
            raise KeyError("x")
        return self.down(x)[:, : 3 if self.wrong == "narrow" else None]

    def decode(self, z):
        return self.up(z)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", None),
        ("lacking", "no autoencoder as plica knows them: it has no code_channels"),
        ("typed", "its code_channels is '4'"),
        ("failing", r"its encode fails on an image of \(1, 1, .*KeyError"),
        ("narrow", r"its encode makes \(1, 3, 2, 2\) of \(1, 1, 8, 8\), and not \(1, 4, 2, 2\)"),
        ("small", r"its decode makes \(1, 1, 6, 6\) of .*, and not \(1, 1, 8, 8\)"),
    ],
)
def test_what_is_no_autoencoder_is_refused_before_the_first_step(monkeypatch, wrong, said):
    monkeypatch.setattr(Folding, "wrong", wrong)
    monkeypatch.setattr("plica.training.starting.make_network", lambda *_, **__: Folding())
    recipe = make_recipe({"kind": "folding"})

    if said is None:
        assert build_network(recipe).training
        return
    with pytest.raises(SettingsError, match=said):
        build_network(recipe)


def test_parameters_are_chosen_by_the_beginnings_of_their_names():
    network = build_network(make_recipe(train=("decoder", "post_quant_conv")))
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    frozen = {name.split(".")[0] for name, p in network.named_parameters() if not p.requires_grad}

    assert trained == {"decoder", "post_quant_conv"}
    assert frozen == {"encoder", "quant_conv"}


@pytest.mark.parametrize(
    ("typed", "meant"), [("decodr", "decoder"), ("decoder.conv", "decoder.conv_in")]
)
def test_a_misspelt_beginning_is_answered_with_what_was_meant(typed, meant):
    with pytest.raises(SettingsError, match=f"did you mean.*{meant}"):
        build_network(make_recipe(train=(typed,)))


def test_adapters_are_trained_instead_of_convolutions():
    plain, adapted = build_network(make_recipe()), build_network(make_recipe(adapters=4))
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    x = torch.randn(1, 1, 8, 8)

    assert trained
    assert all("lora_" in name for name in trained)
    assert agree(plain, fold_lora(adapted.state_dict()))
    with torch.no_grad():
        torch.testing.assert_close(adapted.encode(x), plain.encode(x))
    again = build_network(make_recipe(adapters=4))
    assert agree(adapted, again.state_dict())


def test_parameters_may_be_trained_beside_adapters():
    network = build_network(make_recipe(adapters=4, train=("decoder.conv_out",)))
    trained = {name for name, p in network.named_parameters() if p.requires_grad}

    assert {"decoder.conv_out.weight", "decoder.conv_out.bias"} < trained
    assert all("lora_" in name or name.startswith("decoder.conv_out") for name in trained)


# -- where weights come from ---------------------------------------------------------------------


def test_weights_come_from_a_file_here_or_in_the_weights_folder(tmp_path, monkeypatch):
    state = make_state(make_kl())
    path = keep(tmp_path / "weights" / "mine" / "kl.safetensors", state)
    monkeypatch.chdir(tmp_path)

    assert agree(build_network(make_recipe(weights=str(path))), state)
    assert agree(build_network(make_recipe(weights="weights/mine/kl.safetensors")), state)
    found = build_network(make_recipe(weights="mine/kl.safetensors"), weights_dir="weights")
    assert agree(found, state)
    assert all(parameter.requires_grad for parameter in found.parameters())


def test_missing_weights_are_named_with_every_place(tmp_path):
    recipe = make_recipe(weights="mine/kl.safetensors")

    with pytest.raises(
        WeightsError, match=rf"nothing at mine/kl\.safetensors or {tmp_path}/mine/kl"
    ):
        build_network(recipe, weights_dir=tmp_path)
    with pytest.raises(WeightsError, match="no codec is called"):
        build_network(recipe)
    with pytest.raises(WeightsError, match=r"kl-f4.*/kl-f4/model\.ckpt"):
        build_network(make_recipe(weights="kl-f4"), weights_dir=tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    path = keep(tmp_path / "kl.safetensors", make_state(make_kl(code_channels=3)))

    with pytest.raises(WeightsError, match="of another shape"):
        build_network(make_recipe(weights=str(path)))


def test_weights_come_from_a_codecs_folder(tmp_path):
    settings = {key: list(v) if isinstance(v, tuple) else v for key, v in KL.items()}
    card = CodecCard(
        name="mine-2x2-2d", family="mine", summary="A test's own.", dims=2, factor=2, channels=2,
        in_channels=1, expects="anything", licence="Apache-2.0", source="a test",
        extras={"network": settings, "preparation": "full_range"},
    )  # fmt: skip
    network = make_kl()
    codec = NetworkCodec(card, network, fingerprint(network.state_dict()), full_range)
    write_directory(tmp_path / "codec", codec)

    found = build_network(make_recipe(weights="codec"), weights_dir=tmp_path)
    assert agree(found, network.state_dict())


def test_weights_come_from_a_runs_best_checkpoint_and_its_average(tmp_path):
    states = {step: {name: make_state(make_kl()) for name in (NETWORK, AVERAGE)} for step in (1, 2)}
    for step, contents in states.items():
        for name, state in contents.items():
            state["decoder.conv_out.bias"] += step + 10 * (name == AVERAGE)
        record = checkpoint.Record(step=step, recipe="", best=1.0, best_step=1)
        checkpoint.save(tmp_path / "run" / CHECKPOINTS, contents, record)

    recipe = make_recipe(weights="run")
    assert agree(build_network(recipe, weights_dir=tmp_path), states[1][AVERAGE])
    checkpoint.prune(tmp_path / "run" / CHECKPOINTS, {2})
    with pytest.raises(WeightsError, match="step-0000001"):  # no other one instead
        build_network(recipe, weights_dir=tmp_path)


def test_a_run_without_an_average_gives_its_network(tmp_path):
    adapted = build_network(make_recipe(adapters=2))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_up" in name:
                parameter.copy_(make_tensor(name, tuple(parameter.shape)))
    checkpoint.save(
        tmp_path / CHECKPOINTS,
        {NETWORK: adapted.state_dict()},
        checkpoint.Record(step=5, recipe=""),
    )

    found = build_network(make_recipe(weights=str(tmp_path)))
    assert agree(found, fold_lora(adapted.state_dict()))


def test_a_run_that_has_not_begun_is_no_start(tmp_path):
    (tmp_path / CHECKPOINTS).mkdir()

    with pytest.raises(WeightsError, match="no checkpoint yet"):
        build_network(make_recipe(weights=str(tmp_path)))
    with pytest.raises(WeightsError, match="neither a run's folder nor a codec's"):
        build_network(make_recipe(weights=str(tmp_path / CHECKPOINTS)))


def test_a_packaged_codec_is_a_start():
    linear = {"kind": "linear", "dims": 2, "factor": 4, "channels": 3}
    network = build_network(make_recipe(linear, weights="linear-4x3-2d"))

    assert agree(network, read_start(Start(weights="linear-4x3-2d"), None))
    assert network.analysis.abs().sum() > 0


def test_a_compact_network_begins_as_the_linear_codec():
    linear = build_network(
        make_recipe({"kind": "linear", "dims": 2, "factor": 4, "channels": 3},
                    weights="linear-4x3-2d")
    )  # fmt: skip
    compact = build_network(make_recipe(COMPACT, weights="linear-4x3-2d"))
    x = torch.rand(1, 1, 16, 16) * 2 - 1

    with torch.no_grad():
        torch.testing.assert_close(
            compact.decode(compact.encode(x)), linear.decode(linear.encode(x)), atol=1e-5, rtol=0
        )
    assert all(parameter.requires_grad for parameter in compact.parameters())


def test_a_linear_codec_of_another_size_is_no_start_for_a_compact_network():
    with pytest.raises(WeightsError, match="same dims, factor and channels"):
        build_network(make_recipe(COMPACT, weights="linear-8x1-2d"))


# -- layouts and dimensions ----------------------------------------------------------------------


def test_whole_checkpoints_and_those_of_other_libraries_are_read(tmp_path):
    state = make_state(make_kl())
    whole = {f"first_stage_model.{key}": value for key, value in state.items()}
    whole["model.diffusion_model.x"] = torch.zeros(1)
    path = keep(tmp_path / "whole.safetensors", whole)
    assert agree(build_network(make_recipe(weights=str(path))), state)

    renamed = {}
    for key, value in state.items():
        for ours, theirs in DIFFUSERS:
            if key.startswith("encoder."):
                key = key.replace(ours, theirs)
        renamed[key] = value
    renamed = {
        key.replace("decoder.up.0.", "decoder.up_blocks.1.").replace(
            "decoder.up.1.", "decoder.up_blocks.0."
        ): value
        for key, value in renamed.items()
    }
    assert set(renamed) != set(state)
    path = keep(tmp_path / "diffusers.safetensors", renamed)
    assert agree(build_network(make_recipe(weights=str(path))), state)


def test_flat_weights_are_lifted_into_a_solid_network(tmp_path):
    flat = make_kl()
    flat.load_state_dict(make_state(flat))
    path = keep(tmp_path / "flat.safetensors", flat.state_dict())
    solid = build_network(make_recipe({**KL, "dims": 3}, weights=str(path), lift=True))
    x = torch.randn(1, 1, 8, 8)

    with torch.no_grad():
        y = solid.encode(x[..., None].expand(-1, -1, -1, -1, 8))
        torch.testing.assert_close(y[..., 1], flat.encode(x), atol=1e-5, rtol=0)
    with pytest.raises(WeightsError, match="of another shape"):
        build_network(make_recipe({**KL, "dims": 3}, weights=str(path)))


def test_what_is_flat_stays_flat_in_a_stitched_network(tmp_path):
    flat = make_state(make_kl())
    path = keep(tmp_path / "flat.safetensors", flat)
    settings = {key: value for key, value in KL.items() if key != "dims"}
    network = build_network(
        make_recipe(
            {**settings, "kind": "stitched"}, weights=str(path), lift=True,
            train=("decoder", "post_quant_conv"),
        )
    )  # fmt: skip

    assert torch.equal(network.encoder.conv_in.weight, flat["encoder.conv_in.weight"])
    assert torch.equal(network.decoder.conv_in.weight[..., 1], flat["decoder.conv_in.weight"])
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {"decoder", "post_quant_conv"}


def test_what_a_network_freezes_for_good_is_not_trained():
    settings = {key: value for key, value in KL.items() if key != "dims"}

    with pytest.raises(SettingsError, match=r"encoder\.conv_in\.weight is frozen"):
        build_network(make_recipe({**settings, "kind": "stitched"}, train=("encoder",)))


def test_lifting_where_nothing_is_flat_is_refused(tmp_path):
    path = keep(tmp_path / "flat.safetensors", make_state(make_kl()))

    with pytest.raises(SettingsError, match=r"start\.lift"):
        build_network(make_recipe(weights=str(path), lift=True))


def test_projection_layers_come_and_go(tmp_path):
    with_layers = make_state(make_kl(projection=True))
    without = make_state(make_kl())
    more = keep(tmp_path / "more.safetensors", with_layers)
    less = keep(tmp_path / "less.safetensors", without)

    assert agree(build_network(make_recipe(weights=str(more))), without)
    projecting = {**KL, "projection": True}
    begun = build_network(make_recipe(projecting, weights=str(less)))
    fresh = build_network(make_recipe(projecting))
    assert torch.equal(begun.decoder.conv_in.weight, without["decoder.conv_in.weight"])
    assert torch.equal(begun.channel_proj.weight, fresh.channel_proj.weight)
    assert agree(build_network(make_recipe(projecting, weights=str(more))), with_layers)


def test_what_holds_no_network_is_no_start(tmp_path):
    checkpoint.save(
        tmp_path / CHECKPOINTS, {"optimiser.codec": {}}, checkpoint.Record(step=5, recipe="")
    )
    with pytest.raises(WeightsError, match="it holds no network"):
        read_start(Start(weights=str(tmp_path)), None)
    with pytest.raises(WeightsError, match="identity has no weights to begin from"):
        read_start(Start(weights="identity"), None)


def test_weights_on_the_hub_are_resolved_and_read_as_a_file(tmp_path, monkeypatch):
    state = make_state(make_kl())
    path = keep(tmp_path / "kl.safetensors", state)
    asked = []
    monkeypatch.setattr(
        "plica.codecs.weights.resolve", lambda source, given, *, name: asked.append(given) or path
    )
    assert agree(build_network(make_recipe(weights="hub:owner/name:kl.safetensors")), state)
    assert asked == ["hub:owner/name:kl.safetensors"]
