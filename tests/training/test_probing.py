"""Probing: a probe finds what an image holds, loses what a codec lost, and can be interrupted."""

import os
import shutil
import signal
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tests.training.checks import FINE, read_pictures, write_pictures

import plica
from plica.errors import InputError, SettingsError, TrainingInterrupted, UnreadableFile
from plica.evaluation.roc import auroc
from plica.training.cache import Cache
from plica.training.checkpoint import list_steps, load, locate, save
from plica.training.engine import Engine
from plica.training.loop import CHECKPOINTS
from plica.training.probing import PREDICTIONS, Course, plan_for
from plica.training.views import Sight, View, Views, list_subjects

ENGINE = Engine("cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), patients=48)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def show(pictures, cache, codec=None):
    cohort = read_pictures(pictures)
    views = Views(Sight(2), cache)
    subjects = list_subjects(cohort.cases, Sight(2))
    shown = [
        views.of_image(one) if codec is None else views.of_codec(one, plica.load(codec))
        for one in subjects
    ]
    targets = np.array([case.labels["texture"] == FINE for case in cohort], dtype=np.int64)
    splits = [case.split for case in cohort]
    train, test = ([n for n, s in enumerate(splits) if s == name] for name in ("train", "dev-test"))
    return shown, targets, train, test


def course(pictures, cache, codec=None, **changes):
    views, targets, train, test = show(pictures, cache, codec)
    plan = plan_for(
        changes.pop("probe", "pooled-2d"), classes=2, linear=changes.pop("linear", True), **changes
    )
    return Course(plan, views, targets, train, test, engine=ENGINE, cache=cache)


def ask(made, folder, targets, seed=0):
    found = made.fit(seed, folder, name="x")
    return auroc(targets.astype(bool), found[:, 1])


def test_what_only_full_resolution_holds_is_lost_by_every_interpolation(pictures, cache, tmp_path):
    """The truth: single pixels alternate, and no coarser lattice can say so."""
    _, targets, _, test = show(pictures, cache)
    found = {
        codec: ask(course(pictures, cache, codec, epochs=60), tmp_path / str(codec), targets[test])
        for codec in (None, "bicubic-4x-2d", "bilinear-4x-2d", "nearest-4x-2d")
    }

    assert found[None] == 1.0
    for codec in ("bicubic-4x-2d", "bilinear-4x-2d", "nearest-4x-2d"):
        assert 0.15 < found[codec] < 0.85, codec


def test_full_training_finds_it_too(pictures, cache, tmp_path):
    _, targets, _, test = show(pictures, cache)
    made = course(pictures, cache, probe="small-2d", linear=False, epochs=8)

    assert ask(made, tmp_path / "run", targets[test]) > 0.9


def test_one_seed_gives_one_probe_and_another_another(pictures, cache, tmp_path):
    made = [course(pictures, cache, epochs=3) for _ in range(3)]

    first = made[0].fit(0, tmp_path / "a", name="x")
    again = made[1].fit(0, tmp_path / "b", name="x")
    other = made[2].fit(1, tmp_path / "c", name="x")

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.allclose(first.sum(1), 1)


def test_the_features_that_are_kept_are_what_the_trunk_gives(pictures, cache):
    made = course(pictures, cache, probe="small-2d", epochs=2)
    made.look()
    trunk = made._build(0).eval().trunk

    with torch.no_grad():
        seen = {n: trunk(torch.from_numpy(made.load(n))[None])[0].numpy() for n in range(48)}
    learnt = np.stack([seen[n] for n in made._train])
    for number in (*made._train[:3], *made._test[:3]):
        expected = (seen[number] - learnt.mean(0)) / learnt.std(0)
        assert np.allclose(made._features[number], expected, atol=1e-3)


def test_features_are_computed_once_for_all_seeds_and_runs(pictures, cache, tmp_path, monkeypatch):
    made = course(pictures, cache, probe="small-2d", epochs=1)
    made.look()
    again = course(pictures, cache, probe="small-2d", epochs=1)
    monkeypatch.setattr(Course, "_run", None)  # would be called to compute them

    again.look()

    assert np.array_equal(again._features, made._features)


def test_a_fit_that_is_there_is_not_made_again(pictures, cache, tmp_path, monkeypatch):
    found = course(pictures, cache, epochs=2).fit(0, tmp_path / "run", name="x")
    monkeypatch.setattr("plica.training.probing.train", None)
    made = course(pictures, cache, epochs=2)

    assert np.array_equal(made.fit(0, tmp_path / "run", name="x"), found)
    (tmp_path / "run" / PREDICTIONS).unlink()
    assert np.array_equal(made.fit(0, tmp_path / "run", name="x"), found)  # from its weights
    (tmp_path / "run" / PREDICTIONS).write_text("{")
    with pytest.raises(UnreadableFile, match="delete it"):
        made.fit(0, tmp_path / "run", name="x")
    (tmp_path / "run" / PREDICTIONS).write_text('{"images": [], "probabilities": []}')
    with pytest.raises(SettingsError, match="about other images or classes"):
        made.fit(0, tmp_path / "run", name="x")
    (tmp_path / "run" / PREDICTIONS).unlink()
    shutil.rmtree(tmp_path / "run" / CHECKPOINTS)
    with pytest.raises(UnreadableFile, match="a finished run without a checkpoint"):
        made.fit(0, tmp_path / "run", name="x")


def test_a_fit_whose_last_checkpoint_is_damaged_is_not_answered_by_an_earlier_one(
    pictures, cache, tmp_path
):
    made = course(pictures, cache, epochs=2)
    made.fit(0, tmp_path / "run", name="x")
    (tmp_path / "run" / PREDICTIONS).unlink()
    folder = tmp_path / "run" / CHECKPOINTS
    last = load(folder, list_steps(folder)[-1])
    save(folder, last.contents, replace(last.record, step=1))
    (locate(folder, last.record.step) / "network.safetensors").write_bytes(b"")
    with pytest.raises(UnreadableFile, match="delete that checkpoint"):
        made.fit(0, tmp_path / "run", name="x")


def test_a_run_of_other_settings_is_not_gone_on_with(pictures, cache, tmp_path):
    course(pictures, cache, epochs=2).fit(0, tmp_path / "run", name="x")

    with pytest.raises(SettingsError, match="steps"):
        course(pictures, cache, epochs=3).fit(0, tmp_path / "run", name="x")
    with pytest.raises(SettingsError, match="inputs"):
        course(pictures, cache, "bicubic-4x-2d", epochs=2).fit(0, tmp_path / "run", name="x")


class Stopping:
    """A watcher that asks for a stop, as Ctrl-C does."""

    def __init__(self, at):
        self.at = at

    def advanced(self, progress):
        if progress.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)

    def logged(self, step, numbers):
        pass

    def judged(self, step, means, best):
        pass

    def said(self, sentence):
        pass


