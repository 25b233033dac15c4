"""Entity linking: which entity of a knowledge base a mention in a sentence, with its picture, is about."""

from domains.molecules.linking.levels import BidirectionalCross as BidirectionalCross
from domains.molecules.linking.levels import CrossModal as CrossModal
from domains.molecules.linking.levels import IntraModal as IntraModal
from domains.molecules.linking.matcher import LevelMatcher as LevelMatcher
from domains.molecules.linking.processors import PictureProcessor as PictureProcessor
from domains.molecules.linking.processors import TitledText as TitledText
from domains.molecules.linking.ranking import EntityRanking as EntityRanking
from domains.molecules.linking.terms import LevelMatching as LevelMatching
