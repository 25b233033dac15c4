"""Objectives: weighted sums of terms that compare, mask, match and reconstruct."""

from core.objectives.base import Objective, Step, StepModel, Term, zero_like_graph
from core.objectives.classification import IdentityCE, ProjectionCE, TagBCE
from core.objectives.consistency import CrossConsistency, InModalConsistency
from core.objectives.contrast.divergence import (
    BalancedBCE,
    Divergence,
    Hinge,
    Margin,
    ReverseKL,
    RowCE,
    Sigmoid,
    SpectralContrastive,
)
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
    WordingKeys,
    XBMKeys,
)
from core.objectives.contrast.noise import Mixture, NoiseSmooth
from core.objectives.contrast.one_to_many import OneToMany
from core.objectives.contrast.overuse import Overuse, Penalty, SquaredMeans, TotalWeight, UsageEntropy
from core.objectives.contrast.pair import Pair
from core.objectives.contrast.scale import FixedScale, LogScale, Scale, ScheduledTemperature, Temperature
from core.objectives.contrast.similarity import CentroidDot, Cosine, Dot, Projection, Similarity
from core.objectives.contrast.symile import CompleteRows, Completion, Placeholders, Symile
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
from core.objectives.contrast.token_max import QueryMax, TokenMax
from core.objectives.contrast.tuples import CartesianKeys, PermutedKeys, TupleKeys
from core.objectives.few_shot import Episode, FewShotAlignment
from core.objectives.gradient_cache import CachedStep
from core.objectives.matching import Matching
from core.objectives.negatives import HardNegatives, Negatives, RandomNegatives, WorstAlignedNegatives
from core.objectives.pixels import (
    CrossModalSelection,
    EpochRamp,
    FusedLogits,
    JointLogits,
    ModalityLogits,
    PixelAgreement,
    PixelLabels,
    Pixels,
    PixelView,
    Selection,
    Smoothing,
    SpatialTemporalSmoothing,
)
from core.objectives.preference import ChoiceCE, ChoiceHinge
from core.objectives.primary_components import PrimaryComponents, Unit
from core.objectives.regression import CosineRegression
from core.objectives.replaced_matching import ReplacedMatching
from core.objectives.schedules import Staircase
from core.objectives.teachers import CompatibleMomentum, FrozenTeacher, MomentumTeacher, SavedTeacher, Teacher
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
from core.objectives.tokens.local_information import LocalInformation
from core.objectives.tokens.masked_image import MaskedImage, MaskedImageDecoder
from core.objectives.tokens.masked_text import MaskedText, WordHead
from core.objectives.tokens.mixing import MixedSegmentation, PatchMixing, Restored
from core.objectives.tokens.multi_modal_masked import MultiModalMasked
from core.objectives.tokens.patch_losses import ClassCE, NormPixelMSE, PatchLoss, PixelL1, PixelMSE
from core.objectives.tokens.ramp import Ramp
from core.objectives.tokens.self_distillation import MaskedSelfDistillation, Pooled, SelfDistillation
from core.objectives.tokens.soft_masked_text import SoftMaskedText
from core.objectives.tokens.sources import FromEncoder, FromFusion, FromFusionWith, TokenSource
from core.objectives.tokens.token_masking import MaskedPooled, TokenMasking
from core.objectives.topology import TopologyPreservation
from core.objectives.views import (
    DiscreteTokens,
    Embedding,
    FromTeacher,
    Head,
    Lexical,
    PrefixToken,
    Stored,
    TokenView,
    TopTokens,
    View,
    Viewed,
    as_view,
)

