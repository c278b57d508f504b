"""Recipes are found by name, changed by dotted names, and read again strictly."""

import pytest

from plica.errors import SettingsError, UnknownName
from plica.training.recipe import Optimiser, Projection, Recipe
from plica.training.recipes import (
    change,
    find_recipe,
    list_recipes,
    parse_changes,
    read_recipe,
    shrink,
)

RECIPE = Recipe("one", "One.", {"kind": "kl", "widths": (32, 64)}, steps=10, batch=2)


def test_those_of_other_commands_are_not_listed():
    assert "linear" not in {listed.name for listed in list_recipes()}
    assert find_recipe("vq-4x3-2d").is_file()


def test_a_name_that_is_nearly_one_is_answered_with_it():
    with pytest.raises(UnknownName, match="did you mean medvae-4x1-3d"):
        find_recipe("medvae-4x1-3D")
    with pytest.raises(UnknownName, match=r"there are \d+: compact"):
        find_recipe("xyzzy")


def test_a_path_is_read_as_it_is(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "m"\nsummary = ""\nsteps = 1\nbatch = 1\n[network]\nkind = "kl"\n')

    assert read_recipe(path).name == "m"
    with pytest.raises(UnknownName, match="plica train --list"):
        read_recipe(tmp_path / "other.toml")


def test_changes_reach_any_depth_and_leave_the_rest():
    changed = change(
        RECIPE, {"optimiser.rate": 0.5, "data.augmentation.flips": [1], "network.widths": [8]}
    )

    assert (changed.optimiser.rate, changed.data.augmentation.flips) == (0.5, (1,))
    assert changed.network == {"kind": "kl", "widths": (8,)}
    assert change(changed, {"optimiser.rate": RECIPE.optimiser.rate}).optimiser == Optimiser()


def test_another_objective_forgets_the_settings_of_the_first():
    changed = change(RECIPE, {"objective.kl": 1e-6, "objective.adversary.weight": 1.0})

    projection = change(changed, {"objective.kind": "projection", "objective.divisor": 2.0})
    assert projection.objective == Projection(divisor=2.0)


@pytest.mark.parametrize("name", ["optimizer.rate", "objective.adversary.weihgt", "step"])
def test_a_misspelt_name_is_refused(name):
    with pytest.raises(SettingsError, match="no setting"):
        change(RECIPE, {name: 1})


def test_values_on_the_command_line_are_those_of_toml_or_words():
    assert parse_changes(["a=1", "b.c=1e-3", "d=[1, 2]", "e=true", "f=../images", "g=a=b"]) == {
        "a": 1, "b.c": 1e-3, "d": [1, 2], "e": True, "f": "../images", "g": "a=b",
    }  # fmt: skip
    assert parse_changes(None) == {}
    with pytest.raises(SettingsError, match="NAME=VALUE"):
        parse_changes(["=3"])


def test_a_recipe_without_a_smoke_scale_has_none():
    with pytest.raises(SettingsError, match=r"\[smoke\].*steps = 6.*data\.validation_cases"):
        shrink(RECIPE)
