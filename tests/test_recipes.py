"""Recipes are whole: what they train is what they test, on other alphabets."""

import pytest
import torch

from mamlkit import FewShot, files
from mamlkit.recipes import RECIPES
from mamlkit.recipes.omniglot import OMNIGLOT
from mamlkit.recipes.omniglot_variants import OMNIGLOT_VARIANTS


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_trained_is_what_is_tested(name):
    recipe = RECIPES[name]
    recipe.tester().check_params("test", recipe.start(seed=0).init())
    assert recipe.trained_as in ("", *RECIPES)


@pytest.mark.parametrize("name", [*OMNIGLOT, *OMNIGLOT_VARIANTS])
def test_recipes_that_share_a_training_are_trained_alike(name):
    recipe = RECIPES[name]
    other = RECIPES[recipe.trained_as or name]
    assert recipe.learner().settings() == other.learner().settings()
    same = lambda training: {k: v for k, v in training.items() if k != "optimizer"}
    assert same(recipe.training) == same(other.training)
    assert recipe.training["optimizer"].keywords == other.training["optimizer"].keywords
    assert recipe.tasks.args == other.tasks.args and recipe.tasks.func is other.tasks.func


def test_an_omniglot_recipe_trains_and_tests(omniglot):
    recipe = RECIPES["omniglot-5way-5shot"]
    settings = {"iterations": 2, "tasks_per_batch": 1, "compile": False, "progress": False}
    run = recipe.train(seed=3, device="cpu", **settings)
    result = recipe.test(run.params, tasks=3, queries=2, device="cpu")
    assert result.values.shape == (3, 2) and (result.values[:, 0] == 0.2).all()
    start, end = (files.flatten(params) for params in (recipe.start(seed=3).init(), run.params))
    assert any(not torch.equal(start[key], value) for key, value in end.items())


def test_training_and_test_tasks_share_no_picture(omniglot):
    recipe = RECIPES["omniglot-5way-1shot"]
    training, test = recipe.tasks().episodes.images, recipe.test_tasks().images
    assert torch.equal(training, omniglot["background"].images)
    assert torch.equal(test, omniglot["evaluation"].images)


def test_other_tasks_can_take_the_recipes_place(alphabet):
    recipe, tasks = RECIPES["omniglot-5way-1shot"], FewShot(alphabet, 20, device="cpu")
    settings = {"iterations": 1, "tasks_per_batch": 1, "compile": False, "progress": False}
    run = recipe.train(distribution=tasks, device="cpu", **settings)
    five = FewShot(alphabet, 5, device="cpu")
    assert recipe.test(run.params, distribution=five, tasks=2, device="cpu").values.shape == (2, 2)
