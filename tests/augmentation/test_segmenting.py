"""The small demonstration: labels by rule, equal training for every arm, patients held out."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from plica.augmentation.rules import LABELS, draw_air_and_dense
from plica.augmentation.segmenting import Scale, Slice, Training, build_network, judge_arms, train
from plica.errors import InputError, MissingExtra, UnusablePixels
from plica.grid import Grid
from plica.image import Image, Unit

MM = 2.0


def draw_body(side=96):
    """A body of water with a lung, a bone, a bubble too small to count; air and a table outside."""
    values = np.full((side, side), -1000, np.int16)
    i, j = np.mgrid[:side, :side]
    values[(i - 48) ** 2 + (j - 44) ** 2 < 36**2] = 40
    values[(i - 36) ** 2 + (j - 44) ** 2 < 10**2] = -850
    values[(i - 62) ** 2 + (j - 44) ** 2 < 7**2] = 700
    values[48, 70] = -900
    values[:, 90:92] = 300
    return Image(values[None, :, :, None], Grid.from_spacing((side, side, 1), (MM, MM, 3)), Unit.HU)


@pytest.mark.skipif(find_spec("scipy") is None, reason="rules need it; it comes with 'eval'")
def test_the_rule_finds_air_and_bone_inside_the_body_and_nothing_outside():
    image = draw_body()
    labels = draw_air_and_dense(image).pixels[0, :, :, 0]
    values = image.pixels[0, :, :, 0]
    np.testing.assert_array_equal(labels == LABELS["air"], values == -850)
    bone = values == 700
    assert (labels[bone] == LABELS["dense"]).all()
    extra = (labels == LABELS["dense"]) & ~bone
    assert extra.sum() <= 12  # closed by 2 mm, which is one voxel here
    assert not labels[:, 85:].any()


@pytest.mark.skipif(find_spec("scipy") is None, reason="rules need it; it comes with 'eval'")
def test_the_rule_refuses_what_has_no_hounsfield_units_or_no_body():
    image = draw_body()
    with pytest.raises(UnusablePixels, match="Hounsfield"):
        draw_air_and_dense(image.with_pixels(image.pixels, unit=Unit.RELATIVE))
    with pytest.raises(UnusablePixels, match="no body"):
        draw_air_and_dense(image.with_pixels(np.full_like(image.pixels, -1000)))
    tall = np.repeat(image.pixels, 2, axis=3)
    with pytest.raises(InputError, match="one slice"):
        draw_air_and_dense(Image(tall, Grid.from_spacing(tall.shape[1:]), Unit.HU))


def make_slices(patients=4):
    """Discs at other places in each patient, in two views that are the same."""
    slices = []
    for number in range(patients):
        i, j = np.mgrid[:48, :40]
        inside = (i - 20 - 2 * number) ** 2 + (j - 20) ** 2 < 100
        noise = np.random.default_rng(number).normal(0, 20, inside.shape)
        values = np.where(inside, 100 + noise, -100).astype(np.float32)
        slices.append(
            Slice(
                key=(f"p{number}", "", "0"),
                views={"raw": values, "reconstructed": values},
                labels=inside.astype(np.uint8),
                grid=Grid.from_spacing((48, 40, 1)),
                trainable=number < 3,
            )
        )
    return slices


TRAINING = Training(classes=2, steps=20, crop=32, batch=2)
FOLDS = (frozenset({"p0"}), frozenset({"p1"}), frozenset({"p2"}))


def test_every_arm_is_judged_on_every_slice_and_equal_views_give_equal_drawings():
    slices = make_slices()
    arms = {"raw": ["raw"], "reconstructed": ["reconstructed"]}
    drawn = judge_arms(slices, arms, FOLDS, TRAINING, judged_on="raw")
    assert set(drawn) == {(arm, n) for arm in arms for n in range(4)}
    for n, one in enumerate(slices):
        # Not a bit apart: arms start alike and see the same crops in the same order.
        np.testing.assert_array_equal(drawn["raw", n].pixels, drawn["reconstructed", n].pixels)
        found, truth = drawn["raw", n].pixels[0, :, :, 0] > 0, one.labels > 0
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.6


def test_a_held_out_patient_is_never_trained_on(monkeypatch):
    seen = []

    def watch(slices, views, training, scale):
        seen.append({one.patient for one in slices})
        return build_network(training).eval()

    monkeypatch.setattr("plica.augmentation.segmenting.train", watch)
    judge_arms(make_slices(), {"raw": ["raw"]}, FOLDS, TRAINING, judged_on="raw")
    assert seen == [{"p1", "p2"}, {"p0", "p2"}, {"p0", "p1"}]


def test_training_is_the_same_for_one_seed_and_leaves_the_random_state_alone():
    slices = make_slices()
    scale = Scale.of(slices, "raw")
    state = torch.random.get_rng_state()
    few = Training(classes=2, steps=2, crop=32)
    one, two = (train(slices, ["raw"], few, scale).state_dict() for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_scale_is_of_labelled_voxels_alone():
    scale = Scale.of(make_slices(), "raw")
    assert 40 < scale.low < 60 < scale.mean < 140 < scale.high < 160
    assert scale.deviation == pytest.approx(20, rel=0.1)
    blank = [Slice(s.key, s.views, np.zeros_like(s.labels), s.grid) for s in make_slices()]
    with pytest.raises(InputError, match="no label"):
        Scale.of(blank, "raw")


def test_without_monai_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.losses", None)
    with pytest.raises(MissingExtra, match=r"plica\[cad\]"):
        train((), (), Training(classes=2), Scale(0.0, 1.0, 0.5, 0.5))
