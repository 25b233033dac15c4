"""What is learned from molecules alone: hidden atoms."""

from domains.molecules.objectives.figures import HiddenAtomAccuracy as HiddenAtomAccuracy
from domains.molecules.objectives.figures import MeasuredProperties as MeasuredProperties
from domains.molecules.objectives.heads import AtomHead as AtomHead
from domains.molecules.objectives.heads import GINDecoder as GINDecoder
from domains.molecules.objectives.heads import LinearAtoms as LinearAtoms
from domains.molecules.objectives.hidden_atoms import AtomCrossEntropy as AtomCrossEntropy
from domains.molecules.objectives.hidden_atoms import AtomScaledCosine as AtomScaledCosine
from domains.molecules.objectives.hidden_atoms import HiddenAtoms as HiddenAtoms
from domains.molecules.objectives.masking import AtomMasking as AtomMasking
from domains.molecules.objectives.new_encoder import NewEncoder as NewEncoder
