"""The findings of the phantom, in drawing order: what replaces lung first, so that later ones find free lung."""

from domains.medical.phantom.findings.airspace import Atelectasis, Consolidation, Emphysema, GroundGlass
from domains.medical.phantom.findings.base import FindingModel
from domains.medical.phantom.findings.cardiac import (
    ArterialCalcification,
    Cardiomegaly,
    CoronaryCalcification,
    PericardialEffusion,
)
from domains.medical.phantom.findings.chest_wall import MedicalMaterial, RibFracture
from domains.medical.phantom.findings.focal import LungMass, LungNodule
from domains.medical.phantom.findings.mediastinum import HiatalHernia, Lymphadenopathy
from domains.medical.phantom.findings.pleura import PleuralEffusion, Pneumothorax

MODELS: tuple[FindingModel, ...] = (
    Pneumothorax(),
    PleuralEffusion(),
    Emphysema(),
    HiatalHernia(),
    Lymphadenopathy(),
    Atelectasis(),
    LungMass(),
    Consolidation(),
    GroundGlass(),
    LungNodule(),
    Cardiomegaly(),
    PericardialEffusion(),
    CoronaryCalcification(),
    ArterialCalcification(),
    RibFracture(),
    MedicalMaterial(),
)

__all__ = ["MODELS", "FindingModel"]
