"""The one pass of a step in which words are masked and links are hidden, shared by both losses (DRAGON).

Shape legend: V = rows, T = tokens, M = edges, N = nodes, K = mentions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.hidden_edges import EdgeDraw, HiddenEdges
from core.objectives.tokens.sources import TokenSource
from core.types import ModalityInput, Tokens
from domains.molecules.grounded.encoder import GroundedEncoded, GroundedTextEncoder, without_messages
from domains.molecules.grounded.processor import ANSWER, OTHER


@dataclass(frozen=True, slots=True)
class JointPass:
    """inp: what was encoded."""

    inp: ModalityInput
    encoded: GroundedEncoded


def grounded_encoder(step: Step, modality: str) -> GroundedTextEncoder:
    """The encoder of a modality. Raises ConfigError when it reads no graphs."""
    encoder = step.model.encoders[step.model.reads[modality]]
    if not isinstance(encoder, GroundedTextEncoder):
        raise ConfigError(f"'{modality}' is read by a {type(encoder).__name__}; expected a GroundedTextEncoder")
    return encoder


def hidden_edges(step: Step, modality: str, draw: EdgeDraw) -> HiddenEdges:
    """Which edges of the step are asked for, drawn once however often it is asked."""

    def drawn() -> HiddenEdges:
        extra, relations = step.input(modality).extra, grounded_encoder(step, modality).relations
        return draw(extra["edges"], extra["edge_mask"], relations=relations, generator=step.generator)

    return step.memo(("hidden edges", modality, draw), drawn)


def joint_pass(step: Step, modality: str, inp: ModalityInput) -> JointPass:
    """The forward of `inp`, kept for who asks after it."""

    def run() -> JointPass:
        encoded = step.model.encode(modality, inp)
        assert isinstance(encoded, GroundedEncoded)
        return JointPass(inp, encoded)

    return step.memo(("joint pass", modality), run)


class HiddenLinks(TokenSource):
    """Tokens of a pass in which edges are hidden, so that `LinkPrediction` can ask for them in the same pass.

    The masked-text term that reads from here must come before `LinkPrediction` in the list of objectives.
    unlink: a concept whose mentions are all masked loses its link to the context node, and the type that the link gave
    it. Otherwise the graph tells which words are missing, and nothing has to be read from facts (DRAGON: kept).
    """

    def __init__(self, *, draw: EdgeDraw | None = None, unlink: bool = False) -> None:
        """draw: which edges are hidden; None hides none."""
        super().__init__()
        self.draw, self.unlink = draw, unlink

    def rows(self, step: Step, modality: str) -> Tensor:
        return torch.arange(len(step.input(modality)) if step.has(modality) else 0)

    def tokens(self, step: Step, modality: str, inp: ModalityInput, keep: Tensor | None = None) -> Tokens:
        if keep is not None:
            raise ConfigError("HiddenLinks: a term that drops tokens cannot read from here; use MaskedText")
        if self.draw is not None:
            inp = without_messages(inp, hidden_edges(step, modality, self.draw).messages_VM)
        if self.unlink:
            inp = unlinked(inp, step.input(modality).x)
        found = joint_pass(step, modality, inp)
        if found.inp is not inp:
            raise ConfigError("objectives: list the masked-text term before LinkPrediction, which shares its pass")
        assert found.encoded.tokens is not None
        return found.encoded.tokens


def unlinked(inp: ModalityInput, clean_VT: Tensor) -> ModalityInput:
    """`inp` without links to concepts that have mentions and none of which reads as in the clean text."""
    node_VK, first_VK, last_VK = inp.extra["mentions"].unbind(dim=-1)
    real_VK = inp.extra["mention_mask"]
    changed_VT = marked_before(inp.x != clean_VT)
    whole_VK = changed_VT.gather(1, last_VK + 1) == changed_VT.gather(1, first_VK)
    kind_VN = inp.extra["node_type"]

    def any_of(mark_VK: Tensor) -> Tensor:
        return torch.zeros_like(kind_VN).scatter_add(1, node_VK, mark_VK.long()) > 0

    lost_VN = any_of(real_VK) & ~any_of(real_VK & whole_VK) & (kind_VN <= ANSWER)
    return replace(inp, extra={**inp.extra, "node_type": kind_VN.masked_fill(lost_VN, OTHER)})


def marked_before(mark_VT: Tensor) -> Tensor:
    """(V, T + 1): how many of the first t tokens are marked."""
    return F.pad(mark_VT.long().cumsum(1), (1, 0))
