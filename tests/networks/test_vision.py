"""BiomedCLIP's tower is timm's transformer, and sees pictures as its authors show them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden.distribution import made as made_of_clip
from tests.networks.made import make_input, make_state

from plica.errors import SettingsError, UnusablePixels
from plica.networks.vision import VisionTower, clip_tower, image_tower, prepare

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "perceptual"
OF_CLIP = GOLDEN.with_name("distribution")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "golden.npz") as values:
        return {key: torch.from_numpy(values[key]) for key in values.files}


@pytest.fixture(scope="module")
def tower() -> VisionTower:
    network = VisionTower(side=32, patch=8, width=64, depth=3, heads=4, embedding=16)
    state = make_state(network)
    state["trunk.pos_embed"] *= 3
    network.load_state_dict(state)
    return network


def test_embeddings_and_their_gradient_are_those_of_timm(tower, golden):
    x = make_input("vision", (2, 3, 32, 32)).requires_grad_()

    embedding = tower(x)
    embedding.square().sum().backward()

    torch.testing.assert_close(embedding.detach(), golden["vision"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        x.grad[:, :, ::5, ::5], golden["vision:gradient"], rtol=1e-3, atol=1e-4
    )


def test_keys_and_shapes_are_those_of_the_published_tower():
    with torch.device("meta"):
        network = VisionTower()
    published = json.loads((GOLDEN / "biomedclip.keys.json").read_text())

    assert {key: list(value.shape) for key, value in network.state_dict().items()} == published


@pytest.mark.parametrize("size", [(50, 71), (20, 31), (32, 32), (33, 97), (64, 48)])
def test_pictures_are_prepared_as_torchvision_does(golden, size):
    x = make_input("prepare", (1, 1, *size)) * 1.3

    prepared = prepare(x, 32)

    assert prepared.shape == (1, 3, 32, 32)
    torch.testing.assert_close(
        prepared[0, :, ::3, ::5], golden[f"prepare:{size[0]}x{size[1]}"], rtol=1e-4, atol=1e-5
    )


def test_what_is_beyond_the_range_is_cut_unless_told_otherwise():
    x = torch.full((1, 1, 32, 32), 3.0)

    torch.testing.assert_close(prepare(x, 32), prepare(torch.ones_like(x), 32))
    assert (prepare(x, 32, clamp=False) > prepare(x, 32)).all()


def test_the_gradient_reaches_a_picture_of_any_size(tower):
    x = (0.9 * make_input("any", (1, 1, 40, 57))).requires_grad_()

    tower.embed(x).sum().backward()

    seen = x.grad[0, 0].abs().sum(0) > 0
    assert seen[12:45].all()  # the middle 40 of 57 columns, give or take the kernel's support
    assert not seen[:6].any()


def test_it_is_frozen_and_stays_in_evaluation(tower):
    torch.nn.Sequential(tower).train()

    assert not tower.training
    assert not any(parameter.requires_grad for parameter in tower.parameters())


def test_the_tower_is_taken_out_of_a_whole_checkpoint(tower):
    whole = {f"visual.{key}": value for key, value in tower.state_dict().items()}
    whole |= {"logit_scale": torch.ones(()), "text.proj.weight": torch.ones(2, 2)}

    assert image_tower(whole).keys() == tower.state_dict().keys()
    assert image_tower(tower.state_dict()).keys() == tower.state_dict().keys()


@pytest.mark.parametrize("shape", [(1, 2, 32, 32), (3, 32, 32), (1, 1, 8, 8, 8)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(UnusablePixels, match="1 or 3 channels"):
        prepare(torch.zeros(shape))


def test_a_patch_must_tile_the_picture():
    with pytest.raises(SettingsError, match="multiple of its patch"):
        VisionTower(side=30, patch=8)


# -- CLIP's own form -----------------------------------------------------------------------------


def test_embeddings_of_clip_are_those_of_open_clip():
    shapes = json.loads((OF_CLIP / "keys.json").read_text())["clip small"]
    network = VisionTower(
        side=32, patch=8, width=64, depth=3, heads=4, embedding=16, clip=True
    )  # fmt: skip
    network.load_state_dict(clip_tower(made_of_clip.make_state(shapes)))
    with np.load(OF_CLIP / "golden.npz") as golden:
        expected = torch.from_numpy(golden["clip"])

    embedding = network(made_of_clip.make_input("clip", (2, 3, 32, 32)) * 2 - 1)

    torch.testing.assert_close(embedding, expected, rtol=1e-4, atol=1e-4)


def test_keys_and_shapes_are_those_of_clip_s_published_tower():
    published = json.loads((OF_CLIP / "keys.json").read_text())["clip"]
    with torch.device("meta"):
        whole = {f"visual.{key}": torch.empty(shape) for key, shape in published.items()}
        whole["text_projection"] = torch.empty(512, 512)
        network = VisionTower(patch=32, clip=True)
    brought = clip_tower(whole)

    wanted = {key: value.shape for key, value in network.state_dict().items()}
    assert {key: value.shape for key, value in brought.items()} == wanted
