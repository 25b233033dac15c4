"""From the states of atoms to the kinds of the hidden ones.

Shape legend: A = real atoms of all molecules, H = hidden ones, D = width of the states, K = kinds of atoms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from domains.molecules.encoders.gin import GINLayer
from domains.molecules.encoders.packed import Packed
from domains.molecules.graphs.vocabulary import vocabulary as vocabulary_called


class AtomHead(nn.Module, ABC):
    """states (A, D), the packed graphs and (A,) bool hidden -> (H, K) in the order of the atoms. Part of the model's
    heads, so that a saved model has it."""

    @abstractmethod
    def forward(self, h_AD: Tensor, graph: Packed, hidden_A: Tensor) -> Tensor: ...


class LinearAtoms(AtomHead):
    """One linear map of the hidden atoms' own states (Hu et al. 2020). kinds: K, 119 in hu2."""

    def __init__(self, *, width: int, kinds: int = 119) -> None:
        super().__init__()
        self.linear = nn.Linear(width, kinds)

    def forward(self, h_AD: Tensor, graph: Packed, hidden_A: Tensor) -> Tensor:
        return self.linear(h_AD[hidden_A])


class GINDecoder(AtomHead):
    """PReLU - linear without bias - states of hidden atoms set to 0 - GIN layers, the last one to K (GraphMAE, Hou et
    al. 2022, section 3.1). What is predicted of an atom so comes from its neighbours: the encoder cannot copy.

    depth: layers. vocabulary: of the graphs.
    """

    def __init__(self, *, width: int, kinds: int = 119, depth: int = 1, vocabulary: str = "hu2") -> None:
        super().__init__()
        if depth < 1:
            raise ConfigError(f"GINDecoder: depth is {depth}; give 1 or more")
        names = vocabulary_called(vocabulary)
        sizes: Sequence[int] = names.bond_sizes
        self.activation, self.bridge = nn.PReLU(), nn.Linear(width, width, bias=False)
        self.layers = nn.ModuleList(
            GINLayer(width=width, out=kinds if i == depth - 1 else width, bond_sizes=sizes, self_loop=names.self_loop)
            for i in range(depth)
        )

    def forward(self, h_AD: Tensor, graph: Packed, hidden_A: Tensor) -> Tensor:
        h_AD = self.bridge(self.activation(h_AD))
        h_AD = h_AD.masked_fill(hidden_A[:, None], 0.0)
        for i, layer in enumerate(self.layers):
            h_AD = layer(torch.relu(h_AD) if i else h_AD, graph)
        return h_AD[hidden_A]
