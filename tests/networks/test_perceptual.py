"""LPIPS is the authors' LPIPS, and its gradient can be trusted everywhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks.made import make_input, make_state, make_tensor

from plica.errors import SettingsError, UnusablePixels
from plica.networks.perceptual import BACKBONES, Perceptual, join_weights

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "perceptual"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "golden.npz") as values:
        return {key: torch.from_numpy(values[key]) for key in values.files}


@pytest.fixture(scope="module", params=BACKBONES)
def perceptual(request) -> Perceptual:
    """LPIPS with made weights that came under their published keys."""
    keys = json.loads((GOLDEN / "lpips.keys.json").read_text())[request.param]
    classifier = make_state(keys["features"]) | {"classifier.6.bias": torch.zeros(1000)}
    linear = {key: make_tensor(key, shape).abs() for key, shape in keys["linear"].items()}
    network = Perceptual(network=request.param)
    network.load_state_dict(join_weights(classifier, linear))
    return network


def pair(size):
    x = make_input("lpips:x", (2, 3, *size))
    return x, 0.7 * x + 0.3 * make_input("lpips:y", (2, 3, *size))


@pytest.mark.parametrize("size", [(64, 64), (47, 90)])
def test_the_distance_and_its_gradient_are_those_of_the_authors(perceptual, golden, size):
    x, y = pair(size)
    y.requires_grad_()
    tag = f"{perceptual.network}:{size[0]}x{size[1]}"

    distance = perceptual(x, y)
    distance.sum().backward()

    torch.testing.assert_close(distance.detach(), golden[tag], rtol=1e-4, atol=1e-7)
    expected = golden[f"{tag}:gradient"]
    error = (y.grad[:, :, ::7, ::9] - expected).abs().max() / expected.abs().max()
    assert error < 1e-3


def test_nothing_differs_from_itself(perceptual):
    x, y = pair((40, 40))

    assert torch.equal(perceptual(x, x), torch.zeros(2))
    assert (perceptual(x, y) > 0).all()


def test_grey_is_the_same_as_three_equal_channels(perceptual):
    x, y = (picture[:, :1] for picture in pair((40, 40)))
    thrice = (picture.expand(-1, 3, -1, -1) for picture in (x, y))

    torch.testing.assert_close(perceptual(x, y), perceptual(*thrice))


def test_each_pair_is_judged_by_itself(perceptual):
    x, y = pair((40, 40))

    torch.testing.assert_close(perceptual(x, y)[1:], perceptual(x[1:], y[1:]))


def test_where_no_feature_answers_the_gradient_is_finite(perceptual):
    silent = Perceptual(network=perceptual.network)
    silent.load_state_dict({k: torch.zeros_like(v) for k, v in perceptual.state_dict().items()})
    x, y = pair((40, 40))
    y.requires_grad_()

    silent(x, y).sum().backward()

    assert torch.equal(y.grad, torch.zeros_like(y))


def test_it_is_frozen_and_stays_in_evaluation():
    perceptual = Perceptual(network="alexnet")
    nn = torch.nn.Sequential(perceptual).train()

    assert not perceptual.training
    assert not any(parameter.requires_grad for parameter in nn.parameters())


def test_the_first_picture_gets_no_gradient(perceptual):
    x, y = pair((40, 40))
    x.requires_grad_()

    assert not perceptual(x, y).requires_grad


def test_under_autocast_it_stays_close(perceptual):
    x, y = pair((40, 40))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = perceptual(x, y)

    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, perceptual(x, y), rtol=0.1, atol=0)


def test_a_copy_of_the_linear_layers_has_numbers_for_keys():
    joined = join_weights({}, {"3.weight": torch.ones(1, 512, 1, 1)})

    assert list(joined) == ["lin3.model.1.weight"]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_least_side_is_the_least_that_runs(backbone):
    perceptual = Perceptual(network=backbone)
    side = perceptual.least_side
    x = torch.zeros(1, 1, side, side + 3)
    assert perceptual(x, x).shape == (1,)

    with pytest.raises(UnusablePixels, match=f"at least {side} pixels"):
        perceptual(x[:, :, 1:], x[:, :, 1:])
    perceptual.least_side = 1
    with pytest.raises(RuntimeError):
        perceptual(x[:, :, 1:], x[:, :, 1:])


@pytest.mark.parametrize(
    "shapes", [((1, 2, 32, 32),) * 2, ((1, 1, 32, 32), (1, 3, 32, 32)), ((1, 1, 8, 32, 32),) * 2]
)
def test_what_is_no_pair_of_pictures_is_refused(shapes):
    perceptual = Perceptual(network="squeezenet")

    with pytest.raises(UnusablePixels, match="shapes"):
        perceptual(*(torch.zeros(shape) for shape in shapes))


def test_an_unknown_backbone_is_refused():
    with pytest.raises(SettingsError, match="vgg16, alexnet, squeezenet"):
        Perceptual(network="vgg19")
