"""Texts joined with the concept graph that they are about: DRAGON and GreaseLM."""

from domains.molecules.text_graph.choices import ChoiceProcessor
from domains.molecules.text_graph.cloze import ClozeFacts
from domains.molecules.text_graph.decoders import DistMultDecoder, LinkDecoder, RotatEDecoder, TransEDecoder
from domains.molecules.text_graph.encoder import TextGraphEncoded, TextGraphEncoder
from domains.molecules.text_graph.figures import ChosenAnswers, HiddenLinkRanks, MaskedWords
from domains.molecules.text_graph.hidden import HiddenLinks
from domains.molecules.text_graph.negatives import SubgraphNegatives
from domains.molecules.text_graph.processor import TextGraphProcessor
from domains.molecules.text_graph.task import MultipleChoice
from domains.molecules.text_graph.terms import AnswerChoice, AnswerHead, LinkPrediction

__all__ = [
    "AnswerChoice",
    "AnswerHead",
    "ChoiceProcessor",
    "ChosenAnswers",
    "ClozeFacts",
    "DistMultDecoder",
    "HiddenLinkRanks",
    "HiddenLinks",
    "LinkDecoder",
    "LinkPrediction",
    "MaskedWords",
    "MultipleChoice",
    "RotatEDecoder",
    "SubgraphNegatives",
    "TextGraphEncoded",
    "TextGraphEncoder",
    "TextGraphProcessor",
    "TransEDecoder",
]