@pytest.mark.parametrize("linear", [True, False])
def test_an_interrupted_fit_goes_on_to_the_same_probe(pictures, cache, tmp_path, linear):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals come to the main thread alone")
    changes = {"probe": "small-2d", "linear": linear, "epochs": 3}
    whole = course(pictures, cache, **changes).fit(0, tmp_path / "whole", name="x")
    cut = course(pictures, cache, **changes)

    with pytest.raises(TrainingInterrupted):
        cut.fit(0, tmp_path / "cut", name="x", watcher=Stopping(2))
    rest = course(pictures, cache, **changes).fit(0, tmp_path / "cut", name="x")

    assert np.array_equal(rest, whole)


def test_codes_of_several_channels_are_averaged_or_all_shown(pictures, cache):
    mean = course(pictures, cache, "linear-4x3-2d", epochs=1)
    every = course(pictures, cache, "linear-4x3-2d", epochs=1, channels="all")

    assert (mean.shape, every.shape) == ((1, 8, 8), (3, 8, 8))
    raw = every._views[0].open()[..., 0].transpose(0, 2, 1)
    assert np.allclose(mean._raw(0)[0], raw.mean(0), atol=1e-6)


def test_inputs_are_standardised_by_the_training_images_alone(pictures, cache):
    made = course(pictures, cache)

    train = np.stack([made.load(number) for number in made._train])
    test = np.stack([made.load(number) for number in made._test])
    assert abs(train.mean()) < 1e-5
    assert abs(train.std() - 1) < 1e-5
    assert abs(test.mean()) > 1e-5


def test_volumes_are_given_as_they_lie(tmp_path):
    def make(number):
        values = np.random.default_rng(number).normal(size=(1, 6, 5, 4)).astype(np.float32)
        return values, {"shape": values.shape, "content": str(number)}

    views = [View.of(Cache(tmp_path).fetch(str(n), partial(make, n))) for n in range(3)]
    plan = plan_for("pooled-3d", classes=2, linear=True)

    made = Course(plan, views, np.array([0, 1, 1]), [0, 1], [2], engine=ENGINE, cache=tmp_path)

    assert made.shape == (1, 6, 5, 4)
    learnt = np.stack([make(n)[0] for n in range(2)])
    assert np.allclose(made.load(2), (make(2)[0] - learnt.mean()) / learnt.std(), atol=1e-4)


# -- refusing --------------------------------------------------------------------------------------


def test_what_cannot_be_learnt_is_refused(pictures, cache):
    views, targets, train, test = show(pictures, cache)
    plan = plan_for("pooled-2d", classes=2, linear=True)
    ones = np.ones_like(targets)
    with pytest.raises(InputError, match="class number 0 has no image among the 32"):
        Course(plan, views, ones, train, test, engine=ENGINE)
    smaller = show(pictures, cache, "bicubic-4x-2d")[0]
    with pytest.raises(InputError, match="--size"):
        Course(plan, [*views[:-1], smaller[0]], targets, train, test, engine=ENGINE)
    large = plan_for("hrnet-w64", classes=2, linear=True)
    with pytest.raises(InputError, match=r"sides \(8, 8\), but hrnet-w64 needs 32"):
        Course(large, smaller, targets, train, test, engine=ENGINE)
    with pytest.raises(SettingsError, match="an epoch"):
        plan_for("pooled-2d", classes=2, linear=True, epochs=-1)
