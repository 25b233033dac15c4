"""Shortest paths inside subgraphs, up to a limit. Shape legend: V = subgraphs, N = padded nodes, E = directed edges."""

from __future__ import annotations

import torch
from torch import Tensor

from core.types import ModalityInput

UNREACHED = -1


def hop_distances(inp: ModalityInput, limit: int) -> Tensor:
    """(V, N, N) int64 numbers of edges between nodes, 0 with itself; -1 beyond `limit`, where no path leads, and for
    padding. `limit` products of (N, N) matrices, whatever the size of the graph the subgraphs come from."""
    assert inp.mask is not None
    rows, nodes = inp.mask.shape
    near_VNN = torch.zeros(rows, nodes, nodes, device=inp.mask.device)
    row_V = torch.arange(rows, device=inp.mask.device)[:, None].expand(inp.extra["edge_mask"].shape)
    real = inp.extra["edge_mask"]
    near_VNN[row_V[real], inp.extra["edges"][..., 0][real], inp.extra["edges"][..., 1][real]] = 1.0
    reached_VNN = torch.diag_embed(inp.mask.float())
    distance_VNN = torch.where(reached_VNN > 0, 0, UNREACHED)
    for hops in range(1, limit + 1):
        next_VNN = ((reached_VNN + reached_VNN @ near_VNN) > 0).float()
        distance_VNN = torch.where((next_VNN > 0) & (reached_VNN == 0), hops, distance_VNN)
        reached_VNN = next_VNN
    return distance_VNN


def sampled_pairs(distance_VNN: Tensor, most: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(subgraph, node, node) of at most `most` reached pairs i < j of each subgraph, drawn uniformly."""
    wanted_VNN = torch.triu(distance_VNN >= 1, diagonal=1).flatten(1).cpu()
    noise_VP = torch.rand(wanted_VNN.shape, generator=generator) + 2.0 * ~wanted_VNN
    rank_VP = noise_VP.argsort(1).argsort(1)
    row, pair = (wanted_VNN & (rank_VP < most)).nonzero(as_tuple=True)
    nodes, device = distance_VNN.shape[1], distance_VNN.device
    return row.to(device), (pair // nodes).to(device), (pair % nodes).to(device)
