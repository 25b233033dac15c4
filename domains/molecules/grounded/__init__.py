"""Texts joined with the concept graph that they are about: DRAGON and GreaseLM."""

from domains.molecules.grounded.choices import ChoiceProcessor
from domains.molecules.grounded.cloze import ClozeFacts
from domains.molecules.grounded.decoders import DistMultDecoder, LinkDecoder, RotatEDecoder, TransEDecoder
from domains.molecules.grounded.encoder import GroundedEncoded, GroundedTextEncoder
from domains.molecules.grounded.figures import ChosenAnswers, HiddenLinkRanks, MaskedWords
from domains.molecules.grounded.hidden import HiddenLinks
from domains.molecules.grounded.negatives import SubgraphNegatives
from domains.molecules.grounded.processor import GroundedTextProcessor
from domains.molecules.grounded.task import MultipleChoice
from domains.molecules.grounded.terms import AnswerChoice, AnswerHead, LinkPrediction

__all__ = [
    "AnswerChoice",
    "AnswerHead",
    "ChoiceProcessor",
    "ChosenAnswers",
    "ClozeFacts",
    "DistMultDecoder",
    "GroundedEncoded",
    "GroundedTextEncoder",
    "GroundedTextProcessor",
    "HiddenLinkRanks",
    "HiddenLinks",
    "LinkDecoder",
    "LinkPrediction",
    "MaskedWords",
    "MultipleChoice",
    "RotatEDecoder",
    "SubgraphNegatives",
    "TransEDecoder",
]
