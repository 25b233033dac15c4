"""Layers without policy: attention, transformer block, patch embedding, positions, pooling."""

from core.nn.attention import CrossAttention, SelfAttention, attend
from core.nn.block import DropPath, FeedForward, TransformerBlock, blocks, init_transformer
from core.nn.decoder import CrossBlock, DecoderBlock, QueryPool
from core.nn.grid_pool import GridPool
from core.nn.norm import group_norm
from core.nn.patch import ConvStem, PatchEmbed
from core.nn.pooling import AttentionPool, ClsPool, LastPool, MaxPool, MeanMaxPool, MeanPool, PartsPool, Pooling
from core.nn.positions import LearnedPositions, Positions, SinCosPositions, sincos
from core.nn.query_former import QueryFormer
from core.nn.simplex import sparsemax
from core.nn.statistics import BatchNormPerKind, using_kind
from core.nn.token_calibration import TokenCalibration
from core.nn.token_learner import TokenLearner

__all__ = [
    "AttentionPool",
    "BatchNormPerKind",
    "ClsPool",
    "ConvStem",
    "CrossAttention",
    "CrossBlock",
    "DecoderBlock",
    "DropPath",
    "FeedForward",
    "GridPool",
    "LastPool",
    "LearnedPositions",
    "MaxPool",
    "MeanMaxPool",
    "MeanPool",
    "PartsPool",
    "PatchEmbed",
    "Pooling",
    "Positions",
    "QueryFormer",
    "QueryPool",
    "SelfAttention",
    "SinCosPositions",
    "TokenCalibration",
    "TokenLearner",
    "TransformerBlock",
    "attend",
    "blocks",
    "group_norm",
    "init_transformer",
    "sincos",
    "sparsemax",
    "using_kind",
]
