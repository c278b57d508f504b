"""A player's step is that of its terms: over the whole batch, clipped, and nobody else's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.toy import Squared, ramp

from plica.errors import WeightsError
from plica.training.engine import Engine
from plica.training.objective import Batch
from plica.training.players import Learner
from plica.training.recipe import Optimiser

ENGINE = Engine("cpu")


def make_batch(count=8):
    return Batch(torch.tensor(np.stack([ramp(3, n) for n in range(count)])), tuple(range(count)))


def learn(objective, *, parts=1, compare=False, player="codec", step=0, **settings):
    learner = Learner(player, objective, Optimiser(**{"rate": 1e-2, **settings}), steps=10)
    turn = learner.learn(make_batch(), step, engine=ENGINE, parts=parts, compare=compare)
    return learner, turn


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_parts_give_the_gradient_of_the_whole(parts):
    whole, split = Squared(), Squared()
    _, at_once = learn(whole)
    learner, in_parts = learn(split, parts=parts)
    for mine, its in zip(split.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-5, atol=1e-8)
    term = ("term", "squared")
    assert float(in_parts.numbers[term]) == pytest.approx(float(at_once.numbers[term]), rel=1e-6)
    assert all(p.grad is not None for p in learner.parameters)


def test_the_gradient_is_that_of_the_sum_of_the_terms():
    objective = Squared()
    learn(objective)
    fresh = Squared()
    fresh.terms("codec", make_batch(), 0).total.backward()
    assert torch.equal(objective.network.up.grad, fresh.network.up.grad)


def test_the_gradient_is_clipped_and_logged_as_it_was_before():
    free, clipped = Squared(), Squared()
    _, turn = learn(free)
    norm = float(turn.numbers["norm", "gradient"])
    _, turn = learn(clipped, clip=norm / 4)
    assert float(turn.numbers["norm", "gradient"]) == pytest.approx(norm)
    left = torch.cat([p.grad.flatten() for p in clipped.network.parameters()]).norm()
    assert float(left) == pytest.approx(norm / 4, rel=1e-3)


def test_a_player_leaves_the_other_players_gradients_alone():
    objective = Squared(critic=True)
    learn(objective, step=5)
    assert objective.critic.weight.grad is None
    before = objective.network.up.grad.clone()
    learn(objective, step=5, player="discriminator")
    assert objective.critic.weight.grad is not None
    assert torch.equal(objective.network.up.grad, before)


def test_shares_of_the_gradient_are_measured_at_the_probe():
    objective = Squared(critic=True)
    _, turn = learn(objective, step=5, compare=True)
    fresh = Squared(critic=True)
    terms = fresh.terms("codec", make_batch(), 5).parts
    norms = {
        name: torch.autograd.grad(term, fresh.network.up, retain_graph=True)[0].norm()
        for name, term in terms.items()
    }
    for name, norm in norms.items():
        share = float(turn.numbers["share", name])
        assert share == pytest.approx(float(norm / sum(norms.values())), rel=1e-5)
    # The toy's critic is a tenth as strong as the other by construction.
    assert float(turn.numbers["share", "critic"]) == pytest.approx(1 / 11, rel=1e-4)
    _, turn = learn(Squared(), compare=False)
    assert "share" not in {kind for kind, _ in turn.numbers}


def test_a_term_that_nothing_can_be_learnt_from_has_no_share():
    class Offset(Squared):
        def terms(self, player, batch, step):
            terms = super().terms(player, batch, step)
            return replace(terms, parts={**terms.parts, "offset": torch.tensor(2.0)})

    _, turn = learn(Offset(), compare=True)

    assert float(turn.numbers["term", "offset"]) == 2.0
    assert {name for kind, name in turn.numbers if kind == "share"} == {"squared"}


def test_the_rate_is_the_schedules():
    _, turn = learn(Squared(), warmup=4, step=1)
    assert turn.numbers["rate", "rate"] == pytest.approx(0.5e-2)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_an_optimisers_memory_goes_with_its_player(kind):
    one, other = Squared(), Squared()
    learner, _ = learn(one, kind=kind, weight_decay=0.1)
    twin = Learner("codec", other, Optimiser(kind=kind, rate=1e-2, weight_decay=0.1), steps=10)
    twin.restore({name: tensor.clone() for name, tensor in learner.state().items()})
    other.network.load_state_dict(one.network.state_dict())
    for each in (learner, twin):
        each.learn(make_batch(), 1, engine=ENGINE, parts=1, compare=False)
    assert torch.equal(one.network.up, other.network.up)


def test_a_memory_of_other_parameters_is_refused():
    learner, _ = learn(Squared())
    state = learner.state()
    state["0.exp_avg"] = torch.zeros(2)
    with pytest.raises(WeightsError, match="memory of other parameters"):
        learner.restore(state)
    for key in ("7.exp_avg", "0.step", "first.exp_avg", "-1.exp_avg", ""):
        with pytest.raises(WeightsError, match="memory of other parameters"):
            learner.restore({key: torch.zeros(2)})


def test_bfloat16_computes_in_it_and_keeps_the_weights_whole():
    seen = []

    class Watched(Squared):
        def terms(self, player, batch, step):
            terms = super().terms(player, batch, step)
            seen.append(self.network(batch.x).dtype)
            return terms

    objective = Watched()
    learner = Learner("codec", objective, Optimiser(rate=1e-2), steps=10)
    engine = Engine("cpu", "bfloat16")
    learner.learn(make_batch(), 0, engine=engine, parts=1, compare=True)
    assert seen == [torch.bfloat16]
    assert objective.network.up.dtype == objective.network.up.grad.dtype == torch.float32
