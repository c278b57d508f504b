"""Inception is FID's own: that of pytorch-fid and torch-fidelity."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden.distribution.made import make_input, make_state

from plica.errors import UnusablePixels
from plica.networks.inception import SIDE, Inception, trunk

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "distribution"
KEYS = json.loads((GOLDEN / "keys.json").read_text())["inception"]


@pytest.fixture(scope="module")
def network() -> Inception:
    with torch.device("meta"):
        made = Inception()
    made.load_state_dict(trunk(make_state(KEYS)), assign=True)
    return made


@pytest.mark.parametrize("program", ["torch-fidelity", "pytorch-fid"])
def test_features_are_those_of(program, network):
    with np.load(GOLDEN / "golden.npz") as golden:
        expected = torch.from_numpy(golden[program])
    x = (make_input("inception", (2, 3, SIDE, SIDE)) * 255).round() / 255

    with torch.inference_mode():
        features = network(x)

    assert float(expected.std()) > 0.1
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_the_published_file_s_keys_are_all_there():
    with torch.device("meta"):
        wanted = {key: list(value.shape) for key, value in Inception().state_dict().items()}
    published = {key: shape for key, shape in KEYS.items() if not key.startswith("fc.")}

    assert wanted == published


def test_classifier_and_counters_are_left_out():
    state = {"fc.weight": 0, "Conv2d_1a_3x3.bn.num_batches_tracked": 1, "AuxLogits.x": 2, "a.b": 3}

    assert trunk({key: torch.tensor(value) for key, value in state.items()}).keys() == {"a.b"}


def test_grey_is_seen_in_all_channels_and_the_gradient_reaches_it(network):
    x = make_input("grey", (1, 1, 96, 96)).requires_grad_()

    features = network(x)
    features.sum().backward()

    torch.testing.assert_close(features, network(x.expand(-1, 3, -1, -1)))
    assert float(x.grad.abs().sum()) > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.train().training


@pytest.mark.parametrize("shape", [(1, 2, 96, 96), (3, 96, 96), (1, 1, 74, 96)])
def test_what_is_no_picture_is_refused(shape, network):
    with pytest.raises(UnusablePixels, match="at least 75 pixels"):
        network(torch.zeros(shape))
