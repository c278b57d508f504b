"""The second stage in 2D trains the projection layers, and leaves everything else bit by bit."""

import copy

import pytest
import torch
from tests.networks.made import make_state
from tests.training.small import make_batch, make_kl

from plica.errors import SettingsError
from plica.networks.vision import VisionTower
from plica.training import projection, reconstruction
from plica.training.latents import draw
from plica.training.objective import Objective
from plica.training.projection import ProjectionObjective
from plica.training.recipe import Classification, Projection, Recipe


def make_tower() -> VisionTower:
    tower = VisionTower(side=16, patch=8, width=16, depth=1, heads=2, embedding=8)
    tower.load_state_dict(make_state(tower))
    return tower


def make_objective(channels=2, divisor=4.6) -> ProjectionObjective:
    network = make_kl(channels=channels, projection=True)
    return ProjectionObjective(Projection(divisor=divisor), network, make_tower())


def measure_by_hand(objective, x, z):
    """As MedVAE's program writes it: CLIP's preparation by hand on both sides."""
    network, tower = objective.network, objective._tower
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]

    def see(picture):
        picture = torch.nn.functional.interpolate(
            picture, size=(16, 16), mode="bicubic", align_corners=False, antialias=True
        )
        return tower((picture.expand(-1, 3, -1, -1) - mean) / deviation)

    image = ((x + 1) / 2).clamp(0, 1)
    latent = (network.project(z) / objective.settings.divisor).mean(1, keepdim=True)
    return (see(image) - see(latent)).square().sum(1)


@pytest.mark.parametrize("divisor", [4.6, 2.0])
def test_the_term_is_the_distance_of_image_and_projected_latent(divisor):
    objective, batch = make_objective(divisor=divisor), make_batch()
    with torch.no_grad():
        z = draw(objective.network, batch.x, batch.seeds).z
        expected = measure_by_hand(objective, batch.x, z).mean()
    terms = objective.terms("codec", batch, 0)

    assert isinstance(objective, Objective)
    assert set(terms.parts) == {"embedding"}
    torch.testing.assert_close(terms.total.detach(), expected, rtol=1e-4, atol=1e-6)


def test_a_case_is_measured_by_the_posteriors_mean():
    objective = make_objective()
    x = make_batch((1, 1, 16, 16)).x
    with torch.no_grad():
        expected = measure_by_hand(objective, x, objective.network.encode(x))
    (first, picture), (again, _) = (objective.judge(objective.network, x) for _ in range(2))

    assert first == again
    assert picture is None
    assert first["embedding_distance"] == pytest.approx(float(expected), rel=1e-4)
    assert objective.measures[0].better == "lower"


def test_only_the_projection_layers_change():
    objective, batch = make_objective(), make_batch()
    before = copy.deepcopy(objective.network.state_dict())
    parameters = objective.players()["codec"]
    optimiser = torch.optim.Adam(parameters, lr=1e-3)
    losses = []
    for step in range(30):
        optimiser.zero_grad()
        total = objective.terms("codec", batch, step).total
        total.backward()
        optimiser.step()
        losses.append(float(total.detach()))

    changed = {
        key.split(".")[0]
        for key, value in objective.network.state_dict().items()
        if not torch.equal(value, before[key])
    }
    assert changed == {"channel_ds", "channel_proj"}
    assert losses[-1] < losses[0]
    rest = (objective.network.encoder, objective.network.decoder, objective._tower)
    assert all(p.grad is None for part in rest for p in part.parameters())
    assert not objective.network.encoder.training
    assert objective.probe("codec") is objective.network.channel_proj.weight


def test_networks_without_projection_layers_are_refused():
    with pytest.raises(SettingsError, match="projection = true"):
        ProjectionObjective(Projection(), make_kl(), make_tower())
    with pytest.raises(SettingsError, match="dims = 2"):
        ProjectionObjective(Projection(), make_kl(dims=3, projection=True), make_tower())


def test_half_precision_gives_about_the_same_distance():
    objective, batch = make_objective(), make_batch()
    exact = float(objective.terms("codec", batch, 0).total.detach())
    with torch.autocast("cpu", torch.bfloat16):
        coarse = objective.terms("codec", batch, 0).total

    assert float(coarse.detach()) == pytest.approx(exact, rel=0.1)
    coarse.backward()


@pytest.mark.parametrize("of", [projection, reconstruction])
def test_a_recipe_of_another_objective_is_refused(of):
    recipe = Recipe(name="r", summary="s", network={}, steps=1, batch=1, objective=Classification())
    with pytest.raises(SettingsError, match=f"asks for no {of.__name__.rpartition('.')[2]}"):
        of.build(recipe, make_kl())
