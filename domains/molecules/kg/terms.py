"""Objective terms of link prediction: drawn wrong answers, all entities at once, and a regulariser.

Shape legend: V = triples of the batch, Q = questions asked about them, K = wrong answers of each, E = entities.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError
from core.objectives.base import Step, Term
from domains.molecules.kg.encoder import LinkEncoder
from domains.molecules.kg.entities import Entities
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.losses import LinkLoss, LogisticLoss
from domains.molecules.kg.negatives import Negatives, Questions, UniformNegatives

Sides = Literal["one", "both"]


def link_encoder(step: Step, modality: str) -> tuple[LinkEncoder, Graph]:
    """The encoder of triples, and the graph it was shown. Raises ConfigError when the modality has another encoder."""
    encoder = step.model.encoders[step.model.reads[modality]]
    if not isinstance(encoder, LinkEncoder):
        raise ConfigError(f"'{modality}' is read by a {type(encoder).__name__}; link prediction needs a LinkEncoder")
    if encoder.graph is None:
        raise ConfigError(
            f"the encoder of '{modality}' was shown no graph; call model.take(processors) before training"
        )
    return encoder, encoder.graph


def questions(triples_V3: Tensor, sides: Sides) -> Questions:
    """Every triple asked for its head and for its tail; or the first half for heads and the others for tails."""
    rows = len(triples_V3)
    if sides == "both":
        triples_V3, asked = torch.cat([triples_V3, triples_V3]), rows
    else:
        asked = rows // 2
    heads_Q = torch.arange(len(triples_V3), device=triples_V3.device) < asked
    return Questions(triples_V3, heads_Q)


def answer_points(encoder: LinkEncoder, asked: Questions, entities: Entities) -> Tensor:
    """(Q, D), questions about heads first."""
    heads = int(asked.heads_V.sum())
    head_V, relation_V, tail_V = asked.triples_V3.unbind(dim=1)
    of_heads = encoder.question(tail_V[:heads], relation_V[:heads], heads=True, entities=entities)
    of_tails = encoder.question(head_V[heads:], relation_V[heads:], heads=False, entities=entities)
    return torch.cat([of_heads, of_tails])


class SampledLinks(Term):
    """Right answers against drawn wrong ones."""

    name = "links"

    def __init__(
        self,
        *,
        modality: str = "triple",
        negatives: Negatives | None = None,
        loss: LinkLoss | None = None,
        sides: Sides = "one",
    ) -> None:
        """sides: "one" asks half of the batch for heads and half for tails, "both" asks every triple both ways.
        negatives: one uniform one per question by default. loss: logistic by default."""
        super().__init__()
        self.modality, self.sides = modality, sides
        self.negatives, self.loss = negatives or UniformNegatives(), loss or LogisticLoss()

    def forward(self, step: Step) -> dict[str, Tensor]:
        triples_V3 = self.triples(step)
        if triples_V3 is None:
            return {"loss": step.zero()}
        encoder, graph = link_encoder(step, self.modality)
        asked = questions(triples_V3, self.sides)
        drawn_QK, real_QK = self.negatives.draw(asked, graph, step.generator)
        candidate_QC = torch.cat([asked.answer_V[:, None], drawn_QK], dim=1)
        with torch.autocast(triples_V3.device.type, enabled=False):
            entities = encoder.entities.without(triples_V3)
            point_QD = answer_points(encoder, asked, entities)
            score_QC = encoder.candidate_scores(point_QD, candidate_QC, entities)
            loss = self.loss(score_QC[:, 0], score_QC[:, 1:], real_QK)
        ahead = (score_QC[:, :1] > score_QC[:, 1:]).float().mean()
        return {"loss": loss, "right_ahead": ahead}

    def triples(self, step: Step) -> Tensor | None:
        """(V, 3) what the step asks about; None when there is nothing."""
        return step.input(self.modality).x if step.has(self.modality) else None


class DrawnLinks(SampledLinks):
    """Triples of the graph, drawn anew in every step: for data whose rows are no triples but know a graph.

    modality: one that a LinkEncoder reads.
    """

    name = "graph_links"

    def __init__(
        self,
        *,
        modality: str,
        per_step: int = 128,
        negatives: Negatives | None = None,
        loss: LinkLoss | None = None,
        sides: Sides = "both",
    ) -> None:
        super().__init__(modality=modality, negatives=negatives, loss=loss, sides=sides)
        if per_step < 1:
            raise ConfigError(f"DrawnLinks: per_step is {per_step}; give 1 or more")
        self.per_step = per_step

    def triples(self, step: Step) -> Tensor | None:
        encoder, graph = link_encoder(step, self.modality)
        if len(graph.triples_T3) == 0:
            return None
        drawn = torch.randint(len(graph.triples_T3), (self.per_step,), generator=step.generator)
        return torch.from_numpy(graph.triples_T3)[drawn].to(next(encoder.parameters()).device)


class AllLinks(Term):
    """Cross-entropy of the right answer among all entities, both ways (Lacroix et al. 2018). Equal scores: ln E."""

    name = "links"

    def __init__(self, *, modality: str = "triple", smoothing: float = 0.0) -> None:
        """smoothing: share of the target spread over all entities, in [0, 1)."""
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ConfigError(f"AllLinks: smoothing is {smoothing}; give a share in [0, 1)")
        self.modality, self.smoothing = modality, smoothing

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        encoder, _ = link_encoder(step, self.modality)
        triples_V3 = step.input(self.modality).x
        asked = questions(triples_V3, "both")
        with torch.autocast(triples_V3.device.type, enabled=False):
            entities = encoder.entities.without(triples_V3)
            score_QE = encoder.all_scores(answer_points(encoder, asked, entities), entities)
            loss = F.cross_entropy(score_QE.float(), asked.answer_V, label_smoothing=self.smoothing)
        return {"loss": loss}


class NuclearThree(Term):
    """N3: mean over the batch of the sum of cubed moduli of head, relation and tail (Lacroix et al. 2018)."""

    name = "n3"

    def __init__(self, *, modality: str = "triple") -> None:
        super().__init__()
        self.modality = modality

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        encoder, _ = link_encoder(step, self.modality)
        head_V, relation_V, tail_V = step.input(self.modality).x.unbind(dim=1)
        links = encoder.links
        ends = [encoder.entities.rows(ids).unflatten(-1, (links.parts, links.dim)) for ids in (head_V, tail_V)]
        factors = [*ends, links.factors(relation_V)]
        cubes = [f.float().square().sum(dim=-2).clamp_min(1e-24).pow(1.5).sum(dim=-1).mean() for f in factors]
        return {"loss": torch.stack(cubes).sum()}
