"""Figures of a model of texts and graphs on held-out data: masked words, hidden links, chosen answers.

Shape legend: V = rows, T = tokens, N = nodes, S = links asked for, Q = questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from core.data.datamodule import DataModule
from core.errors import ConfigError, nearest
from core.evaluation.answers import AnswerRanks, KnownAnswers, answer_ranks, answer_scores
from core.evaluation.bootstrap import bootstrap_interval, mean_statistic
from core.models.dual_encoder import DualEncoder
from core.objectives.hidden_edges import EdgeDraw
from core.objectives.tokens.masked_text import MaskedText, WordHead
from core.training.figures import Figure
from core.training.precision import Compute
from domains.molecules.grounded.encoder import GroundedTextEncoder, without_messages
from domains.molecules.grounded.hidden import unlinked
from domains.molecules.grounded.terms import AnswerHead, link_decoder


def encoder_of(model: DualEncoder, modality: str) -> GroundedTextEncoder:
    """Raises ConfigError when the model reads the modality with something else."""
    encoder = model.encoder_of(modality)
    if not isinstance(encoder, GroundedTextEncoder):
        raise ConfigError(f"figure: '{modality}' is read by a {type(encoder).__name__}, not a GroundedTextEncoder")
    return encoder


def head_of(model: DualEncoder, name: str) -> torch.nn.Module:
    """Raises ConfigError for a head that the model does not have."""
    if name not in model.heads:
        raise ConfigError(f"figure: model.heads has no '{name}'{nearest(name, model.heads)}")
    return model.heads[name]


def mean_of(values: list[float], name: str, n_bootstrap: int, seed: int) -> dict[str, float]:
    """Mean with its interval; nothing for no value."""
    if not values:
        return {}
    statistic = mean_statistic(np.array(values))
    return bootstrap_interval(statistic, rows=len(values), n=n_bootstrap, seed=seed).flat(name)


class MaskedWords(Figure):
    """Accuracy over masked tokens of held-out texts, masked as in training, the same ones each time."""

    headline: ClassVar[Mapping[str, str]] = {"masked words, accuracy": "masked_words/accuracy"}

    def __init__(
        self, *, modality: str = "grounded", head: str = "words", ratio: float = 0.15, unlink: bool = False
    ) -> None:
        """unlink: see `HiddenLinks`."""
        self.modality, self.head, self.ratio, self.unlink = modality, head, ratio, unlink

    def check(self, model: DualEncoder) -> None:
        encoder_of(model, self.modality)
        if not isinstance(head_of(model, self.head), WordHead):
            raise ConfigError(f"MaskedWords: model.heads.{self.head} should be a core.objectives.tokens WordHead")

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        encoder, head = encoder_of(model, self.modality), head_of(model, self.head)
        assert isinstance(head, WordHead)
        rows = head.decoder.out_features
        task = MaskedText(modality=self.modality, width=encoder.text.width, vocab_size=rows, ratio=self.ratio)
        generator = torch.Generator().manual_seed(seed)
        hits: list[float] = []
        for batch in data.eval_loader(split):
            if self.modality not in batch.inputs:
                continue
            inp = batch.inputs[self.modality]
            hidden = task.hide(inp, generator)
            shown = unlinked(hidden.inp, inp.x) if self.unlink else hidden.inp
            with compute.autocast():
                tokens = encoder.read(shown.to(compute.device)).tokens
                assert tokens is not None
                logits = head(tokens.x[hidden.hidden.to(compute.device)])
            hits += (logits.argmax(1).cpu() == hidden.target).double().tolist()
        return mean_of(hits, "masked_words/accuracy", n_bootstrap, seed)


class HiddenLinkRanks(Figure):
    """Filtered ranks of both ends of links hidden from the subgraphs of held-out texts, among the concepts of the
    subgraph (never the context node); other true ends in the subgraph are left out. `mrr_chance`: of equal scores.

    A link is hidden from the messages of its own subgraph; another text of the training split may have shown it.
    """

    headline: ClassVar[Mapping[str, str]] = {
        "hidden links, filtered MRR": "hidden_links/mrr", "  of equal scores": "hidden_links/mrr_chance"
    }  # fmt: skip

    def __init__(self, *, modality: str = "grounded", head: str = "links", draw: EdgeDraw | None = None) -> None:
        """draw: its `visible` does not count, all links asked for are hidden."""
        self.modality, self.head = modality, head
        own = draw or EdgeDraw()
        self.draw = EdgeDraw(ratio=own.ratio, most=own.most, least=own.least, visible=0.0)

    def check(self, model: DualEncoder) -> None:
        encoder_of(model, self.modality)
        link_decoder(head_of(model, self.head), self.head)

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        encoder = encoder_of(model, self.modality)
        generator = torch.Generator().manual_seed(seed)
        found, rows, first = [], [], 0
        for batch in data.eval_loader(split):
            if self.modality not in batch.inputs:
                continue
            inp = batch.inputs[self.modality]
            extra = inp.extra
            hidden = self.draw(extra["edges"], extra["edge_mask"], relations=encoder.relations, generator=generator)
            row_S, of_row_S = hidden.asked_VM.nonzero(as_tuple=True)
            if len(row_S):
                with compute.autocast():
                    nodes = encoder.read(without_messages(inp, hidden.messages_VM).to(compute.device)).nodes
                assert nodes is not None
                asked_S3 = extra["edges"][row_S, of_row_S]
                found += [self._ranks(model, nodes.x, row_S, asked_S3, inp.extra, heads) for heads in (True, False)]
                rows += [np.arange(first, first + len(row_S))] * 2
                first += len(row_S)
        if not found:
            return {}
        ranks = AnswerRanks(*(np.concatenate([getattr(f, n) for f in found]) for n in AnswerRanks.__slots__))
        groups = np.concatenate(rows)
        scores = answer_scores(ranks, groups_Q=groups, n_bootstrap=n_bootstrap, seed=seed)
        chance = float((2 / (ranks.pool + 1)).mean())
        return {f"hidden_links/{k}": v for k, v in (scores.flat() | {"mrr_chance": chance}).items()}

    def _ranks(
        self, model: DualEncoder, node_VNG: torch.Tensor, row_S: torch.Tensor, asked_S3: torch.Tensor,
        extra: Mapping[str, torch.Tensor], heads: bool,
    ) -> AnswerRanks:  # fmt: skip
        decoder = link_decoder(head_of(model, self.head), self.head)
        state_SNG = decoder.states(node_VNG)[row_S.to(node_VNG.device)]
        given, wanted = (2, 0) if heads else (0, 2)
        at_S = torch.arange(len(row_S))
        known_SG = state_SNG[at_S, asked_S3[:, given]]
        score_SN = decoder.scores(known_SG, asked_S3[:, 1].to(known_SG.device), state_SNG, heads=heads).cpu()
        # Left out of the pool of question i: padding, the context node, and other true ends
        out_SN = ~extra["node_mask"][row_S]
        out_SN[:, 0] = True
        edges_SM3 = extra["edges"][row_S]
        true_SM = extra["edge_mask"][row_S] & (edges_SM3[..., [given, 1]] == asked_S3[:, None, [given, 1]]).all(-1)
        question, edge = true_SM.nonzero(as_tuple=True)
        out_SN[question, edges_SM3[question, edge, wanted]] = True
        out = KnownAnswers(*(part.numpy() for part in out_SN.nonzero(as_tuple=True)))
        return answer_ranks(
            lambda block: score_SN[block], np.arange(len(row_S)), asked_S3[:, wanted].numpy(),
            candidates=score_SN.shape[1], known=out,
        )  # fmt: skip


class ChosenAnswers(Figure):
    """Accuracy of multiple-choice answers, over questions with a known answer; `chance` beside it."""

    headline: ClassVar[Mapping[str, str]] = {"answers, accuracy": "answers/accuracy", "  chance": "answers/chance"}

    def __init__(self, *, modality: str = "grounded", head: str = "answer") -> None:
        self.modality, self.head = modality, head

    def check(self, model: DualEncoder) -> None:
        encoder_of(model, self.modality)
        if not isinstance(head_of(model, self.head), AnswerHead):
            raise ConfigError(f"ChosenAnswers: model.heads.{self.head} should be an AnswerHead")

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        encoder, head = encoder_of(model, self.modality), head_of(model, self.head)
        hits: list[float] = []
        chances: list[float] = []
        for batch in data.eval_loader(split):
            if self.modality in batch.inputs:
                inp = batch.inputs[self.modality]
                with compute.autocast():
                    chosen_V = head(encoder, inp.to(compute.device)).argmax(1).cpu()
                known_V = inp.extra["answer"] >= 0
                hits += (chosen_V == inp.extra["answer"])[known_V].double().tolist()
                chances += (1 / inp.extra["choice_mask"].sum(1)[known_V]).tolist()
        if not hits:
            return {}
        return mean_of(hits, "answers/accuracy", n_bootstrap, seed) | {"answers/chance": float(np.mean(chances))}
