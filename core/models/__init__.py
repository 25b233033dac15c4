"""Encoders, projections and fusion assembled for a purpose."""

from core.models.distillation import DistillationHead, MaskToken
from core.models.dual_encoder import DualEncoder
from core.models.projection import LinearProjection, MLPProjection, StandardisedProjection
from core.models.text_decoder import CaptionDecoder, TextDecoder, WordDecoder, caption_greedily

__all__ = [
    "CaptionDecoder",
    "DistillationHead",
    "DualEncoder",
    "LinearProjection",
    "MLPProjection",
    "MaskToken",
    "StandardisedProjection",
    "TextDecoder",
    "WordDecoder",
    "caption_greedily",
]
