"""mamlkit: learn meta-learning. The notebooks explain; this module computes."""

from mamlkit.evaluation import Evaluation, evaluate
from mamlkit.learners.adapt import adapt
from mamlkit.learners.anil import ANIL, BOIL
from mamlkit.learners.base import Learner, MetaParams
from mamlkit.learners.imaml import ImplicitMAML
from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.learners.maml_plus_plus import MAMLPlusPlus
from mamlkit.learners.meta_sgd import MetaSGD
from mamlkit.learners.metric import MatchingNetwork, PrototypicalNetwork
from mamlkit.learners.protomaml import ProtoMAML
from mamlkit.learners.relation import RelationNetwork, relation_loss
from mamlkit.learners.reptile import Reptile
from mamlkit.learners.zero_head import ZeroHead
from mamlkit.models.networks import OmniglotNetwork, SineNetwork
from mamlkit.tasks.augment import Warped
from mamlkit.tasks.batch import TaskBatch
from mamlkit.tasks.fewshot import FewShot, accuracy
from mamlkit.tasks.glyphs import glyphs
from mamlkit.tasks.omniglot import (
    Characters,
    omniglot,
    shuffled_split,
    vinyals_split,
    without_validation,
)
from mamlkit.tasks.sinusoids import Sinusoids, Waves, sine
from mamlkit.training.fit import fit
from mamlkit.training.loop import Run
from mamlkit.training.step import MetaStep, meta_gradient

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
    "Learner",
    "MAMLPlusPlus",
    "MatchingNetwork",
    "MetaParams",
    "MetaSGD",
    "MetaStep",
    "OmniglotNetwork",
    "ProtoMAML",
    "PrototypicalNetwork",
    "RelationNetwork",
    "Reptile",
    "Run",
    "SineNetwork",
    "Sinusoids",
    "TaskBatch",
    "Warped",
    "Waves",
    "ZeroHead",
    "accuracy",
    "adapt",
    "evaluate",
    "fit",
    "glyphs",
    "meta_gradient",
    "omniglot",
    "relation_loss",
    "shuffled_split",
    "sine",
    "vinyals_split",
    "without_validation",
]
