"""Named experiments as data: the learner, its tasks, the training and the test."""

from mamlkit.recipes.meta_rl import META_RL
from mamlkit.recipes.model_based import MODEL_BASED
from mamlkit.recipes.omniglot import OMNIGLOT
from mamlkit.recipes.omniglot_metric import OMNIGLOT_METRIC
from mamlkit.recipes.omniglot_paper import OMNIGLOT_PAPER
from mamlkit.recipes.omniglot_sequences import OMNIGLOT_SEQUENCES
from mamlkit.recipes.omniglot_variants import OMNIGLOT_VARIANTS
from mamlkit.recipes.recipe import Recipe
from mamlkit.recipes.sinusoid import SINUSOID

RECIPES = {
    **SINUSOID,
    **OMNIGLOT,
    **OMNIGLOT_PAPER,
    **OMNIGLOT_VARIANTS,
    **OMNIGLOT_METRIC,
    **OMNIGLOT_SEQUENCES,
    **MODEL_BASED,
    **META_RL,
}

__all__ = ["RECIPES", "Recipe"]
