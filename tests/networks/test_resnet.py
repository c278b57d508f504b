"""ResNet-50 is torchvision's or Keras', and a file is never read as the other."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden.distribution.made import make_input, make_state

from plica.errors import UnusablePixels
from plica.networks.resnet import ResNet50, trunk

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "distribution"
KEYS = json.loads((GOLDEN / "keys.json").read_text())
# torchvision's modules in order, as nn.Sequential numbers them
NUMBERS = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


def build(form):
    with torch.device("meta"):
        network = ResNet50(form=form)
    network.load_state_dict(trunk(make_state(KEYS[f"resnet {form}"])), assign=True)
    return network


def expect(form):
    with np.load(GOLDEN / "golden.npz") as golden:
        return torch.from_numpy(golden[f"resnet {form}"])


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_features_are_those_of_the_published_form(form):
    network, expected = build(form), expect(form)

    with torch.inference_mode():
        features = network(make_input("resnet", (2, 3, 64, 80)))

    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


def test_the_two_forms_are_two_networks():
    apart = (expect("keras") - expect("torch")).abs().mean()

    assert apart > 0.1 * expect("torch").std()


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_numbered_modules_get_their_names(form):
    state = make_state(KEYS[f"resnet {form}"])
    numbered = {
        f"backbone.{NUMBERS[head]}.{rest}": value
        for head, _, rest in (key.partition(".") for key in state)
        for value in [state[f"{head}.{rest}"]]
    }

    assert trunk(numbered).keys() == trunk(state).keys() == ResNet50(form=form).state_dict().keys()


def test_only_biases_tell_the_forms_apart():
    keras, torchvision = (KEYS[f"resnet {form}"] for form in ("keras", "torch"))

    assert {key: keras[key] for key in torchvision} == torchvision
    assert {key.rpartition(".")[2] for key in keras.keys() - torchvision.keys()} == {"bias"}


def test_classifier_and_counters_are_left_out():
    state = {"fc.weight": 1, "bn1.num_batches_tracked": 2, "conv1.weight": 3}

    assert trunk({k: torch.tensor(v) for k, v in state.items()}).keys() == {"conv1.weight"}


def test_it_is_frozen_and_takes_three_channels():
    network = build("torch")

    assert not network.train().training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(UnusablePixels, match="3 channels"):
        network(torch.zeros(1, 1, 64, 64))
