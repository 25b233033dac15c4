"""How far logits are from their target, each with its value and its gradient on the one tiled kernel."""

from core.objectives.contrast.divergence.base import Divergence, Running
from core.objectives.contrast.divergence.row_ce import RowCE

__all__ = ["Divergence", "RowCE", "Running"]
