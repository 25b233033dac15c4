"""Objective terms over texts with graphs: hidden links, and the right one of several statements.

Shape legend: V = rows, C = choices, S = links asked for, K = wrong ends of each, G = width of a node.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.hidden_edges import EdgeDraw
from core.types import ModalityInput
from domains.molecules.grounded.decoders import LinkDecoder
from domains.molecules.grounded.encoder import GroundedTextEncoder, without_messages
from domains.molecules.grounded.hidden import grounded_encoder, hidden_edges, joint_pass
from domains.molecules.grounded.negatives import Asked, SubgraphNegatives
from domains.molecules.kg.losses import SelfAdversarialLoss


class LinkPrediction(Term):
    """Self-adversarial loss of hidden links among the nodes of their subgraph, plus the size of the relations.

    The pass is the one of the masked-text term that reads from `HiddenLinks` and stands before it, or one of its own.
    Values: "loss", "right_ahead" (share of wrong ends scored below the right one). Without a hidden link: exact 0.
    """

    name = "links"

    def __init__(
        self,
        *,
        modality: str = "grounded",
        head: str = "links",
        draw: EdgeDraw | None = None,
        negatives: SubgraphNegatives | None = None,
        temperature: float = 1.0,
        regularisation: float = 0.01,
    ) -> None:
        """head: name of a `LinkDecoder` among the model's heads. draw: the one of `HiddenLinks`."""
        super().__init__()
        self.modality, self.head_name, self.draw = modality, head, draw or EdgeDraw()
        self.negatives, self.temperature = negatives or SubgraphNegatives(), temperature
        self.regularisation = regularisation

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        decoder = link_decoder(step.head(self.head_name), self.head_name)
        inp = step.input(self.modality)
        grounded_encoder(step, self.modality)
        hidden = hidden_edges(step, self.modality, self.draw)
        row_S, of_row_S = hidden.asked_VM.nonzero(as_tuple=True)
        if len(row_S) == 0:
            return {"loss": step.zero()}
        seen = joint_pass(step, self.modality, without_messages(inp, hidden.messages_VM))
        if seen.inp.extra["edge_mask"] is not hidden.messages_VM:
            raise ConfigError(
                "objectives: the masked-text term reads a pass in which other links are hidden than LinkPrediction "
                "asks for, so that answers are seen; give its HiddenLinks the same `draw`"
            )
        nodes = seen.encoded.nodes
        assert nodes is not None
        asked = Asked(row_S, inp.extra["edges"][row_S, of_row_S])
        drawn, real = self.negatives.draw(
            asked,
            edges_VM3=inp.extra["edges"],
            real_VM=inp.extra["edge_mask"],
            nodes_V=inp.extra["node_mask"].sum(1),
            generator=step.generator,
        )
        state_VNG = decoder.states(nodes.x)
        with torch.autocast(state_VNG.device.type, enabled=False):
            right_S, wrong_SK = link_scores(decoder, state_VNG, asked, drawn)
            real_SK = None if real is None else real.flatten(1)
            loss = SelfAdversarialLoss(margin=decoder.margin, temperature=self.temperature)(right_S, wrong_SK, real_SK)
            loss = loss + self.regularisation * decoder.relation_size()
        counts_SK = torch.ones_like(wrong_SK, dtype=torch.bool) if real_SK is None else real_SK
        ahead = ((right_S[:, None] > wrong_SK) & counts_SK).sum() / counts_SK.sum().clamp_min(1)
        return {"loss": loss, "right_ahead": ahead}


def link_decoder(found: nn.Module, name: str) -> LinkDecoder:
    """Raises ConfigError when a head is no link decoder."""
    if not isinstance(found, LinkDecoder):
        raise ConfigError(f"model.heads.{name} is a {type(found).__name__}; expected a LinkDecoder")
    return found


def link_scores(decoder: LinkDecoder, state_VNG: Tensor, asked: Asked, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """(S,) scores of the links asked for, (S, K) with wrong heads, then wrong tails. drawn: (S, 2, K / 2)."""
    own_SNG = state_VNG[asked.row_S]
    head_S, relation_S, tail_S = asked.triple_S3.unbind(dim=1)
    at_S = torch.arange(len(head_S), device=head_S.device)
    head_SG, tail_SG = own_SNG[at_S, head_S], own_SNG[at_S, tail_S]
    right_S = decoder.scores(head_SG, relation_S, tail_SG[:, None], heads=False)[:, 0]
    wrong = [own_SNG[at_S[:, None], drawn[:, side]] for side in (0, 1)]
    of_heads = decoder.scores(tail_SG, relation_S, wrong[0], heads=True)
    return right_S, torch.cat([of_heads, decoder.scores(head_SG, relation_S, wrong[1], heads=False)], dim=1)


class AnswerHead(nn.Module):
    """fc([pooled graph ; h_CLS ; x_context]): (V, C, ...) statements -> (V, C) logits, the lowest for padding."""

    def __init__(self, *, width: int, dropout: float = 0.2) -> None:
        """width: of the encoder's pooled vector."""
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, encoder: GroundedTextEncoder, inp: ModalityInput) -> Tensor:
        if inp.x.ndim != 3:
            raise ConfigError("AnswerHead reads questions with choices; their processor is a ChoiceProcessor")
        choice_VC = inp.extra["choice_mask"]
        logit_VC = self.layers(encoder.statements(inp).pooled)[:, 0].float().view_as(choice_VC)
        return logit_VC.masked_fill(~choice_VC, torch.finfo(logit_VC.dtype).min)


def answer_loss(logit_VC: Tensor, answer_V: Tensor) -> dict[str, Tensor]:
    """Cross entropy over choices and accuracy, over rows with a known answer. Equal logits of C choices: ln C."""
    known_V = answer_V >= 0
    loss = F.cross_entropy(logit_VC, answer_V, ignore_index=-1, reduction="sum") / known_V.sum().clamp_min(1)
    right = ((logit_VC.argmax(1) == answer_V) & known_V).sum() / known_V.sum().clamp_min(1)
    return {"loss": loss, "accuracy": right}


class AnswerChoice(Term):
    """Cross entropy of the right choice (GreaseLM; Zhang et al. 2022)."""

    name = "answer"

    def __init__(self, *, modality: str = "grounded", head: str = "answer") -> None:
        """head: name of an `AnswerHead` among the model's heads."""
        super().__init__()
        self.modality, self.head_name = modality, head

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        head = step.head(self.head_name)
        inp = step.input(self.modality)
        return answer_loss(head(grounded_encoder(step, self.modality), inp), inp.extra["answer"])
