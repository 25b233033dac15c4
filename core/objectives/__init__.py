"""Objectives: weighted sums of terms that compare, mask, match and reconstruct."""

from core.objectives.base import Objective, Step, StepModel, Term, zero_like_graph
from core.objectives.contrast.divergence import Divergence, RowCE
from core.objectives.contrast.keys import BatchKeys, GatheredKeys, Keys
from core.objectives.contrast.overuse import Overuse, Penalty, SquaredMeans, TotalWeight, UsageEntropy
from core.objectives.contrast.pair import Pair
from core.objectives.contrast.scale import FixedScale, LogScale, Scale, Temperature
from core.objectives.contrast.similarity import CentroidDot, Cosine, Dot, Projection, Similarity
from core.objectives.contrast.symile import CompleteRows, Completion, Placeholders, Symile
from core.objectives.contrast.targets import Equality, LabelSmooth, MaskedDuplicates, OneHot, Target
from core.objectives.contrast.token_max import QueryMax, TokenMax
from core.objectives.contrast.tuples import CartesianKeys, PermutedKeys, TupleKeys
from core.objectives.matching import HardNegatives, Matching, Negatives, RandomNegatives
from core.objectives.schedules import Staircase
from core.objectives.teachers import MomentumTeacher, Teacher
from core.objectives.tokens.joint_masked import JointMasked
from core.objectives.tokens.masked_image import MaskedImage, MaskedImageDecoder
from core.objectives.tokens.masked_text import MaskedText
from core.objectives.tokens.sources import FromEncoder, FromFusion, TokenSource
from core.objectives.views import (
    DiscreteTokens,
    Embedding,
    FromTeacher,
    Head,
    Lexical,
    PrefixToken,
    TokenView,
    TopTokens,
    View,
    Viewed,
    as_view,
)

__all__ = [
    "BatchKeys",
    "CartesianKeys",
    "CentroidDot",
    "CompleteRows",
    "Completion",
    "Cosine",
    "DiscreteTokens",
    "Divergence",
    "Dot",
    "Embedding",
    "Equality",
    "FixedScale",
    "FromEncoder",
    "FromFusion",
    "FromTeacher",
    "GatheredKeys",
    "HardNegatives",
    "Head",
    "JointMasked",
    "Keys",
    "LabelSmooth",
    "Lexical",
    "LogScale",
    "MaskedDuplicates",
    "MaskedImage",
    "MaskedImageDecoder",
    "MaskedText",
    "Matching",
    "MomentumTeacher",
    "Negatives",
    "Objective",
    "OneHot",
    "Overuse",
    "Pair",
    "Penalty",
    "PermutedKeys",
    "Placeholders",
    "PrefixToken",
    "Projection",
    "QueryMax",
    "RandomNegatives",
    "RowCE",
    "Scale",
    "Similarity",
    "SquaredMeans",
    "Staircase",
    "Step",
    "StepModel",
    "Symile",
    "Target",
    "Teacher",
    "Temperature",
    "Term",
    "TokenMax",
    "TokenSource",
    "TokenView",
    "TopTokens",
    "TotalWeight",
    "TupleKeys",
    "UsageEntropy",
    "View",
    "Viewed",
    "as_view",
    "zero_like_graph",
]
