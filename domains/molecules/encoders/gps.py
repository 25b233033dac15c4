"""The GPS layer (Rampasek et al. 2022): messages along edges and attention among all nodes of a graph, side by side.

Values equal those of torch-geometric's GPSConv with the same weights. Written out here because that one has no batch
of a single node (its batch norm raises) and computes messages in half precision under autocast.
Shape legend: A = real nodes of all graphs, V = graphs, N = padded nodes, D = width, H = heads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.nn import MeanPool, Pooling
from core.types import Encoded, ModalityInput, Tokens
from domains.molecules.encoders.gin import GINLayer
from domains.molecules.encoders.packed import Packed, pack
from domains.molecules.encoders.vocabulary_checks import check_columns, check_vocabulary
from domains.molecules.geometric import layer
from domains.molecules.graphs.vocabulary import vocabulary as vocabulary_called


class SageLayer(nn.Module):
    """W1 h_v + W2 mean of the neighbours (Hamilton et al. 2017); bonds are not read."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.conv = layer("SAGEConv")(width, width)

    def forward(self, h_AD: Tensor, graph: Packed) -> Tensor:
        return self.conv(h_AD, torch.stack([graph.source, graph.target]))


class NodeNorm(nn.BatchNorm1d):
    """Batch norm over nodes; a single one has no variance, so that what was seen so far serves it."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)


class GPSLayer(nn.Module):
    """x -> MLP(norm(x + local(x)) + norm(x + attention(x))), with a residual and a last norm; (A, D) -> (A, D).

    Attention stays within a graph: O(N^2) of the largest one. local: (A, D), Packed -> (A, D).
    """

    def __init__(self, *, width: int, heads: int, local: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"GPSLayer: width {width} is no multiple of {heads} heads")
        self.local, self.heads, self.dropout = local, heads, dropout
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )
        self.norms = nn.ModuleList(NodeNorm(width) for _ in range(3))
        nn.init.xavier_uniform_(self.qkv.weight)
        for linear in (self.qkv, self.out):
            nn.init.zeros_(linear.bias)

    def forward(self, h_AD: Tensor, graph: Packed) -> Tensor:
        near_AD = self.norms[0](F.dropout(self.local(h_AD, graph), self.dropout, self.training) + h_AD)
        far_AD = self.norms[1](F.dropout(self.attention(h_AD, graph), self.dropout, self.training) + h_AD)
        both_AD = near_AD + far_AD
        return self.norms[2](both_AD + self.mlp(both_AD))

    def attention(self, h_AD: Tensor, graph: Packed) -> Tensor:
        """(A, D): each node reads the real nodes of its own graph."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in graph.padded(self.qkv(h_AD)).chunk(3, -1)
        )
        allowed = graph.mask[:, None, None]
        # a graph without nodes has no row to attend to; its output is never read
        allowed = allowed | ~allowed.any(-1, keepdim=True)
        found_VHNd = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        return self.out(found_VHNd.transpose(1, 2).flatten(2)[graph.mask])


class MoleculeGPS(Encoder):
    """GPS over molecular graphs: atoms as tokens (V, N, D) and their pooled vector, bonds in the local GIN messages.

    vocabulary: of the graphs it reads. pool: the mean over real atoms when None. Not made of steps.
    """

    def __init__(
        self,
        *,
        vocabulary: str = "hu2",
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        pool: Pooling | None = None,
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ConfigError(f"MoleculeGPS: depth {depth} and width {width} must be positive")
        names = vocabulary_called(vocabulary)
        self.vocabulary, self.width, self.names = vocabulary, width, names
        self.atoms = nn.ModuleList(nn.Embedding(rows, width) for rows in names.atom_sizes)
        self.layers = nn.ModuleList(
            GPSLayer(
                width=width,
                heads=heads,
                local=GINLayer(width=width, bond_sizes=names.bond_sizes, self_loop=names.self_loop),
                dropout=dropout,
            )
            for _ in range(depth)
        )
        self.pool = MeanPool() if pool is None else pool

    def check(self, processor: object) -> None:
        check_vocabulary(processor, self.vocabulary)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        graph = pack(inp)
        check_columns(graph, self.names, owner="MoleculeGPS")
        h_AD = torch.stack([table(graph.x[:, i]) for i, table in enumerate(self.atoms)]).sum(dim=0)
        with torch.autocast(h_AD.device.type, enabled=False):
            for block in self.layers:
                h_AD = block(h_AD.float(), graph)
        x_VND = graph.padded(h_AD)
        return Encoded(pooled=self.pool(x_VND, inp.mask), tokens=Tokens(x=x_VND, mask=inp.mask))
