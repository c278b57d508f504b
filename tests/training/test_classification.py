"""Classification: the loss is the loss, and every image is drawn once an epoch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from plica.errors import SettingsError
from plica.networks.probes import build_probe
from plica.training.classification import (
    Classifier,
    Draws,
    Labelled,
    build,
    cross_entropy,
    probabilities,
)
from plica.training.objective import Batch, Objective
from plica.training.players import _split
from plica.training.recipe import Classification, Recipe


def recipe(**changes):
    made = Recipe(
        name="probe", summary="A probe.", network={"kind": "small-2d"}, steps=10, batch=4,
        objective=Classification(),
    )  # fmt: skip
    return replace(made, **changes)


def images(count=10, classes=2):
    targets = np.arange(count, dtype=np.int64) % classes
    return Labelled(lambda n: np.full((3,), n, np.float32), targets)


def test_the_loss_is_minus_the_logarithm_of_the_true_class():
    one = torch.tensor([[0.3], [-2.0]])
    three = torch.tensor([[1.0, 2.0, 0.5]])

    ours = cross_entropy(one, torch.tensor([1, 0]))
    assert math.isclose(
        float(ours), -(math.log(1 / (1 + math.exp(-0.3))) + math.log(1 / (1 + math.exp(-2)))) / 2,
        rel_tol=1e-5,
    )  # fmt: skip
    expected = -math.log(math.exp(2) / (math.exp(1) + math.exp(2) + math.exp(0.5)))
    assert math.isclose(float(cross_entropy(three, torch.tensor([1]))), expected, rel_tol=1e-5)


@pytest.mark.parametrize("classes", [1, 4])
def test_probabilities_add_up_to_one(classes):
    p = probabilities(torch.randn(5, classes))

    assert p.shape == (5, max(classes, 2))
    assert torch.allclose(p.sum(1), torch.ones(5))


def test_it_is_an_objective_that_trains_what_it_was_told_to():
    network = build_probe("small-2d")
    objective = Classifier(network, tuple(network.head.parameters()))
    batch = Batch(torch.randn(4, 1, 16, 16), (0,) * 4, targets=torch.tensor([0, 1, 0, 1]))

    terms = objective.terms("probe", batch, 0)
    terms.total.backward()

    assert isinstance(objective, Objective)
    assert network.head.weight.grad is not None
    assert all(parameter.grad is None for parameter in network.trunk.parameters())
    assert 0 <= float(terms.facts["right"]) <= 1
    entropy, _ = objective.judge(network, batch.x[:1])
    assert 0 <= entropy["entropy"] <= math.log(2) + 1e-6


def test_batches_without_classes_teach_nothing():
    network = nn.Linear(3, 1)
    objective = Classifier(network, tuple(network.parameters()))

    with pytest.raises(SettingsError, match="targets"):
        objective.terms("probe", Batch(torch.zeros(1, 3), (0,)), 0)
    with pytest.raises(SettingsError, match="nothing to train"):
        Classifier(network, ())


def test_targets_go_with_their_patches_into_parts():
    batch = Batch(torch.arange(4.0)[:, None], (0, 1, 2, 3), targets=torch.arange(4))

    parts = list(_split(batch, 2))

    assert [part.targets.tolist() for part in parts] == [[0, 1], [2, 3]]


def test_a_recipe_for_a_codec_is_no_recipe_for_a_probe():
    probe = build_probe("small-2d")

    assert len(build(recipe(), probe).players()["probe"]) == 2
    full = recipe(objective=Classification(linear=False))
    assert len(build(full, probe).players()["probe"]) == len(list(probe.parameters()))
    with pytest.raises(SettingsError, match="plica evaluate probe"):
        build(recipe(), nn.Linear(2, 2))


# -- draws -----------------------------------------------------------------------------------------


def test_every_image_is_drawn_once_before_any_is_drawn_again():
    draws = Draws(images(10), recipe())

    drawn = [number for step in range(5) for number in draws.numbers(step)]

    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:]


def test_balanced_draws_give_all_classes_equal_chances():
    targets = np.array([0] * 90 + [1] * 10, dtype=np.int64)
    rare = Labelled(lambda n: np.zeros(1, np.float32), targets)
    draws = Draws(rare, recipe(objective=Classification(balanced=True), batch=100))

    share = np.mean([targets[draws.numbers(step)].mean() for step in range(20)])

    assert 0.45 < share < 0.55


def test_processes_share_a_batch_and_a_stream_can_begin_anywhere():
    draws = Draws(images(10), recipe())

    assert draws.numbers(3) == draws.numbers(3, 0, 2) + draws.numbers(3, 1, 2)
    whole = list(draws.stream(0, 4, rank=0, world=1))
    rest = list(Draws(images(10), recipe()).stream(2, 4, rank=0, world=1))
    for (x, seeds, targets), (again, same, aims) in zip(whole[2:], rest, strict=True):
        assert np.array_equal(x, again)
        assert seeds == same
        assert np.array_equal(targets, aims)
        assert np.array_equal(targets, x[:, 0].astype(int) % 2)


def test_another_seed_draws_another_order():
    assert Draws(images(10), recipe()).numbers(0) != Draws(images(10), recipe(seed=1)).numbers(0)
