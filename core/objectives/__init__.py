"""Objectives: weighted sums of terms that compare, mask, match and reconstruct."""

from core.objectives.base import Objective, Step, StepModel, Term, zero_like_graph
from core.objectives.divergence import Divergence, RowCE
from core.objectives.joint_masked import JointMasked
from core.objectives.keys import BatchKeys, GatheredKeys, Keys
from core.objectives.masked_image import MaskedImage, MaskedImageDecoder
from core.objectives.masked_text import MaskedText
from core.objectives.matching import HardNegatives, Matching, Negatives, RandomNegatives
from core.objectives.pair import Pair
from core.objectives.scale import FixedScale, LogScale, Scale, Temperature
from core.objectives.similarity import Cosine, Dot, Similarity
from core.objectives.sources import FromEncoder, FromFusion, TokenSource
from core.objectives.targets import Equality, LabelSmooth, MaskedDuplicates, OneHot, Target

__all__ = [
    "BatchKeys",
    "Cosine",
    "Divergence",
    "Dot",
    "Equality",
    "FixedScale",
    "FromEncoder",
    "FromFusion",
    "GatheredKeys",
    "HardNegatives",
    "JointMasked",
    "Keys",
    "LabelSmooth",
    "LogScale",
    "MaskedDuplicates",
    "MaskedImage",
    "MaskedImageDecoder",
    "MaskedText",
    "Matching",
    "Negatives",
    "Objective",
    "OneHot",
    "Pair",
    "RandomNegatives",
    "RowCE",
    "Scale",
    "Similarity",
    "Step",
    "StepModel",
    "Target",
    "Temperature",
    "Term",
    "TokenSource",
    "zero_like_graph",
]
