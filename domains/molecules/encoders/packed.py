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
    """x: (A, F) features of real atoms. source, target: (E,) which atoms an edge joins. bonds: (E, G) its features.
    graph: (A,) the graph of each atom. mask: (V, N) where the atoms came from."""

    x: Tensor
    source: Tensor
    target: Tensor
    bonds: Tensor
    graph: Tensor
    mask: Tensor

    def padded(self, h_AD: Tensor) -> Tensor:
        """States of atoms as (V, N, D), zeros where there is none."""
        out = h_AD.new_zeros((*self.mask.shape, h_AD.shape[1]))
        out[self.mask] = h_AD
        return out

    def mean(self, h_AD: Tensor) -> Tensor:
        """Mean over the atoms of each graph, (V, D); zeros for a graph without atoms."""
        total_VD = h_AD.new_zeros((len(self.mask), h_AD.shape[1])).index_add(0, self.graph, h_AD)
        return total_VD / self.mask.sum(dim=1, keepdim=True).clamp(min=1)


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
        x=inp.x[mask_VN],
        source=ends_E2[:, 0],
        target=ends_E2[:, 1],
        bonds=inp.extra["bonds"][real_VE],
        graph=mask_VN.nonzero()[:, 0],
        mask=mask_VN,
    )
