"""From where descent sets out: the networks that the K-shot explorer compares."""

from mamlkit import pretrained
from mamlkit.learners.maml import MAML
from mamlkit.models.networks import SineNetwork
from mamlkit.recipes import RECIPES
from mamlkit.show.explorers.descent import Descent


def sine_learners():
    """The sine networks that ship, and one with random weights: name -> `(learner, params)`.

    >>> list(sine_learners())
    ['MAML', 'pretrained', 'first-order', 'oracle', 'random']
    """
    recipes = {
        name: f"sinusoid-{name.lower()}" for name in ("MAML", "pretrained", "first-order", "oracle")
    }
    found = {name: pretrained.load(recipe, device="cpu") for name, recipe in recipes.items()}
    untrained = RECIPES["sinusoid-maml"].start(seed=0)
    return {**found, "random": (untrained, untrained.init())}


def alike(learners):
    """Group learners that one computation serves: sine networks of the same shapes and loss.

    A network of another class, or the oracle, is alone: two may differ in what no shape shows.
    """
    groups = {}
    for name, (learner, params) in learners.items():
        form = tuple(sorted((key, tuple(value.shape)) for key, value in params.items()))
        alone = name == "oracle" or type(learner.module) is not SineNetwork
        groups.setdefault((form, learner.loss, name if alone else ""), []).append(name)
    for names in groups.values():
        members = [learners[name] for name in names]
        yield tuple(names), Descent(members[0][0], [_on_cpu(params) for _, params in members])


def _on_cpu(params):
    return {name: value.detach().cpu() for name, value in params.items()}


def require_plain_descent(name, learner):
    """Raise TypeError unless the learner's inner loop is gradient descent of one step size."""
    own = ("start", "rate", "moves", "step", "path", "trajectory", "adapt", "task_loss", "predict")
    plain = isinstance(learner, MAML) and all(
        getattr(type(learner), part) is getattr(MAML, part) for part in own
    )
    if not plain:
        raise TypeError(
            f"KShotExplorer: {name} is adapted by {type(learner).__name__}, whose inner steps are "
            "its own; the explorer's slider sets the step size of plain gradient descent, so give "
            "MAML or FirstOrderMAML around the same module"
        )
