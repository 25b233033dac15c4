"""Where the columns of a pairwise loss come from."""

from core.objectives.contrast.keys.base import BatchKeys, Keys, Occasion, Problem
from core.objectives.contrast.keys.centroids import CentroidKeys
from core.objectives.contrast.keys.extra import ExtraNegatives
from core.objectives.contrast.keys.gathered import GatheredKeys, GroupedKeys, ReleasedGather
from core.objectives.contrast.keys.memory import MemoryKeys, QueueKeys, XBMKeys
from core.objectives.contrast.keys.mined import TeacherMined
from core.objectives.contrast.keys.own_side import OwnSideNegatives
from core.objectives.contrast.keys.ring import RingKeys
from core.objectives.contrast.keys.wordings import WordingKeys

__all__ = [
    "BatchKeys",
    "CentroidKeys",
    "ExtraNegatives",
    "GatheredKeys",
    "GroupedKeys",
    "Keys",
    "MemoryKeys",
    "Occasion",
    "OwnSideNegatives",
    "Problem",
    "QueueKeys",
    "ReleasedGather",
    "RingKeys",
    "TeacherMined",
    "WordingKeys",
    "XBMKeys",
]
