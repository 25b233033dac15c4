"""Objectives of UniGraph (He et al. 2025): hidden words of nodes, read with the help of neighbours; latent targets.

Shape legend: V = subgraphs, N = nodes, A = real nodes of all, U = different ones, T = tokens, M = hidden tokens, D =
width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.tokens.masked_text import WordHead
from core.objectives.tokens.sources import tokens_of
from core.objectives.tokens.vocabulary import Classes, hard_cross_entropy
from core.types import ModalityInput
from domains.molecules.text_graphs.cascade import NodeTexts, TextCascade, scaled_cosine_error


@dataclass(frozen=True, slots=True)
class HiddenNodes:
    """texts: as they were. hidden: (U, T) bool. token: (U, T, D) states and node: (A, D) states of the hidden form."""

    texts: NodeTexts
    hidden: Tensor
    token: Tensor
    node: Tensor


def hide_tokens(inp: ModalityInput, *, ratio: float, special_tokens: int, generator: torch.Generator) -> Tensor:
    """(U, T) bool: int(ratio * n) of the n ordinary tokens of each text, drawn uniformly."""
    ordinary_UT = (inp.x >= special_tokens).cpu()
    if inp.mask is not None:
        ordinary_UT &= inp.mask.cpu()
    count_U = (ordinary_UT.sum(1) * ratio + 1e-9).long()
    order_UT = torch.rand(inp.x.shape, generator=generator) + 2.0 * ~ordinary_UT
    rank_UT = order_UT.argsort(1).argsort(1)
    return ((rank_UT < count_U[:, None]) & ordinary_UT).to(inp.x.device)


class HidesNodes(Term):
    """Base of both terms: they share one draw and one forward of the hidden texts in a step."""

    def __init__(self, *, modality: str, ratio: float, mask_id: int, special_tokens: int) -> None:
        super().__init__()
        if not 0 <= ratio < 1:
            raise ConfigError(f"{type(self).__name__}: ratio is {ratio}; give a value in [0, 1), for instance 0.75")
        self.modality, self.ratio, self.mask_id, self.special_tokens = modality, ratio, mask_id, special_tokens

    def hidden(self, step: Step) -> HiddenNodes:
        encoder = step.model.encoders[step.model.reads[self.modality]]
        if not isinstance(encoder, TextCascade):
            raise ConfigError(
                f"term '{self.name}': '{self.modality}' is read by a {type(encoder).__name__}, expected a TextCascade"
            )

        def run() -> HiddenNodes:
            texts = encoder.texts(step.input(self.modality))
            hidden_UT = hide_tokens(
                texts.inp, ratio=self.ratio, special_tokens=self.special_tokens, generator=step.generator
            )
            read = encoder.text(replace(texts.inp, x=texts.inp.x.masked_fill(hidden_UT, self.mask_id)))
            node_AD = encoder.graph(read.pooled[texts.of_A], texts.graph)
            return HiddenNodes(texts, hidden_UT, tokens_of(read, self.modality).x, node_AD)

        return step.memo(("hidden nodes", self.modality, self.ratio, self.mask_id, self.special_tokens), run)


class MaskedNodeText(HidesNodes):
    """Cross entropy of hidden tokens from [token; node], in nats per hidden token of all nodes, float32.

    Hidden tokens become the mask token, all of them. Which ones is remembered, not recovered by comparing ids with the
    mask's, so that a mask token of the text itself is no target. A text without ordinary tokens counts for nothing.
    """

    def __init__(
        self,
        *,
        modality: str,
        width: int,
        vocab_size: int,
        ratio: float = 0.75,
        mask_id: int = 4,
        special_tokens: int = 5,
        name: str | None = None,
    ) -> None:
        """width: D. vocab_size: ids of the tokenizer."""
        super().__init__(modality=modality, ratio=ratio, mask_id=mask_id, special_tokens=special_tokens)
        self.width = width
        self.mix = nn.Sequential(nn.Linear(2 * width, width), nn.PReLU())
        self.head = WordHead(width=width, vocab_size=vocab_size)
        self.name = f"masked_nodes_{modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        found = self.hidden(step)
        node_M, token_M = found.hidden[found.texts.of_A].nonzero(as_tuple=True)  # every place of a shared node counts
        if len(node_M) == 0:
            return {"loss": step.zero()}
        of_M = found.texts.of_A[node_M]
        both_M = torch.cat([found.token[of_M, token_M].float(), found.node[node_M]], dim=1)
        states = self.head.states(self.mix(both_M))
        loss_M, hit_M = hard_cross_entropy(states, Classes.of(self.head.decoder), found.texts.inp.x[of_M, token_M])
        return {"loss": loss_M.mean(), "accuracy": hit_M.float().mean()}


class LatentNodes(HidesNodes):
    """Mean of 1 - cosine between predictor(node state of hidden texts) and the teacher's state of the whole texts.

    Target is the teacher's `tokens` of the modality, without gradient; UniGraph weighs it 0.1.
    """

    def __init__(
        self,
        *,
        modality: str,
        teacher: str,
        width: int,
        ratio: float = 0.75,
        mask_id: int = 4,
        special_tokens: int = 5,
        power: float = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__(modality=modality, ratio=ratio, mask_id=mask_id, special_tokens=special_tokens)
        self.teacher, self.power = teacher, power
        self.predictor = nn.Sequential(nn.Linear(width, width), nn.PReLU(), nn.Linear(width, width))
        self.name = f"latent_nodes_{modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        found = self.hidden(step)
        with torch.no_grad():
            target = tokens_of(step.teacher(self.teacher).encoded(self.modality), self.modality)
        target_AD = target.x[found.texts.graph.mask].detach()
        return {"loss": scaled_cosine_error(self.predictor(found.node), target_AD, self.power).mean()}
