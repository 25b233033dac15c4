"""Terms over the pixels of label maps: labels that may be wrong, and models that should agree."""

from core.objectives.pixels.agreement import PixelAgreement
from core.objectives.pixels.labels import PixelLabels
from core.objectives.pixels.ramp import EpochRamp
from core.objectives.pixels.selection import CrossModalSelection, Selection
from core.objectives.pixels.smoothing import Smoothing, SpatialTemporalSmoothing
from core.objectives.pixels.views import FusedLogits, JointLogits, ModalityLogits, Pixels, PixelView

__all__ = [
    "CrossModalSelection",
    "EpochRamp",
    "FusedLogits",
    "JointLogits",
    "ModalityLogits",
    "PixelAgreement",
    "PixelLabels",
    "PixelView",
    "Pixels",
    "Selection",
    "Smoothing",
    "SpatialTemporalSmoothing",
]
