"""Named experiments, as data: what is learnt, by whom, for how long, and how it is judged."""

from mamlkit.recipes.omniglot import OMNIGLOT
from mamlkit.recipes.omniglot_family import OMNIGLOT_FAMILY
from mamlkit.recipes.recipe import Recipe
from mamlkit.recipes.sinusoid import SINUSOID

RECIPES = {**SINUSOID, **OMNIGLOT, **OMNIGLOT_FAMILY}

__all__ = ["RECIPES", "Recipe"]
