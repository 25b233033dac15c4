"""A language model that reads graphs where its text has placeholders: MolCA (Liu et al. 2023), used by ReactXT.

Shape legend: V = contexts, T = tokens, M = graphs of a context, P = graphs of all, N = atoms, Q = queries, D = width of
the language model, C = width of the graph encoder.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.models.beam_search import Continuations, beam_search
from core.models.causal_lm import CausalLM
from core.nn import MeanPool, QueryFormer
from core.types import Encoded, ModalityInput, Tokens


class GraphPromptedLM(Encoder):
    """Token ids (V, T) and graphs -> states (V, T, D) of a causal language model.

    Each graph is encoded, [its pooled vector; its atoms] are normalised and read by the queries of `former`, and the
    queries, mapped to D, stand in the place of the words of its placeholders. graph, former: None for a model of text
    alone, which sees placeholders as words.
    """

    def __init__(self, *, lm: CausalLM, graph: Encoder | None = None, former: QueryFormer | None = None) -> None:
        super().__init__()
        if (graph is None) != (former is None):
            raise ConfigError("GraphPromptedLM: give both `graph` and `former`, or neither for text alone")
        self.lm, self.graph, self.former = lm, graph, former
        self.width, self.vocab_size = lm.width, lm.vocab_size
        self.mean = MeanPool()
        if graph is not None and former is not None:
            if former.context_width != graph.width:
                raise ConfigError(
                    f"GraphPromptedLM: former.context_width is {former.context_width}, graphs have width {graph.width}"
                )
            self.graph_norm = nn.LayerNorm(graph.width)
            self.to_words = nn.Linear(former.width, lm.width)

    def check(self, processor: Any) -> None:
        """Raises ConfigError for a processor of other placeholders, lengths or graphs."""
        queries = getattr(processor, "queries", None)
        if queries is None:
            raise ConfigError("GraphPromptedLM reads contexts; their processor is domains.molecules.language's")
        own = 0 if self.former is None else self.former.count
        if queries != own:
            raise ConfigError(f"the processor puts {queries} placeholders for a graph, the model has {own} queries")
        if processor.max_length > self.lm.max_length:
            raise ConfigError(
                f"the processor makes contexts of up to {processor.max_length} tokens, the language model takes "
                f"{self.lm.max_length}"
            )
        made = getattr(self.graph, "vocabulary", processor.graphs)
        if made != processor.graphs:
            raise ConfigError(
                f"the processor makes graphs of vocabulary '{processor.graphs}', the encoder reads '{made}'"
            )

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        mask_VT = _mask(inp)
        states_VTD = self.lm(self.words(inp), mask_VT)
        return Encoded(pooled=self.mean(states_VTD, mask_VT), tokens=Tokens(x=states_VTD, mask=mask_VT))

    def words(self, inp: ModalityInput) -> Tensor:
        """(V, T, D) vectors of the tokens, those of graphs in the place of their placeholders."""
        words_VTD = self.lm.words(inp.x)
        if self.former is None or "graph_x" not in inp.extra:
            return words_VTD
        told_VRD = self.prompts(inp).flatten(1, 2).to(words_VTD.dtype)
        slots_VT = inp.extra["slots"]
        chosen_VTD = told_VRD.gather(1, slots_VT.clamp_min(0)[..., None].expand_as(words_VTD))
        return torch.where((slots_VT >= 0)[..., None], chosen_VTD, words_VTD)

    def prompts(self, inp: ModalityInput) -> Tensor:
        """(V, M, Q, D) what the queries read of each graph, zeros where a context has fewer graphs."""
        assert self.graph is not None
        assert self.former is not None
        mask_VMN = inp.extra["graph_mask"]
        there_VM = mask_VMN.any(dim=2)
        parts = {name.removeprefix("graph_"): rows[there_VM] for name, rows in inp.extra.items() if "graph_" in name}
        found = self.graph(ModalityInput(x=parts.pop("x"), mask=parts.pop("mask"), extra=parts))
        assert found.tokens is not None
        assert found.tokens.mask is not None
        read_PNC = torch.cat([found.pooled[:, None], found.tokens.x], dim=1)
        mask_PN = torch.cat([torch.ones_like(found.tokens.mask[:, :1]), found.tokens.mask], dim=1)
        queries_PQD = self.to_words(self.former(self.graph_norm(read_PNC), mask_PN))
        out = queries_PQD.new_zeros((*there_VM.shape, *queries_PQD.shape[1:]))
        out[there_VM] = queries_PQD
        return out

    def tell(
        self, inp: ModalityInput, *, beams: int, length: int, end_id: int, never: Sequence[int], length_penalty: float
    ) -> Continuations:
        """Continuations of prompts; see `beam_search`."""
        return beam_search(
            self.lm, self.words(inp), _mask(inp), beams=beams, length=length, end_id=end_id, never=never,
            length_penalty=length_penalty,
        )  # fmt: skip


def _mask(inp: ModalityInput) -> Tensor:
    return torch.ones_like(inp.x, dtype=torch.bool) if inp.mask is None else inp.mask
