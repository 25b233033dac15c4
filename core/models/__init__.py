"""Encoders, projections and fusion assembled for a purpose."""

from core.models.dual_encoder import DualEncoder
from core.models.projection import LinearProjection, MLPProjection

__all__ = ["DualEncoder", "LinearProjection", "MLPProjection"]
