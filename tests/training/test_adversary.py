"""The adversary: hinge by hand, λ by small steps, a discriminator that learns in its turn."""

import copy

import numpy as np
import pytest
import torch
from tests.training.small import Critic
from torch import nn

from plica.training.adversary import Opponent, weigh
from plica.training.objective import alone
from plica.training.pictures import choose_cuts


class Brightness(nn.Module):
    """Logits that are the picture itself: what the hinge does to them is plain."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.gain * x


def test_the_hinge_is_as_by_hand():
    x = torch.tensor([[[[2.0, 0.5], [-1.0, 0.0]]]])
    y = torch.tensor([[[[-3.0, -0.5], [1.0, 0.0]]]])
    loss, facts = Opponent(Brightness()).learn(x, y, ())

    real = (0 + 0.5 + 2 + 1) / 4
    fake = (0 + 0.5 + 2 + 1) / 4
    assert float(loss.detach()) == pytest.approx((real + fake) / 2)
    assert float(facts["logits_real"]) == pytest.approx(x.mean().item())
    assert float(facts["logits_fake"]) == pytest.approx(y.mean().item())


def test_the_decoder_pays_for_what_is_told_from_an_image():
    y = torch.tensor([[[[-3.0, -0.5], [1.0, 0.0]]]], requires_grad=True)
    cost = Opponent(Brightness()).resist(y, ())
    cost.backward()

    assert float(cost.detach()) == pytest.approx(2.5 / 4)
    torch.testing.assert_close(y.grad, torch.full((1, 1, 2, 2), -0.25))


def test_the_discriminator_learns_in_its_own_turn_alone():
    critic = Critic()
    opponent = Opponent(critic)
    before = copy.deepcopy(critic.state_dict())
    y = torch.randn(4, 1, 8, 8, requires_grad=True)
    critic.eval()
    opponent.resist(y, ()).backward()

    assert y.grad.abs().sum() > 0
    assert all(
        parameter.grad is None and parameter.requires_grad for parameter in critic.parameters()
    )
    for key, value in critic.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert not critic.training

    loss, _ = opponent.learn(torch.randn(4, 1, 8, 8), y, ())
    grad = y.grad.clone()
    loss.backward()
    changed = {k for k, v in critic.state_dict().items() if not torch.equal(v, before[k])}
    assert critic.training
    assert changed == {
        f"layers.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert all(parameter.grad is not None for parameter in critic.parameters())
    assert torch.equal(y.grad, grad)


def test_both_sides_see_pictures_normalised_by_their_own_statistics():
    critic = Critic()
    y = 5 + 3 * torch.randn(4, 1, 8, 8)
    cost = Opponent(critic).resist(y, ())
    reference = copy.deepcopy(critic).train()

    assert float(cost) == pytest.approx(-float(reference(y).detach().mean()), rel=1e-5)


def test_slices_of_volumes_are_judged_one_by_one():
    x, y = torch.randn(2, 1, 4, 4, 4), torch.randn(2, 1, 4, 4, 4)
    cuts = choose_cuts((4, 4, 4), (1, 2), axes=(0, 1, 2), share=1.0)
    loss, _ = Opponent(Brightness()).learn(x, y, cuts)
    expected = (np.maximum(0, 1 - x.numpy()).mean() + np.maximum(0, 1 + y.numpy()).mean()) / 2

    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def make_terms(w, x):
    y = nn.functional.conv2d(x, w, padding=1)
    return (y - x).abs().mean(), -(y.sigmoid() - 0.3).square().mean()


def test_the_adaptive_weight_is_the_ratio_of_the_gradients_found_by_small_steps():
    torch.manual_seed(0)
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    w = nn.Parameter(torch.randn(1, 1, 3, 3, dtype=torch.float64))
    found = weigh(*make_terms(w, x), w, alone)

    slopes = np.zeros((2, 9))
    for place in range(9):
        step = torch.zeros(9, dtype=torch.float64)
        step[place] = 1e-6
        with torch.no_grad():
            up, down = (make_terms(w + sign * step.view(1, 1, 3, 3), x) for sign in (1, -1))
        slopes[:, place] = [(float(a) - float(b)) / 2e-6 for a, b in zip(up, down, strict=True)]
    norms = np.linalg.norm(slopes, axis=1)

    assert float(found) == pytest.approx(norms[0] / (norms[1] + 1e-4), rel=1e-5)
    assert not found.requires_grad


def test_the_adaptive_weight_is_bounded_where_the_adversary_is_flat():
    w = nn.Parameter(torch.ones(1))

    assert float(weigh((1e9 * w).sum(), (0 * w).sum(), w, alone)) == 1e4


def test_the_adaptive_weight_is_one_where_the_last_layer_is_frozen():
    w, v = nn.Parameter(torch.ones(1), requires_grad=False), nn.Parameter(torch.ones(1))

    assert float(weigh((2 * v).sum(), v.sum(), w, alone)) == 1


def test_gradients_are_averaged_over_processes_before_their_norms_are_taken():
    w = nn.Parameter(torch.tensor([1.0, 1.0]))
    # the other process's gradients, of reconstruction and adversary in turn
    others = iter([torch.tensor([-3.0, 0.0]), torch.tensor([0.0, 1.0])])
    found = weigh(3 * w[0] + 4 * w[1], w[1], w, lambda gradient: (gradient + next(others)) / 2)

    assert float(found) == pytest.approx(2.0, rel=1e-3)
