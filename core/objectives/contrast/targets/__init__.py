"""Which pairs belong together: target weights as functions of row and column ids, made tile by tile."""

from core.objectives.contrast.targets.base import Ids, Sides, Target, inside, nested, view_rows
from core.objectives.contrast.targets.hard import EachEqual, Equality, GradedEquality, MaskedDuplicates, OneHot
from core.objectives.contrast.targets.learned import LearnedSim
from core.objectives.contrast.targets.mix import Mix
from core.objectives.contrast.targets.smooth import LabelSmooth, OffDiagonalSmooth, SampleSmooth
from core.objectives.contrast.targets.soft import IntraModal, KeySoftmax, PrototypeSoft, TeacherPair, TeacherSoftmax
from core.objectives.contrast.targets.weights import Block, Part, SparseWeights, SummedWeights, Weights

__all__ = [
    "Block",
    "EachEqual",
    "Equality",
    "GradedEquality",
    "Ids",
    "IntraModal",
    "KeySoftmax",
    "LabelSmooth",
    "LearnedSim",
    "MaskedDuplicates",
    "Mix",
    "OffDiagonalSmooth",
    "OneHot",
    "Part",
    "PrototypeSoft",
    "SampleSmooth",
    "Sides",
    "SparseWeights",
    "SummedWeights",
    "Target",
    "TeacherPair",
    "TeacherSoftmax",
    "Weights",
    "inside",
    "nested",
    "view_rows",
]
