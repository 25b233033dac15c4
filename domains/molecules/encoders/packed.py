"""Padded graphs as one disconnected graph, and back: no padded atom or edge takes part in anything.

Shape legend: V = graphs, N = padded atoms, A = real atoms of all graphs, E = real directed edges of all graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import ConfigError
from core.types import ModalityInput


@dataclass(frozen=True, slots=True)
class Packed:
    """x_AF: features of real atoms. source_E, target_E: which atoms an edge joins. bonds_EG: features of edges.
    graph_A: the graph of each atom. mask_VN: where the atoms came from."""

    x_AF: Tensor
    source_E: Tensor
    target_E: Tensor
    bonds_EG: Tensor
    graph_A: Tensor
    mask_VN: Tensor

    def padded(self, h_AD: Tensor) -> Tensor:
        """States of atoms as (V, N, D), zeros where there is none."""
        out = h_AD.new_zeros((*self.mask_VN.shape, h_AD.shape[1]))
        out[self.mask_VN] = h_AD
        return out

    def mean(self, h_AD: Tensor) -> Tensor:
        """Mean over the atoms of each graph, (V, D); zeros for a graph without atoms."""
        total_VD = h_AD.new_zeros((len(self.mask_VN), h_AD.shape[1])).index_add(0, self.graph_A, h_AD)
        return total_VD / self.mask_VN.sum(dim=1, keepdim=True).clamp(min=1)


def pack(inp: ModalityInput) -> Packed:
    """The graphs of a batch as `GraphProcessor.collate` makes it. Raises ConfigError for another kind of input."""
    missing = {"edges", "bonds", "edge_mask"} - set(inp.extra)
    if inp.mask is None or missing or inp.x.ndim != 3:
        raise ConfigError(
            f"a graph encoder got {tuple(inp.x.shape)} without {', '.join(sorted(missing)) or 'a mask'}; its "
            "modality needs domains.molecules.processors.GraphProcessor"
        )
    mask_VN, real_VE = inp.mask, inp.extra["edge_mask"]
    place_VN = mask_VN.reshape(-1).long().cumsum(0).reshape(mask_VN.shape) - 1  # number of each real atom among all
    ends_VE2 = torch.gather(place_VN, 1, inp.extra["edges"].flatten(1)).reshape(inp.extra["edges"].shape)
    ends_E2 = ends_VE2[real_VE]
    return Packed(
        x_AF=inp.x[mask_VN],
        source_E=ends_E2[:, 0],
        target_E=ends_E2[:, 1],
        bonds_EG=inp.extra["bonds"][real_VE],
        graph_A=mask_VN.nonzero()[:, 0],
        mask_VN=mask_VN,
    )
