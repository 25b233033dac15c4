"""Objectives: weighted sums of terms that compare, mask, match and reconstruct."""

from core.objectives.base import Objective, Step, StepModel, Term, zero_like_graph
from core.objectives.classification import IdentityCE, ProjectionCE, TagBCE
from core.objectives.consistency import CrossConsistency, InModalConsistency
from core.objectives.contrast.divergence import BalancedBCE, Divergence, Hinge, Margin, ReverseKL, RowCE, Sigmoid
from core.objectives.contrast.keys import BatchKeys, GatheredKeys, Keys
from core.objectives.contrast.noise import Mixture, NoiseSmooth
from core.objectives.contrast.keys import (
    BatchKeys,
    CentroidKeys,
    ExtraNegatives,
    GatheredKeys,
    GroupedKeys,
    Keys,
    QueueKeys,
    ReleasedGather,
    RingKeys,
    TeacherMined,
    XBMKeys,
)
from core.objectives.contrast.pair import Pair
from core.objectives.contrast.scale import FixedScale, LogScale, Scale, ScheduledTemperature, Temperature
from core.objectives.contrast.similarity import Cosine, Dot, Similarity
from core.objectives.contrast.targets import (
    EachEqual,
    Equality,
    GradedEquality,
    IntraModal,
    KeySoftmax,
    LabelSmooth,
    LearnedSim,
    MaskedDuplicates,
    Mix,
    OffDiagonalSmooth,
    OneHot,
    PrototypeSoft,
    SampleSmooth,
    Target,
    TeacherPair,
    TeacherSoftmax,
)
from core.objectives.gradient_cache import CachedStep
from core.objectives.matching import HardNegatives, Matching, Negatives, RandomNegatives
from core.objectives.regression import CosineRegression
from core.objectives.teachers import MomentumTeacher, Teacher
from core.objectives.tokens.joint_masked import JointMasked
from core.objectives.tokens.masked_image import MaskedImage, MaskedImageDecoder
from core.objectives.tokens.masked_text import MaskedText
from core.objectives.tokens.sources import FromEncoder, FromFusion, TokenSource
from core.objectives.views import Embedding, FromTeacher, Head, View, Viewed, as_view

__all__ = [
    "BalancedBCE",
    "BatchKeys",
    "CachedStep",
    "CentroidKeys",
    "Cosine",
    "CosineRegression",
    "CrossConsistency",
    "Divergence",
    "Dot",
    "EachEqual",
    "Embedding",
    "Equality",
    "ExtraNegatives",
    "FixedScale",
    "FromEncoder",
    "FromFusion",
    "FromTeacher",
    "GatheredKeys",
    "GradedEquality",
    "GroupedKeys",
    "HardNegatives",
    "Head",
    "Hinge",
    "IdentityCE",
    "InModalConsistency",
    "IntraModal",
    "JointMasked",
    "KeySoftmax",
    "Keys",
    "LabelSmooth",
    "LearnedSim",
    "LogScale",
    "Margin",
    "MaskedDuplicates",
    "MaskedImage",
    "MaskedImageDecoder",
    "MaskedText",
    "Matching",
    "Mix",
    "Mixture",
    "MomentumTeacher",
    "Negatives",
    "NoiseSmooth",
    "Objective",
    "OffDiagonalSmooth",
    "OneHot",
    "Pair",
    "ProjectionCE",
    "PrototypeSoft",
    "QueueKeys",
    "RandomNegatives",
    "ReleasedGather",
    "ReverseKL",
    "RingKeys",
    "RowCE",
    "SampleSmooth",
    "Scale",
    "ScheduledTemperature",
    "Sigmoid",
    "Similarity",
    "Step",
    "StepModel",
    "TagBCE",
    "Target",
    "Teacher",
    "TeacherMined",
    "TeacherPair",
    "TeacherSoftmax",
    "Temperature",
    "Term",
    "TokenSource",
    "View",
    "Viewed",
    "XBMKeys",
    "as_view",
    "zero_like_graph",
]
