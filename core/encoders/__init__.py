"""Encoders: input of one modality -> Encoded."""

from core.encoders.base import BlockContext, BlockHook, Encoder, SteppableEncoder, require_steps
from core.encoders.cnn import ConvNet
from core.encoders.image import ImageTransformer
from core.encoders.pyramid import SpatialPyramid
from core.encoders.slices import SlicePooled
from core.encoders.stretch import StretchedPositions, stretch_table, stretch_text, stretched_length, stretched_node
from core.encoders.text import TextTransformer
from core.encoders.text_conv import TextConvNet
from core.encoders.volume import VolumeTransformer

__all__ = [
    "BlockContext",
    "BlockHook",
    "ConvNet",
    "Encoder",
    "ImageTransformer",
    "SlicePooled",
    "SpatialPyramid",
    "SteppableEncoder",
    "StretchedPositions",
    "TextConvNet",
    "TextTransformer",
    "VolumeTransformer",
    "require_steps",
    "stretch_table",
    "stretch_text",
    "stretched_length",
    "stretched_node",
]
