"""Probes: the papers' classifiers are built with the papers' sizes; linear probes change a head."""

import sys

import pytest
import torch
from torch import nn

from plica.errors import MissingExtra, SettingsError, UnknownName, WeightsError
from plica.networks.probes import (
    PROBES,
    build_probe,
    find_probe,
    fit_stem,
    load_trunk,
    trained_parameters,
)

SMALL = ("small-2d", "small-3d", "pooled-2d", "pooled-3d")


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_hrnet_w64_has_126_million_parameters_for_one_channel_and_one_class():
    pytest.importorskip("timm", reason="timm comes with the extra 'cad'")
    with torch.device("meta"):
        probe = build_probe("hrnet-w64", in_channels=1, classes=1)

    assert count(probe) == 126_011_841
    assert count(probe.head) == 2048 + 1


def test_seresnet_152_has_124_million_parameters_in_three_dimensions():
    pytest.importorskip("monai", reason="monai comes with the extra 'cad'")
    with torch.device("meta"):
        probe = build_probe("seresnet-152", in_channels=1, classes=1)

    assert round(count(probe) / 1e6, 1) == 124.0
    assert not any(isinstance(module, nn.Dropout) for module in probe.modules())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 5)])
def test_small_probes_give_a_logit_for_each_class(name, channels, classes):
    probe = build_probe(name, in_channels=channels, classes=classes)
    side = PROBES[name].least
    for sides in (side, 16):
        x = torch.randn(2, channels, *(sides,) * PROBES[name].dims)

        assert probe(x).shape == (2, classes)


def test_pooled_features_see_fine_detail_that_a_mean_does_not():
    probe = build_probe("pooled-2d")
    board = torch.ones(1, 1, 24, 24)
    board[..., ::2, 1::2] = board[..., 1::2, ::2] = -1

    fine, flat = probe.trunk(board), probe.trunk(torch.zeros(1, 1, 24, 24))

    cells = 36
    assert torch.allclose(fine[:, :cells], flat[:, :cells])
    assert (fine[:, cells:] - flat[:, cells:]).min() > 0.9


def test_a_linear_probe_trains_the_head_and_moves_no_statistic_of_the_trunk():
    trunk = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))
    probe = build_probe("small-2d")
    probe.trunk = nn.Sequential(trunk, nn.Flatten())
    probe.head = nn.Linear(4, 1)
    linear = {id(p) for p in trained_parameters(probe, linear=True)}
    for parameter in probe.parameters():
        parameter.requires_grad_(id(parameter) in linear)
    before = {name: value.clone() for name, value in probe.trunk.state_dict().items()}

    probe.train()
    probe(torch.randn(8, 1, 16, 16) + 5).sum().backward()

    assert len(linear) == 2
    assert all(torch.equal(value, before[name]) for name, value in probe.trunk.state_dict().items())
    assert probe.head.weight.grad is not None
    probe.trunk.requires_grad_(True)
    assert probe.train().trunk[0][1].training


def test_full_training_trains_everything():
    probe = build_probe("small-2d")

    assert len(trained_parameters(probe, linear=False)) == len(list(probe.parameters()))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_stem_for_three_colours_sees_equal_channels_as_it_saw_grey(channels):
    colours = nn.Conv2d(3, 5, 3, bias=False)
    fitted = nn.Conv2d(channels, 5, 3, bias=False)
    fitted.weight.data = fit_stem(colours.weight.data, fitted.weight)
    grey = torch.randn(1, 1, 9, 9)

    theirs = colours(grey.expand(-1, 3, -1, -1))
    ours = fitted(grey.expand(-1, channels, -1, -1))

    assert fitted.weight.shape == (5, channels, 3, 3)
    if channels == 1:
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_pretrained_trunk_is_taken_over_without_its_head():
    giver, taker = build_probe("small-2d", in_channels=3, classes=7), build_probe("small-2d")
    weights = {**giver.trunk.state_dict(), "classifier.weight": torch.zeros(7, 128)}

    load_trunk(taker, weights)

    stages = "stages.0.conv1.weight"
    for probe in (taker, build_probe("small-2d", weights=weights)):
        assert torch.equal(probe.trunk.state_dict()[stages], giver.trunk.state_dict()[stages])


def test_weights_of_another_network_are_refused_by_what_they_lack():
    probe = build_probe("small-2d")
    weights = dict(probe.trunk.state_dict())
    with pytest.raises(WeightsError, match="another network"):
        load_trunk(probe, {"conv.weight": torch.zeros(1)})
    weights["stages.0.conv1.weight"] = torch.zeros(1, 1, 3, 3)
    with pytest.raises(WeightsError, match=r"stages.0.conv1.weight has the shape \(1, 1, 3, 3\)"):
        load_trunk(probe, weights)


def test_what_no_probe_has_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'hrnet-w64'"):
        find_probe("hrnet-w46")
    with pytest.raises(SettingsError, match="a channel and a class"):
        build_probe("small-2d", classes=0)


@pytest.mark.parametrize(("name", "package"), [("hrnet-w64", "timm"), ("seresnet-152", "monai")])
def test_a_missing_library_is_named_with_its_extra(name, package, monkeypatch):
    for module in [one for one in sys.modules if one.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=rf"'{package}'.*plica\[cad\]"):
        build_probe(name)
