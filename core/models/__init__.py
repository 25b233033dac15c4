"""Encoders, projections and fusion assembled for a purpose."""

from core.models.codebook import Codebook, FromModel, Placeholder, QueryMap, WordCodebook
from core.models.dual_encoder import DualEncoder
from core.models.projection import LinearProjection, MLPProjection, StandardisedProjection

__all__ = [
    "Codebook",
    "DualEncoder",
    "FromModel",
    "LinearProjection",
    "MLPProjection",
    "Placeholder",
    "QueryMap",
    "StandardisedProjection",
    "WordCodebook",
]
