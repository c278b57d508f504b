"""What is out of range is refused by name; what decides the weights has a fingerprint."""

from dataclasses import replace

import pytest
from tests.training.toy import make_recipe

from plica import settings
from plica.errors import SettingsError
from plica.training.recipe import (
    Adversary,
    Data,
    Optimiser,
    Recipe,
    Reconstruction,
    Source,
    compare,
    fingerprint,
)
from plica.training.recipes import change


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("steps", 0, "steps: at least 1 was expected, but got 0"),
        ("accumulate", 3, "accumulate: the batch of 4 cannot be computed in 3 parts"),
        ("average", 1.0, "average: at least 0 and less than 1"),
        ("seed", -1, "seed: at least 0"),
        ("seed", 2**63, "seed: at least 0 and at most"),
        ("log_every", 0, "log_every: at least 1"),
        ("tolerance", float("nan"), "tolerance: at least 0 was expected, but got nan"),
        ("name", " ", "name: a recipe has a name"),
        ("optimiser.rate", 0.0, "optimiser.rate: more than 0"),
        ("optimiser.rate", float("inf"), "optimiser.rate: more than 0 was expected, but got inf"),
        ("optimiser.clip", float("inf"), "optimiser.clip"),
        ("data.augmentation.offset", 3.0, "data.augmentation.offset: at least 0 and at most 2"),
        ("data.augmentation.gamma", float("inf"), "data.augmentation.gamma"),
        ("optimiser.betas", [0.9, 1.0], "optimiser.betas: at least 0 and less than 1"),
        ("optimiser.warmup", -1, "optimiser.warmup: at least 0"),
        ("optimiser.final", 1.5, "optimiser.final: at least 0 and at most 1"),
        ("data.crop", 0, "data.crop: at least 1"),
        ("data.foreground", 1.1, "data.foreground"),
        ("data.unreadable", -0.1, "data.unreadable"),
        ("data.planes", [3], "data.planes: at least 0 and at most 2 was expected, but got 3"),
        ("data.planes", [1, 1], "data.planes: some of 0, 1, 2"),
        ("data.planes", [], "data.planes: some of 0, 1, 2"),
        ("data.validation", "train", "'train' is trained on"),
        ("data.augmentation.scale", [2.0, 1.0], "data.augmentation.scale: the least side comes"),
        ("data.augmentation.flips", [0, 0], "names an axis twice"),
        ("objective.kl", -1.0, "objective.kl: at least 0"),
        ("objective.slice_share", 0.0, "objective.slice_share: more than 0 and at most 1"),
        ("objective.slices", [2, 2], "objective.slices"),
        ("objective.adversary.layers", 0, "objective.adversary.layers"),
        ("objective.adversary.layers", 10**6, "objective.adversary.layers"),
        ("objective.adversary.optimiser.rate", -1.0, "objective.adversary.optimiser.rate"),
        ("start.adapters", -4, "start.adapters"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(name, value, sentence):
    with pytest.raises(SettingsError, match=sentence):
        change(make_recipe(), {name: value})


def test_sources_are_checked_each():
    sources = (Source("a"), Source("b", weight=0.0))
    with pytest.raises(SettingsError, match=r"data\.sources\.1\.weight: more than 0"):
        make_recipe(data=Data(sources=sources))
    with pytest.raises(SettingsError, match="two sources have one name"):
        make_recipe(data=Data(sources=(Source("a"), Source("a"))))


def test_a_recipe_survives_toml():
    recipe = make_recipe(objective=Reconstruction(adversary=Adversary(optimiser=Optimiser())))
    assert settings.parse(Recipe, settings.to_toml(recipe)) == recipe


def test_the_fingerprint_is_of_what_decides_the_weights():
    recipe = make_recipe()
    words = replace(
        recipe, name="other", summary="Other.", notes="…", licence="MIT", smoke={"steps": 3},
        log_every=7, evaluate_every=3, checkpoint_every=2,
        data=replace(recipe.data, cohort="elsewhere/"),
    )  # fmt: skip
    assert fingerprint(words) == fingerprint(recipe)
    assert compare(words, recipe) == []
    for other in (
        replace(recipe, seed=1),
        replace(recipe, steps=21),
        replace(recipe, network={"kind": "folding", "width": 3}),
        replace(recipe, data=replace(recipe.data, crop=16)),
    ):
        assert fingerprint(other) != fingerprint(recipe)
        assert len(compare(other, recipe)) == 1
    assert compare(recipe, replace(recipe, seed=1)) == [("seed", 0, 1)]


def test_recipes_of_before_they_could_leave_the_judging_split_open_are_still_the_same():
    recipe = make_recipe()
    said = replace(recipe, data=replace(recipe.data, validation="dev-test"))

    assert fingerprint(said) == fingerprint(recipe)
    assert compare(said, change(recipe, {"data.validation": "validation"})) == [
        ("data.validation", "dev-test", "validation")
    ]


def test_the_discriminator_may_have_an_optimiser_of_its_own():
    own = Optimiser(rate=0.5)
    recipe = make_recipe(objective=Reconstruction(adversary=Adversary(optimiser=own)))
    assert recipe.optimiser_of("discriminator") == own
    assert recipe.optimiser_of("codec") == recipe.optimiser
    assert make_recipe().optimiser_of("discriminator") == make_recipe().optimiser
