"""Encoders, projections and fusion assembled for a purpose."""

from core.models.dual_encoder import DualEncoder
from core.models.projection import LinearProjection, MLPProjection, StandardisedProjection

__all__ = ["DualEncoder", "LinearProjection", "MLPProjection", "StandardisedProjection"]
