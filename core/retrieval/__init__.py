"""Search in a gallery of vectors: post-processing against hubs, composition, modality inversion."""

from core.retrieval.adjust import (
    BankAdjustment,
    DualBankNorm,
    DynamicInvertedSoftmax,
    InvertedSoftmax,
    QBNorm,
    ScoreAdjustment,
)
from core.retrieval.composition import compose, composed_similarity, part_weights
from core.retrieval.convolution import BothBanks, FeatureAdjustment, InvGC, LocalAdj
from core.retrieval.inversion import Inversion, Inverted, InvertibleModel
from core.retrieval.inversion_image import ImageInversion
from core.retrieval.inversion_text import TextInversion
from core.retrieval.search import search

__all__ = [
    "BankAdjustment",
    "BothBanks",
    "DualBankNorm",
    "DynamicInvertedSoftmax",
    "FeatureAdjustment",
    "ImageInversion",
    "InvGC",
    "Inversion",
    "Inverted",
    "InvertedSoftmax",
    "InvertibleModel",
    "LocalAdj",
    "QBNorm",
    "ScoreAdjustment",
    "TextInversion",
    "compose",
    "composed_similarity",
    "part_weights",
    "search",
]
