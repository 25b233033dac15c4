"""How far logits are from their target, each with its value and its gradient on the one tiled kernel."""

from core.objectives.contrast.divergence.balanced_bce import BalancedBCE
from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.divergence.hardest_hinge import HardestHinge
from core.objectives.contrast.divergence.margin import Hinge, Margin
from core.objectives.contrast.divergence.reverse_kl import ReverseKL
from core.objectives.contrast.divergence.row_ce import RowCE
from core.objectives.contrast.divergence.sigmoid import Sigmoid
from core.objectives.contrast.divergence.spectral import SpectralContrastive

__all__ = [
    "BalancedBCE",
    "Divergence",
    "HardestHinge",
    "Hinge",
    "Margin",
    "ReverseKL",
    "RowCE",
    "Running",
    "Sigmoid",
    "SpectralContrastive",
]
