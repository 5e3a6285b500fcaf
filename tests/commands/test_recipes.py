"""Every configuration and every recipe of a sweep is one that can be trained."""

import pytest

from fftdiff_jax.commands import config_flags
from fftdiff_jax.commands.config_flags import load_config, load_sweep
from fftdiff_jax.config import check
from tests.commands import ROOT

EXPERIMENTS = ROOT / "experiments"


def files(folder):
    return sorted(p for p in (EXPERIMENTS / folder).glob("*.py") if p.stem != "__init__")


def test_every_recipe_of_the_package_has_its_file():
    recipes = {path.stem for path in config_flags.RECIPES.glob("*.py")} - {"__init__"}
    assert {path.stem for path in files("configs")} == recipes


@pytest.mark.parametrize("path", files("configs"), ids=lambda path: path.stem)
def test_a_configuration_is_one_that_can_be_trained(path):
    check(load_config(str(path), ["--config.training.steps=7"]))


@pytest.mark.parametrize("path", files("sweeps"), ids=lambda path: path.stem)
def test_a_sweep_holds_recipes_that_differ_and_can_be_trained(path):
    recipes = load_sweep(str(path), ["--config.training.steps=7"])
    assert len(recipes) >= 2
    for recipe in recipes.values():
        check(recipe)
        assert recipe.training.steps == 7
    assert len(set(map(repr, recipes.values()))) == len(recipes)
