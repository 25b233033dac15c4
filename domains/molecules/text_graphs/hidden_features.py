"""Objectives of UniGraph2 (He et al. 2025): features of hidden nodes, distances between nodes, balanced experts.

Shape legend: V = subgraphs, A = real nodes of all, M = hidden ones, P = pairs, D = width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step, Term
from domains.molecules.text_graphs.cascade import scaled_cosine_error
from domains.molecules.text_graphs.distances import hop_distances, sampled_pairs
from domains.molecules.text_graphs.experts import Expert, balance
from domains.molecules.text_graphs.multimodal import FeatureCascade, ReadNodes


class HidesFeatures(Term):
    """Base of the three: they share one draw of int(ratio * A) hidden nodes, at least one, and one forward."""

    def __init__(self, *, modality: str, ratio: float) -> None:
        super().__init__()
        if not 0 < ratio < 1:
            raise ConfigError(f"{type(self).__name__}: ratio is {ratio}; give a share in (0, 1), for instance 0.1")
        self.modality, self.ratio = modality, ratio

    def read(self, step: Step) -> tuple[FeatureCascade, ReadNodes, Tensor]:
        """(encoder, nodes as read, (A,) which were hidden)."""
        encoder = step.model.encoders[step.model.reads[self.modality]]
        if not isinstance(encoder, FeatureCascade):
            raise ConfigError(
                f"term '{self.name}': '{self.modality}' is read by a {type(encoder).__name__}, expected a "
                "FeatureCascade"
            )

        def run() -> tuple[ReadNodes, Tensor]:
            inp = step.input(self.modality)
            assert inp.mask is not None
            nodes = int(inp.mask.sum())
            drawn = torch.randperm(nodes, generator=step.generator)[: max(1, int(self.ratio * nodes))]
            hidden_A = torch.zeros(nodes, dtype=torch.bool).index_fill(0, drawn, True).to(inp.mask.device)
            return encoder.read(inp, hidden_A), hidden_A

        return encoder, *step.memo(("hidden features", self.modality, self.ratio), run)


class HiddenFeatures(HidesFeatures):
    """sum over modalities of mean (1 - cosine(decoder(node), features))^power over hidden nodes that have it.

    A modality that no hidden node has counts for nothing.
    """

    def __init__(
        self,
        *,
        modality: str,
        modalities: dict[str, int],
        width: int,
        ratio: float = 0.1,
        power: float = 2.0,
        name: str | None = None,
    ) -> None:
        """modalities: of the encoder. width: D."""
        super().__init__(modality=modality, ratio=ratio)
        self.power = power
        self.decoders = nn.ModuleDict(
            {m: Expert(width=width, hidden=width, out=size) for m, size in modalities.items()}
        )
        self.name = f"hidden_features_{modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        encoder, found, hidden_A = self.read(step)
        values, total = {}, step.zero()
        for i, (name, x_AF) in enumerate(zip(encoder.modalities, encoder.split(found.graph.x), strict=True)):
            asked_A = hidden_A & found.there[:, i]
            if name not in self.decoders:
                raise ConfigError(f"term '{self.name}': no decoder for '{name}'; list it in `modalities`")
            if not asked_A.any():
                continue
            error_M = scaled_cosine_error(self.decoders[name](found.node[asked_A]), x_AF[asked_A], self.power)
            values[name] = error_M.mean()
            total = total + values[name]
        return {"loss": total, **{name: value.detach() for name, value in values.items()}}


class NodeDistances(HidesFeatures):
    """Mean squared error of the number of edges between two nodes, read from [node i; node j], over drawn pairs.

    Distances are found in the subgraphs, up to `limit` edges; pairs that are further apart or not joined are left out.
    """

    def __init__(
        self,
        *,
        modality: str,
        width: int,
        ratio: float = 0.1,
        limit: int = 5,
        pairs: int = 32,
        name: str | None = None,
    ) -> None:
        """pairs: of a subgraph at most. ratio: as in `HiddenFeatures`, with which it shares the forward."""
        super().__init__(modality=modality, ratio=ratio)
        if limit < 1 or pairs < 1:
            raise ConfigError(f"NodeDistances: limit {limit} and pairs {pairs} must be positive")
        self.limit, self.pairs = limit, pairs
        self.decoder = Expert(width=2 * width, hidden=width, out=1)
        self.name = f"node_distances_{modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        _, found, _ = self.read(step)
        distance_VNN = hop_distances(step.input(self.modality), self.limit)
        row_P, i_P, j_P = sampled_pairs(distance_VNN, self.pairs, step.generator)
        if len(row_P) == 0:
            return {"loss": step.zero()}
        x_VND = found.graph.padded(found.node)
        said_P = self.decoder(torch.cat([x_VND[row_P, i_P], x_VND[row_P, j_P]], dim=1))[:, 0].float()
        true_P = distance_VNN[row_P, i_P, j_P].float()
        return {"loss": F.mse_loss(said_P, true_P), "spread": true_P.var(correction=0)}


class BalancedExperts(HidesFeatures):
    """E * sum of (share of rows) * (mean gate) over the experts (Fedus et al. 2022), 1 at best; not in the published
    code, whose experts collapse."""

    def __init__(self, *, modality: str, ratio: float = 0.1, name: str | None = None) -> None:
        super().__init__(modality=modality, ratio=ratio)
        self.name = f"balanced_experts_{modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        encoder, found, _ = self.read(step)
        return {"loss": balance(found.gate, encoder.experts.top)}
