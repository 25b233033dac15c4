"""Encoders, projections and fusion assembled for a purpose."""

from core.models.beam_search import Continuations, beam_search
from core.models.causal_lm import CausalLM, TransformerLM
from core.models.codebook import Codebook, FromModel, Placeholder, QueryMap, WordCodebook
from core.models.distillation import DistillationHead, MaskToken
from core.models.dual_encoder import DualEncoder
from core.models.hyper_projector import LowRank, Projector, ProjectorHypernet, averaged, random_rotation
from core.models.joint import JointEncoder, JointModel
from core.models.local_lm import LocalLM
from core.models.map_segmenter import ConvNeXtDecoder, MapSegmenter
from core.models.multimae_weights import load_multimae
from core.models.projection import LinearProjection, MLPProjection, StandardisedProjection
from core.models.ssma import AdapNetHead, SSMABlock, SSMAHead
from core.models.text_decoder import CaptionDecoder, SharedWordDecoder, TextDecoder, WordDecoder, caption_greedily
from core.models.token_projection import CodeProjection, QueryProjection, TokenProjection, WordProjection
from core.models.towers import PartOf, Towers, TowerSegmenter, TowersEncoder
from core.models.unet import UNetHead

__all__ = [
    "AdapNetHead",
    "CaptionDecoder",
    "CausalLM",
    "CodeProjection",
    "Codebook",
    "Continuations",
    "ConvNeXtDecoder",
    "DistillationHead",
    "DualEncoder",
    "FromModel",
    "JointEncoder",
    "JointModel",
    "LinearProjection",
    "LocalLM",
    "LowRank",
    "MLPProjection",
    "MapSegmenter",
    "MaskToken",
    "PartOf",
    "Placeholder",
    "Projector",
    "ProjectorHypernet",
    "QueryMap",
    "QueryProjection",
    "SSMABlock",
    "SSMAHead",
    "SharedWordDecoder",
    "StandardisedProjection",
    "TextDecoder",
    "TokenProjection",
    "TowerSegmenter",
    "Towers",
    "TowersEncoder",
    "TransformerLM",
    "UNetHead",
    "WordCodebook",
    "WordDecoder",
    "WordProjection",
    "averaged",
    "beam_search",
    "caption_greedily",
    "load_multimae",
    "random_rotation",
]
