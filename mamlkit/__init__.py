"""mamlkit: learn meta-learning. The notebooks explain; this module computes."""

from mamlkit.evaluation import Evaluation, evaluate
from mamlkit.learners.adapt import adapt
from mamlkit.learners.anil import ANIL, BOIL
from mamlkit.learners.base import Learner, MetaParams
from mamlkit.learners.imaml import ImplicitMAML
from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.learners.maml_plus_plus import MAMLPlusPlus
from mamlkit.learners.meta_sgd import MetaSGD
from mamlkit.learners.policy_gradient import PolicyGradientMAML
from mamlkit.learners.protomaml import ProtoMAML
from mamlkit.learners.recurrent_policy import RecurrentPolicy
from mamlkit.learners.reptile import Reptile
from mamlkit.learners.zero_head import ZeroHead
from mamlkit.models.networks import OmniglotNetwork, SineNetwork
from mamlkit.models.policies import GaussianPolicy, RecurrentActor
from mamlkit.tasks.augment import Warped
from mamlkit.tasks.bandits import Bandits, BestPlayer
from mamlkit.tasks.batch import TaskBatch, masked, pad_tasks
from mamlkit.tasks.characters import Characters
from mamlkit.tasks.fewshot import FewShot, accuracy
from mamlkit.tasks.folder import image_folder
from mamlkit.tasks.glyphs import glyphs
from mamlkit.tasks.omniglot import (
    omniglot,
    shuffled_split,
    vinyals_split,
    without_validation,
)
from mamlkit.tasks.point_robot import PointRobot
from mamlkit.tasks.sinusoids import Sinusoids, Waves, sine
from mamlkit.training.fit import fit
from mamlkit.training.gradient_check import check_meta_gradient
from mamlkit.training.loop import Run
from mamlkit.training.meta_gradient import meta_gradient
from mamlkit.training.step import MetaStep

__version__ = "0.1.0"

__all__ = [
    "ANIL",
    "BOIL",
    "MAML",
    "Bandits",
    "BestPlayer",
    "Characters",
    "Evaluation",
    "FewShot",
    "FirstOrderMAML",
    "GaussianPolicy",
    "ImplicitMAML",
    "Learner",
    "MAMLPlusPlus",
    "MetaParams",
    "MetaSGD",
    "MetaStep",
    "OmniglotNetwork",
    "PointRobot",
    "PolicyGradientMAML",
    "ProtoMAML",
    "RecurrentActor",
    "RecurrentPolicy",
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
    "check_meta_gradient",
    "evaluate",
    "fit",
    "glyphs",
    "image_folder",
    "masked",
    "meta_gradient",
    "omniglot",
    "pad_tasks",
    "shuffled_split",
    "sine",
    "vinyals_split",
    "without_validation",
]
