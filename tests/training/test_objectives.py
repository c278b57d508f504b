"""A recipe's objective is built with all it needs, or fails before the first step."""

import dataclasses

import pytest
import torch
from tests.networks.made import make_state
from tests.training.small import make_batch

from plica.codecs import weights
from plica.codecs.pretrained import PRETRAINED
from plica.errors import SettingsError, WeightsError
from plica.networks.discriminator import PatchDiscriminator
from plica.networks.perceptual import Perceptual
from plica.networks.vision import VisionTower
from plica.training.objective import Objective
from plica.training.objectives import build_objective
from plica.training.projection import ProjectionObjective
from plica.training.recipe import Adversary, Data, Projection, Recipe, Reconstruction, Start
from plica.training.reconstruction import ReconstructionObjective

KL = {
    "kind": "kl", "dims": 2, "in_channels": 1, "code_channels": 2, "widths": (32, 32), "blocks": 1
}  # fmt: skip


def make_recipe(objective, network=KL, crop=32) -> Recipe:
    return Recipe(
        name="test", summary="A test's own.", network=dict(network), steps=1, batch=1,
        objective=objective, data=Data(crop=crop),
    )  # fmt: skip


@pytest.fixture
def offline(monkeypatch):
    """No hub, no caches: weights are in the weights folder or nowhere."""

    def refuse(source, given, *, name):
        raise WeightsError(f"the weights of {name} could not be fetched")

    monkeypatch.setattr(weights, "resolve", refuse)


@pytest.fixture(scope="module")
def made_weights(tmp_path_factory):
    """LPIPS' smallest backbone and its linear layers, with made weights, as they are published."""
    folder = tmp_path_factory.mktemp("weights")
    state = make_state(Perceptual(network="squeezenet"))
    backbone = {key: value for key, value in state.items() if key.startswith("features")}
    linear = {key: value for key, value in state.items() if key.startswith("lin")}
    for name, part in (("squeezenet", backbone), ("lpips-squeezenet", linear)):
        path = folder / PRETRAINED[name].filenames[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(part, path)
    return folder


def test_a_reconstruction_is_built_with_what_its_terms_need(made_weights):
    settings = Reconstruction(
        perceptual=1.0, perceptual_network="squeezenet", kl=1e-6,
        adversary=Adversary(weight=0.5, width=4, layers=2),
    )  # fmt: skip
    before = torch.get_rng_state()
    objective = build_objective(make_recipe(settings), weights_dir=made_weights)
    again = build_objective(make_recipe(settings), weights_dir=made_weights)

    assert isinstance(objective, ReconstructionObjective)
    assert isinstance(objective, Objective)
    assert isinstance(objective.modules()["discriminator"], PatchDiscriminator)
    assert torch.equal(before, torch.get_rng_state())
    for name, module in objective.modules().items():
        for key, value in again.modules()[name].state_dict().items():
            assert torch.equal(value, module.state_dict()[key])
    terms = objective.terms("codec", make_batch((2, 1, 32, 32)), 0)
    assert set(terms.parts) == {"pixel", "perceptual", "adversarial", "kl"}
    terms.total.backward()


def test_a_network_that_was_made_before_is_taken():
    network = torch.nn.Module()
    network.weight = torch.nn.Parameter(torch.ones(1, 1))
    objective = build_objective(make_recipe(Reconstruction()), network=network)

    assert objective.modules()["network"] is network


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("objective", "file"),
    [
        (Reconstruction(perceptual=1.0), "vgg16-397923af.pth"),
        (Reconstruction(embedding=1.0), "open_clip_pytorch_model.bin"),
        (Projection(), "open_clip_pytorch_model.bin"),
    ],
)
def test_missing_pretrained_weights_are_named_with_their_path(tmp_path, objective, file):
    with pytest.raises(WeightsError, match=str(tmp_path / file)):
        build_objective(make_recipe(objective, {**KL, "projection": True}), weights_dir=tmp_path)


@pytest.mark.parametrize("start", [Start(train=("decoder",)), Start(adapters=4)])
def test_a_projection_that_is_to_train_more_is_refused(start):
    recipe = make_recipe(Projection(), {**KL, "projection": True})

    with pytest.raises(SettingsError, match="channel_ds and channel_proj alone"):
        build_objective(dataclasses.replace(recipe, start=start))


def test_crops_too_small_to_be_seen_are_refused(made_weights):
    perceptual = Reconstruction(perceptual=1.0, perceptual_network="squeezenet")
    with pytest.raises(SettingsError, match=r"data\.crop is 16, but LPIPS"):
        build_objective(make_recipe(perceptual, crop=16), weights_dir=made_weights)
    adversary = Reconstruction(adversary=Adversary(weight=1.0))
    with pytest.raises(SettingsError, match=r"the discriminator sees .* at least 24"):
        build_objective(make_recipe(adversary, crop=16))


def test_the_table_leads_to_both_objectives(monkeypatch):
    tower = VisionTower(side=16, patch=8, width=16, depth=1, heads=2, embedding=8)
    monkeypatch.setattr("plica.training.projection.load_embedding", lambda weights_dir: tower)
    projecting = make_recipe(Projection(), {**KL, "projection": True})

    assert isinstance(build_objective(projecting), ProjectionObjective)
    assert isinstance(build_objective(make_recipe(Reconstruction())), ReconstructionObjective)
