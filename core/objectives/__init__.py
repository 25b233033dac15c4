"""Objectives: weighted sums of terms that compare, mask, match and reconstruct."""

from core.objectives.base import Objective, Step, StepModel, Term, zero_like_graph
from core.objectives.contrast.divergence import BalancedBCE, Divergence, Hinge, Margin, ReverseKL, RowCE, Sigmoid
from core.objectives.contrast.keys import (
    BatchKeys,
    GatheredKeys,
    GroupedKeys,
    Keys,
    QueueKeys,
    ReleasedGather,
    RingKeys,
    XBMKeys,
)
from core.objectives.contrast.pair import Pair
from core.objectives.contrast.scale import FixedScale, LogScale, Scale, Temperature
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
from core.objectives.matching import HardNegatives, Matching, Negatives, RandomNegatives
from core.objectives.preference import ChoiceCE, ChoiceHinge
from core.objectives.teachers import MomentumTeacher, Teacher
from core.objectives.primary_components import PrimaryComponents, Unit
from core.objectives.teachers import CompatibleMomentum, FrozenTeacher, MomentumTeacher, Teacher
from core.objectives.tokens.balance import Balance, EqualWeights, LearnedUncertainty
from core.objectives.tokens.budgets import Component, DirichletBudget, MixtureBudget
from core.objectives.tokens.captioning import Captioning, Context, EncoderContext, Query, QueryContext
from core.objectives.tokens.code_decoder import CodeDecoder
from core.objectives.tokens.code_tasks import (
    AllOrNothingKeep,
    CodeTask,
    GridCodes,
    KeepAll,
    KeepShare,
    SpanCodes,
    UniformKeep,
)
from core.objectives.tokens.cross_decoder import PatchTask
from core.objectives.tokens.cross_modal_masked import CrossModalMasked, PerModality, PerToken, Reduction
from core.objectives.tokens.grid_masks import BlockMask, GridMask, RandomMask
from core.objectives.tokens.joint_masked import JointMasked
from core.objectives.tokens.masked_image import MaskedImage, MaskedImageDecoder
from core.objectives.tokens.masked_text import MaskedText, WordHead
from core.objectives.tokens.mixing import MixedSegmentation, PatchMixing, Restored
from core.objectives.tokens.multi_modal_masked import MultiModalMasked
from core.objectives.tokens.patch_losses import ClassCE, NormPixelMSE, PatchLoss, PixelL1, PixelMSE
from core.objectives.tokens.ramp import Ramp
from core.objectives.tokens.self_distillation import MaskedSelfDistillation, Pooled, SelfDistillation
from core.objectives.tokens.soft_masked_text import SoftMaskedText
from core.objectives.tokens.sources import FromEncoder, FromFusion, TokenSource
from core.objectives.topology import TopologyPreservation
from core.objectives.tokens.token_masking import MaskedPooled, TokenMasking
from core.objectives.views import Embedding, FromTeacher, Head, View, Viewed, as_view

__all__ = [
    "AllOrNothingKeep",
    "Balance",
    "BalancedBCE",
    "BatchKeys",
    "ChoiceCE",
    "ChoiceHinge",
    "CompatibleMomentum",
    "BlockMask",
    "Captioning",
    "ClassCE",
    "CodeDecoder",
    "CodeTask",
    "Component",
    "Context",
    "Cosine",
    "CrossModalMasked",
    "DirichletBudget",
    "Divergence",
    "Dot",
    "EachEqual",
    "Embedding",
    "EncoderContext",
    "EqualWeights",
    "Equality",
    "FixedScale",
    "FromEncoder",
    "FromFusion",
    "FromTeacher",
    "FrozenTeacher",
    "GatheredKeys",
    "GridCodes",
    "GridMask",
    "GradedEquality",
    "GroupedKeys",
    "HardNegatives",
    "Head",
    "Hinge",
    "IntraModal",
    "JointMasked",
    "KeepAll",
    "KeepShare",
    "Keys",
    "LabelSmooth",
    "LearnedUncertainty",
    "KeySoftmax",
    "Keys",
    "LabelSmooth",
    "LearnedSim",
    "LogScale",
    "Margin",
    "MaskedDuplicates",
    "MaskedImage",
    "MaskedImageDecoder",
    "MaskedPooled",
    "MaskedSelfDistillation",
    "MaskedText",
    "Matching",
    "MixedSegmentation",
    "MixtureBudget",
    "Mix",
    "MomentumTeacher",
    "MultiModalMasked",
    "Negatives",
    "NormPixelMSE",
    "Objective",
    "OffDiagonalSmooth",
    "OneHot",
    "Pair",
    "PrimaryComponents",
    "PatchLoss",
    "PatchMixing",
    "PatchTask",
    "PerModality",
    "PerToken",
    "PixelL1",
    "PixelMSE",
    "Pooled",
    "Query",
    "QueryContext",
    "Ramp",
    "RandomMask",
    "RandomNegatives",
    "Reduction",
    "Restored",
    "PrototypeSoft",
    "QueueKeys",
    "RandomNegatives",
    "ReleasedGather",
    "ReverseKL",
    "RingKeys",
    "RowCE",
    "SampleSmooth",
    "Scale",
    "SelfDistillation",
    "Sigmoid",
    "Similarity",
    "SoftMaskedText",
    "SpanCodes",
    "Step",
    "StepModel",
    "Target",
    "Teacher",
    "TeacherPair",
    "TeacherSoftmax",
    "Temperature",
    "Term",
    "TokenMasking",
    "TokenSource",
    "TopologyPreservation",
    "Unit",
    "UniformKeep",
    "View",
    "Viewed",
    "WordHead",
    "XBMKeys",
    "as_view",
    "zero_like_graph",
]
