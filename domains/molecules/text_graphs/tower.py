"""The graph tower of GraphCLIP (Zhu et al. 2025): node vectors and return probabilities through GPS layers.

Shape legend: V = subgraphs, N = padded nodes, A = real nodes of all, F = features, K = steps of the positions, D =
width of the layers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.types import Encoded, ModalityInput, Tokens
from domains.molecules.encoders.gps import GPSLayer, NodeNorm, SageLayer
from domains.molecules.encoders.packed import Packed, pack


def centre_of(x_VND: Tensor, centre_V: Tensor) -> Tensor:
    """(V, D): the state of each subgraph's target."""
    return x_VND[torch.arange(len(x_VND), device=x_VND.device), centre_V]


class SubgraphTower(Encoder):
    """Pooled (V, 2 D) = [mean over nodes; target]; tokens (V, N, D). Not made of steps.

    features: F. positions: K. position_width: what the positions are brought to, beside D - position_width of the
    features. Positions are standardised over the nodes of a batch. Published: F 384, D 1024, K 32 -> 8, depth 12,
    8 heads, and an MLP to 384 as projection.
    """

    def __init__(
        self,
        *,
        features: int = 384,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        positions: int = 32,
        position_width: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 1 or not 0 < position_width < width or positions < 1:
            raise ConfigError(
                f"SubgraphTower: depth {depth}, width {width}, positions {positions} of width {position_width}; all "
                "must be positive, and positions narrower than the layers"
            )
        self.features, self.positions, self.width = features, positions, 2 * width
        self.node = nn.Linear(features, width - position_width)
        self.place_norm, self.place = NodeNorm(positions), nn.Linear(positions, position_width)
        self.layers = nn.ModuleList(
            GPSLayer(width=width, heads=heads, local=SageLayer(width=width), dropout=dropout) for _ in range(depth)
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
        graph, place_VNK = pack(inp), inp.extra.get("positions")
        if graph.x.shape[1] != self.features or place_VNK is None or place_VNK.shape[2] != self.positions:
            raise ConfigError(
                f"SubgraphTower reads {self.features} features and {self.positions} positions of a node, got "
                f"{graph.x.shape[1]} and {0 if place_VNK is None else place_VNK.shape[2]}; set `modalities` and "
                "`positions` of its NodeFeatureProcessor"
            )
        with torch.autocast(graph.x.device.type, enabled=False):
            x_VND = graph.padded(self.states(graph, place_VNK[graph.mask].to(graph.x)))
        mean_VD = x_VND.sum(dim=1) / graph.mask.sum(dim=1, keepdim=True).clamp(min=1)
        pooled = torch.cat([mean_VD, centre_of(x_VND, inp.extra["centre"])], dim=1)
        return Encoded(pooled=pooled, tokens=Tokens(x=x_VND, mask=inp.mask))

    def states(self, graph: Packed, place_AK: Tensor) -> Tensor:
        """(A, D) of packed subgraphs after the last layer."""
        h_AD = torch.cat([self.node(graph.x.float()), self.place(self.place_norm(place_AK.float()))], dim=1)
        for block in self.layers:
            h_AD = block(h_AD, graph)
        return h_AD
