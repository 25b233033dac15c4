"""Encoders: input of one modality -> Encoded."""

from core.encoders.adapnet import AdapNet
from core.encoders.adapters import Adapter, ClassPatchAdapter, PatchAdapter, TokenAdapter
from core.encoders.base import BlockContext, BlockHook, Encoder, SteppableEncoder, require_steps
from core.encoders.cnn import ConvNet
from core.encoders.image import ImageTransformer
from core.encoders.post_norm_text import PostNormText
from core.encoders.pyramid import SpatialPyramid
from core.encoders.several import MultimodalEncoder
from core.encoders.slices import SlicePooled
from core.encoders.stretch import StretchedPositions, stretch_table, stretch_text, stretched_length, stretched_node
from core.encoders.text import TextTransformer
from core.encoders.text_caption import CaptionTextTransformer
from core.encoders.text_conv import TextConvNet
from core.encoders.vector import VectorMLP
from core.encoders.volume import VolumeTransformer

__all__ = [
    "AdapNet",
    "Adapter",
    "BlockContext",
    "BlockHook",
    "CaptionTextTransformer",
    "ClassPatchAdapter",
    "ConvNet",
    "Encoder",
    "ImageTransformer",
    "MultimodalEncoder",
    "PatchAdapter",
    "PostNormText",
    "SlicePooled",
    "SpatialPyramid",
    "SteppableEncoder",
    "StretchedPositions",
    "TextConvNet",
    "TextTransformer",
    "TokenAdapter",
    "VectorMLP",
    "VolumeTransformer",
    "require_steps",
    "stretch_table",
    "stretch_text",
    "stretched_length",
    "stretched_node",
]
