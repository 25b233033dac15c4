"""Where the columns of a pairwise loss come from."""

from core.objectives.contrast.keys.base import BatchKeys, Keys, Occasion, Problem
from core.objectives.contrast.keys.centroids import CentroidKeys
from core.objectives.contrast.keys.extra import ExtraNegatives
from core.objectives.contrast.keys.gathered import GatheredKeys, GroupedKeys, ReleasedGather
from core.objectives.contrast.keys.memory import MemoryKeys, QueueKeys, XBMKeys
from core.objectives.contrast.keys.mined import TeacherMined
from core.objectives.contrast.keys.ring import RingKeys

__all__ = [
    "BatchKeys",
    "CentroidKeys",
    "ExtraNegatives",
    "GatheredKeys",
    "GroupedKeys",
    "Keys",
    "MemoryKeys",
    "Occasion",
    "Problem",
    "QueueKeys",
    "ReleasedGather",
    "RingKeys",
    "TeacherMined",
    "XBMKeys",
]
