"""mamlkit: learn meta-learning. The notebooks explain; this module computes."""

from mamlkit.evaluation import Evaluation, evaluate
from mamlkit.learners.adapt import adapt
from mamlkit.learners.implicit import ImplicitMAML
from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.learners.partial import ANIL, BOIL
from mamlkit.learners.protomaml import ProtoMAML
from mamlkit.learners.rates import MAMLPlusPlus, MetaSGD
from mamlkit.learners.reptile import Reptile
from mamlkit.learners.zeroed import ZeroedMAML
from mamlkit.models.networks import OmniglotNetwork, SineNetwork
from mamlkit.tasks.batch import TaskBatch
from mamlkit.tasks.characters import Characters, characters
from mamlkit.tasks.fewshot import FewShot, accuracy
from mamlkit.tasks.glyphs import glyphs
from mamlkit.tasks.sinusoids import Sinusoids, Waves, sine
from mamlkit.tasks.splits import shuffled_split, without_validation
from mamlkit.tasks.warped import Warped
from mamlkit.training.fit import fit
from mamlkit.training.meta_gradient import meta_gradient
from mamlkit.training.run import Run
from mamlkit.training.step import MetaStep

__version__ = "0.1.0"

__all__ = [
    "ANIL",
    "BOIL",
    "MAML",
    "Characters",
    "Evaluation",
    "FewShot",
    "FirstOrderMAML",
    "ImplicitMAML",
    "MAMLPlusPlus",
    "MetaSGD",
    "MetaStep",
    "OmniglotNetwork",
    "ProtoMAML",
    "Reptile",
    "Run",
    "SineNetwork",
    "Sinusoids",
    "TaskBatch",
    "Warped",
    "Waves",
    "ZeroedMAML",
    "accuracy",
    "adapt",
    "characters",
    "evaluate",
    "fit",
    "glyphs",
    "meta_gradient",
    "shuffled_split",
    "sine",
    "without_validation",
]
