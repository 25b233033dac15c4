"""Ways to let modalities meet."""

from core.fusion.base import Fused, Fusion
from core.fusion.co_attention import CoAttention, CoAttentionLayer
from core.fusion.cross_encoder import CrossEncoder
from core.fusion.joint import JointTransformer
from core.fusion.late import ConcatFusion, LateFusion, MeanFusion, ProductOfExperts
from core.fusion.missing import DropMissing, LearnedMissing, MissingPolicy, ZeroMissing
from core.fusion.query import QueryFusion

__all__ = [
    "CoAttention",
    "CoAttentionLayer",
    "ConcatFusion",
    "CrossEncoder",
    "DropMissing",
    "Fused",
    "Fusion",
    "JointTransformer",
    "LateFusion",
    "LearnedMissing",
    "MeanFusion",
    "MissingPolicy",
    "ProductOfExperts",
    "QueryFusion",
    "ZeroMissing",
]
