"""Levels at which a mention and an entity are compared; each gives one score, or several."""

from domains.molecules.linking.levels.attention import CrossAttention as CrossAttention
from domains.molecules.linking.levels.attention import TemperaturePool as TemperaturePool
from domains.molecules.linking.levels.base import Level as Level
from domains.molecules.linking.levels.cross_modal import BidirectionalCross as BidirectionalCross
from domains.molecules.linking.levels.cross_modal import CrossModal as CrossModal
from domains.molecules.linking.levels.intra_modal import IntraModal as IntraModal
