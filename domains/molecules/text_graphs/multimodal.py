"""Nodes with features of several modalities: mean, experts, graph attention (UniGraph2, He et al. 2025).

Shape legend: V = subgraphs, N = padded nodes, A = real nodes of all, M = modalities, F = features of all modalities,
D = width, E = experts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.data.processor import Processor
from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.types import Encoded, ModalityInput, Tokens
from domains.molecules.encoders.packed import Packed, pack
from domains.molecules.text_graphs.cascade import NeighbourAttention
from domains.molecules.text_graphs.experts import ExpertMixture
from domains.molecules.text_graphs.tower import centre_of


@dataclass(frozen=True, slots=True)
class ReadNodes:
    """node: (A, D) states. gate: (A, E) of the experts. graph: packed subgraphs, their x (A, F) with 0 for what is
    absent. there: (A, M) bool."""

    node: Tensor
    gate: Tensor
    graph: Packed
    there: Tensor


class FeatureCascade(Encoder):
    """Mean of a node's present modalities -> experts -> graph attention. Pooled (V, D): the target; tokens (V, N, D).

    modalities: name -> width, in the order of the processor. A modality as wide as the layers is taken as it is, any
    other through a linear map (the published code cannot take unequal widths). A node with no modality at all is the
    trained mask vector, as a hidden one. What an absent modality holds, nan even, has no effect.
    """

    def __init__(self, *, modalities: dict[str, int], graph: NeighbourAttention, experts: ExpertMixture) -> None:
        super().__init__()
        if experts.width != graph.width or not modalities:
            raise ConfigError(
                f"FeatureCascade: modalities {modalities}, experts {experts.width} wide, graph layers {graph.width}; "
                "name at least one modality and give both the same width"
            )
        self.modalities, self.width = dict(modalities), graph.width
        self.inputs = nn.ModuleDict({
            name: nn.Identity() if size == graph.width else nn.Linear(size, graph.width)
            for name, size in modalities.items()
        })  # fmt: skip
        self.mask_vector = nn.Parameter(nn.init.trunc_normal_(torch.empty(graph.width), std=0.02))
        self.experts, self.graph = experts, graph

    def check(self, processor: Processor) -> None:
        made = getattr(processor, "modalities", None)
        if made is None or list(made.items()) != list(self.modalities.items()):
            raise ConfigError(
                f"the processor gives node modalities {made}, the encoder reads {self.modalities}; give both the same "
                "`modalities` in the same order"
            )

    def read(self, inp: ModalityInput, hidden_A: Tensor | None = None) -> ReadNodes:
        """The nodes of a batch. hidden_A: (A,) bool, nodes whose features are not to be seen."""
        graph = pack(inp)
        if "there" not in inp.extra or inp.mask is None or graph.x.shape[1] != sum(self.modalities.values()):
            raise ConfigError(
                f"FeatureCascade reads {self.modalities}, got {graph.x.shape[1]} features; its modality needs "
                "text_graphs.NodeFeatureProcessor with these `modalities`"
            )
        there_AM = inp.extra["there"][inp.mask]
        parts, total = [], torch.zeros((), device=graph.x.device)
        for i, (name, x_AF) in enumerate(zip(self.modalities, self.split(graph.x), strict=True)):
            there_A1 = there_AM[:, i : i + 1]
            parts.append(x_AF.float().masked_fill(~there_A1, 0.0))
            total = total + self.inputs[name](parts[-1]).float().masked_fill(~there_A1, 0.0)
        mean_AD = total / there_AM.sum(dim=1, keepdim=True).clamp(min=1)
        unseen_A = ~there_AM.any(dim=1) if hidden_A is None else hidden_A | ~there_AM.any(dim=1)
        mean_AD = torch.where(unseen_A[:, None], self.mask_vector, mean_AD)
        mixed_AD, gate_AE = self.experts(mean_AD)
        seen = Packed(torch.cat(parts, dim=1), graph.source, graph.target, graph.bonds, graph.graph, graph.mask)
        return ReadNodes(self.graph(mixed_AD, seen), gate_AE, seen, there_AM)

    def split(self, x_AF: Tensor) -> Sequence[Tensor]:
        """The modalities' parts of features."""
        return x_AF.split(list(self.modalities.values()), dim=-1)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        found = self.read(inp)
        x_VND = found.graph.padded(found.node)
        return Encoded(pooled=centre_of(x_VND, inp.extra["centre"]), tokens=Tokens(x=x_VND, mask=inp.mask))
