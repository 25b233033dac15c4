"""Objectives: weighted sums of terms that compare, mask, match and reconstruct."""

from core.objectives.base import Objective, Step, StepModel, Term, zero_like_graph
from core.objectives.contrast.divergence import Divergence, RowCE
from core.objectives.contrast.keys import BatchKeys, GatheredKeys, Keys
from core.objectives.contrast.pair import Pair
from core.objectives.contrast.scale import FixedScale, LogScale, Scale, Temperature
from core.objectives.contrast.similarity import Cosine, Dot, Similarity
from core.objectives.contrast.targets import Equality, LabelSmooth, MaskedDuplicates, OneHot, Target
from core.objectives.matching import Matching
from core.objectives.negatives import HardNegatives, Negatives, RandomNegatives, WorstAlignedNegatives
from core.objectives.teachers import MomentumTeacher, Teacher
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
from core.objectives.tokens.token_masking import MaskedPooled, TokenMasking
from core.objectives.views import Embedding, FromTeacher, Head, View, Viewed, as_view

__all__ = [
    "AllOrNothingKeep",
    "Balance",
    "BatchKeys",
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
    "Embedding",
    "EncoderContext",
    "EqualWeights",
    "Equality",
    "FixedScale",
    "FromEncoder",
    "FromFusion",
    "FromTeacher",
    "GatheredKeys",
    "GridCodes",
    "GridMask",
    "HardNegatives",
    "Head",
    "JointMasked",
    "KeepAll",
    "KeepShare",
    "Keys",
    "LabelSmooth",
    "LearnedUncertainty",
    "LogScale",
    "MaskedDuplicates",
    "MaskedImage",
    "MaskedImageDecoder",
    "MaskedPooled",
    "MaskedSelfDistillation",
    "MaskedText",
    "Matching",
    "MixedSegmentation",
    "MixtureBudget",
    "MomentumTeacher",
    "MultiModalMasked",
    "Negatives",
    "NormPixelMSE",
    "Objective",
    "OneHot",
    "Pair",
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
    "RowCE",
    "Scale",
    "SelfDistillation",
    "Similarity",
    "SoftMaskedText",
    "SpanCodes",
    "Step",
    "StepModel",
    "Target",
    "Teacher",
    "Temperature",
    "Term",
    "TokenMasking",
    "TokenSource",
    "UniformKeep",
    "View",
    "Viewed",
    "WordHead",
    "WorstAlignedNegatives",
    "as_view",
    "zero_like_graph",
]
