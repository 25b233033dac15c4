"""Labels that models give themselves: which of their answers to believe, where nobody labelled anything."""

from core.objectives.pseudo.adaptation import CrossModalAdaptation
from core.objectives.pseudo.certainty import Certainty
from core.objectives.pseudo.gaussians import ClassGaussians
from core.objectives.pseudo.labellers import (
    AgreementFilter,
    EntropyWeighting,
    GapSwitch,
    Guess,
    PseudoLabeller,
    entropy_mixture,
)

__all__ = [
    "AgreementFilter",
    "Certainty",
    "ClassGaussians",
    "CrossModalAdaptation",
    "EntropyWeighting",
    "GapSwitch",
    "Guess",
    "PseudoLabeller",
    "entropy_mixture",
]
