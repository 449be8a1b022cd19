"""mamlkit: learn meta-learning. The notebooks explain; this module computes."""

from mamlkit.evaluation import Evaluation, evaluate
from mamlkit.learners.adapt import adapt
from mamlkit.learners.anil import ANIL, BOIL
from mamlkit.learners.base import Learner, MetaParams
from mamlkit.learners.imaml import ImplicitMAML
from mamlkit.learners.in_context import InContextLearner
from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.learners.maml_plus_plus import MAMLPlusPlus
from mamlkit.learners.meta_sgd import MetaSGD
from mamlkit.learners.metric import MatchingNetwork, PrototypicalNetwork
from mamlkit.learners.neural_process import AttentiveNeuralProcess, ConditionalNeuralProcess
from mamlkit.learners.policy_gradient import PolicyGradientMAML
from mamlkit.learners.protomaml import ProtoMAML
from mamlkit.learners.recurrent import RecurrentLearner
from mamlkit.learners.recurrent_policy import RecurrentPolicy
from mamlkit.learners.relation import RelationNetwork, relation_loss
from mamlkit.learners.reptile import Reptile
from mamlkit.learners.zero_head import ZeroHead
from mamlkit.models.attention import InContextTransformer, LinearSelfAttention
from mamlkit.models.networks import OmniglotNetwork, SineNetwork
from mamlkit.models.neural_process import AttentiveProcess, NeuralProcess
from mamlkit.models.policies import GaussianPolicy, RecurrentActor
from mamlkit.models.recurrent import LSTMReader
from mamlkit.tasks.augment import Warped
from mamlkit.tasks.bandits import Bandits, BestPlayer
from mamlkit.tasks.batch import TaskBatch, masked, pad_tasks
from mamlkit.tasks.characters import Characters
from mamlkit.tasks.fewshot import FewShot, accuracy
from mamlkit.tasks.folder import image_folder
from mamlkit.tasks.glyphs import glyphs
from mamlkit.tasks.linear import LinearTasks
from mamlkit.tasks.noisy_sinusoids import ExactPredictive, NoisySinusoids
from mamlkit.tasks.omniglot import (
    omniglot,
    shuffled_split,
    vinyals_split,
    without_validation,
)
from mamlkit.tasks.point_robot import PointRobot
from mamlkit.tasks.sequences import Sequences
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
    "AttentiveNeuralProcess",
    "AttentiveProcess",
    "Bandits",
    "BestPlayer",
    "Characters",
    "ConditionalNeuralProcess",
    "Evaluation",
    "ExactPredictive",
    "FewShot",
    "FirstOrderMAML",
    "GaussianPolicy",
    "ImplicitMAML",
    "InContextLearner",
    "InContextTransformer",
    "LSTMReader",
    "Learner",
    "LinearSelfAttention",
    "LinearTasks",
    "MAMLPlusPlus",
    "MatchingNetwork",
    "MetaParams",
    "MetaSGD",
    "MetaStep",
    "NeuralProcess",
    "NoisySinusoids",
    "OmniglotNetwork",
    "PointRobot",
    "PolicyGradientMAML",
    "ProtoMAML",
    "PrototypicalNetwork",
    "RecurrentActor",
    "RecurrentLearner",
    "RecurrentPolicy",
    "RelationNetwork",
    "Reptile",
    "Run",
    "Sequences",
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
    "relation_loss",
    "shuffled_split",
    "sine",
    "vinyals_split",
    "without_validation",
]