__all__ = [
    "AllOrNothingKeep",
    "Balance",
    "BalancedBCE",
    "BatchKeys",
    "BlockMask",
    "CachedStep",
    "Captioning",
    "CartesianKeys",
    "CentroidDot",
    "CentroidKeys",
    "ChoiceCE",
    "ChoiceHinge",
    "ClassCE",
    "CodeDecoder",
    "CodeTask",
    "CompatibleMomentum",
    "CompleteRows",
    "Completion",
    "Component",
    "Context",
    "Cosine",
    "CosineRegression",
    "CrossConsistency",
    "CrossModalMasked",
    "CrossModalSelection",
    "DirichletBudget",
    "DiscreteTokens",
    "Divergence",
    "Dot",
    "EachEqual",
    "Embedding",
    "EncoderContext",
    "Episode",
    "EpochRamp",
    "EqualWeights",
    "Equality",
    "ExtraNegatives",
    "FewShotAlignment",
    "FixedScale",
    "FromEncoder",
    "FromFusion",
    "FromFusionWith",
    "FromTeacher",
    "FrozenTeacher",
    "FusedLogits",
    "GatheredKeys",
    "GradedEquality",
    "GridCodes",
    "GridMask",
    "GroupedKeys",
    "HardNegatives",
    "Head",
    "Hinge",
    "IdentityCE",
    "InModalConsistency",
    "IntraModal",
    "JointLogits",
    "JointMasked",
    "KeepAll",
    "KeepShare",
    "KeySoftmax",
    "Keys",
    "LabelSmooth",
    "LearnedSim",
    "LearnedUncertainty",
    "Lexical",
    "LocalInformation",
    "LogScale",
    "Margin",
    "MaskedDuplicates",
    "MaskedImage",
    "MaskedImageDecoder",
    "MaskedPooled",
    "MaskedSelfDistillation",
    "MaskedText",
    "Matching",
    "Mix",
    "MixedSegmentation",
    "Mixture",
    "MixtureBudget",
    "ModalityLogits",
    "MomentumTeacher",
    "MultiModalMasked",
    "Negatives",
    "NoiseSmooth",
    "NormPixelMSE",
    "Objective",
    "OffDiagonalSmooth",
    "OneHot",
    "OneToMany",
    "Overuse",
    "Pair",
    "PatchLoss",
    "PatchMixing",
    "PatchTask",
    "Penalty",
    "PerModality",
    "PerToken",
    "PermutedKeys",
    "PixelAgreement",
    "PixelL1",
    "PixelLabels",
    "PixelMSE",
    "PixelView",
    "Pixels",
    "Placeholders",
    "Pooled",
    "PrefixToken",
    "PrimaryComponents",
    "Projection",
    "ProjectionCE",
    "PrototypeSoft",
    "Query",
    "QueryContext",
    "QueryMax",
    "QueueKeys",
    "Ramp",
    "RandomMask",
    "RandomNegatives",
    "Reduction",
    "ReleasedGather",
    "ReplacedMatching",
    "Restored",
    "ReverseKL",
    "RingKeys",
    "RowCE",
    "SampleSmooth",
    "SavedTeacher",
    "Scale",
    "ScheduledTemperature",
    "Selection",
    "SelfDistillation",
    "Sigmoid",
    "Similarity",
    "Smoothing",
    "SoftMaskedText",
    "SpanCodes",
    "SpatialTemporalSmoothing",
    "SpectralContrastive",
    "SquaredMeans",
    "Staircase",
    "Step",
    "StepModel",
    "Stored",
    "Symile",
    "TagBCE",
    "Target",
    "Teacher",
    "TeacherMined",
    "TeacherPair",
    "TeacherSoftmax",
    "Temperature",
    "Term",
    "TokenMasking",
    "TokenMax",
    "TokenSource",
    "TokenView",
    "TopTokens",
    "TopologyPreservation",
    "TotalWeight",
    "TupleKeys",
    "UniformKeep",
    "Unit",
    "UsageEntropy",
    "View",
    "Viewed",
    "WordHead",
    "WordingKeys",
    "WorstAlignedNegatives",
    "XBMKeys",
    "as_view",
    "zero_like_graph",
]
