"""The moving average is what its formula says."""

import pytest
import torch
from tests.training.toy import Folding
from torch import nn

from plica.training.average import Average


def test_the_average_follows_its_formula():
    network = nn.Linear(1, 1, bias=False)
    weights = [1.0, 2.0, -3.0, 5.0]
    nn.init.constant_(network.weight, 10.0)
    average = Average(network, decay=0.25)
    expected = 10.0
    for step, weight in enumerate(weights):
        nn.init.constant_(network.weight, weight)
        average.update(network, step)
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
        assert average.network.weight.item() == pytest.approx(expected, rel=1e-6)


def test_the_first_weights_do_not_weigh_for_thousands_of_steps():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 100.0)
    average = Average(network, decay=0.9999)
    nn.init.constant_(network.weight, 1.0)
    for step in range(100):
        average.update(network, step)
    assert average.network.weight.item() == pytest.approx(1.0, abs=1e-3)


def test_the_average_is_a_copy_that_is_not_trained_and_takes_buffers_over():
    network = Folding()
    average = Average(network, decay=0.5)
    network.scale.fill_(3.0)
    average.update(network, 0)
    assert average.network.scale.item() == 3.0
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    assert all(p.requires_grad for p in network.parameters())
    assert torch.equal(network.down, Folding().down)
