"""Which pairs belong together: target weights as functions of row and column ids, made tile by tile."""

from core.objectives.contrast.targets.base import Ids, Sides, Target, inside, nested, view_rows
from core.objectives.contrast.targets.hard import EachEqual, Equality, GradedEquality, MaskedDuplicates, OneHot
from core.objectives.contrast.targets.smooth import LabelSmooth, OffDiagonalSmooth, SampleSmooth
from core.objectives.contrast.targets.weights import Block, Part, SparseWeights, SummedWeights, Weights

__all__ = [
    "Block",
    "EachEqual",
    "Equality",
    "GradedEquality",
    "Ids",
    "LabelSmooth",
    "MaskedDuplicates",
    "OffDiagonalSmooth",
    "OneHot",
    "Part",
    "SampleSmooth",
    "Sides",
    "SparseWeights",
    "SummedWeights",
    "Target",
    "Weights",
    "inside",
    "nested",
    "view_rows",
]
