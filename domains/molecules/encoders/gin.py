"""Graph isomorphism network with bond features (Hu et al. 2020, "Strategies for Pre-training Graph Neural Networks").

Parameters have the names of its public checkpoints. Shape legend: A = atoms of all graphs, E = directed edges of all
graphs, V = graphs, N = padded atoms, D = width, F and G = feature columns of atoms and bonds.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.nn import MeanPool, Pooling
from core.types import Encoded, ModalityInput, Tokens
from domains.molecules.encoders.packed import Packed, pack
from domains.molecules.encoders.vocabulary_checks import check_columns, check_vocabulary
from domains.molecules.graphs.vocabulary import vocabulary as vocabulary_called


class GINLayer(nn.Module):
    """h_v <- MLP(sum over u in N(v) and v itself of h_u + sum of the embeddings of the bond u-v).

    The bond of an atom with itself has its own row of the first table, where the vocabulary has one. out: width of the
    result, `width` when None.
    """

    def __init__(self, *, width: int, bond_sizes: Sequence[int], self_loop: int | None, out: int | None = None) -> None:
        super().__init__()
        out = width if out is None else out
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, out))
        self.columns = len(bond_sizes)
        for column, rows in enumerate(bond_sizes, start=1):
            self.add_module(f"edge_embedding{column}", _table(rows, width))
        self.self_loop = self_loop

    def forward(self, h_AD: Tensor, graph: Packed) -> Tensor:
        message_ED = h_AD.index_select(0, graph.source)
        alone_AD = h_AD
        for column in range(self.columns):
            table = self.get_submodule(f"edge_embedding{column + 1}")
            assert isinstance(table, nn.Embedding)
            message_ED = message_ED + table(graph.bonds[:, column])
            if self.self_loop is not None:
                alone_AD = alone_AD + table.weight[self.self_loop if column == 0 else 0]
        return self.mlp(alone_AD.index_add(0, graph.target, message_ED.to(alone_AD.dtype)))


class GIN(Encoder):
    """Atoms as tokens (V, N, D), and their pooled mean (V, D). Not made of steps, yet `want` gives states of layers.

    vocabulary: of the graphs it reads. depth: layers; batch norm after each, ReLU except after the last. dropout:
    after each layer. pool: the mean over real atoms when None.
    """

    def __init__(
        self,
        *,
        vocabulary: str = "hu2",
        width: int = 300,
        depth: int = 5,
        dropout: float = 0.0,
        pool: Pooling | None = None,
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ConfigError(f"GIN: depth {depth} and width {width} must be positive")
        names = vocabulary_called(vocabulary)
        self.vocabulary, self.width, self.depth, self.dropout = vocabulary, width, depth, dropout
        self.names = names
        for column, rows in enumerate(names.atom_sizes, start=1):
            self.add_module(f"x_embedding{column}", _table(rows, width))
        self.gnns = nn.ModuleList(
            GINLayer(width=width, bond_sizes=names.bond_sizes, self_loop=names.self_loop) for _ in range(depth)
        )
        self.batch_norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(depth))
        self.pool = MeanPool() if pool is None else pool

    def fresh(self, seed: int) -> GIN:
        """The same encoder with first weights that depend on the seed alone."""
        pool = copy.deepcopy(self.pool)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return GIN(vocabulary=self.vocabulary, width=self.width, depth=self.depth, dropout=self.dropout, pool=pool)

    def check(self, processor: Any) -> None:
        check_vocabulary(processor, self.vocabulary)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, (), hooks)
        graph = pack(inp)
        check_columns(graph, self.names, owner="GIN")
        states = self.states(graph)
        x_VND = graph.padded(states[-1])
        layers = {i: graph.padded(states[i]) for i in want}
        return Encoded(pooled=self.pool(x_VND, inp.mask), tokens=Tokens(x=x_VND, mask=inp.mask), layers=layers)

    def atoms(self, graph: Packed) -> Tensor:
        """States (A, D) of the atoms of packed graphs after the last layer."""
        return self.states(graph)[-1]

    def states(self, graph: Packed) -> list[Tensor]:
        """States (A, D) of the atoms after every layer."""
        tables = [self.get_submodule(f"x_embedding{column + 1}") for column in range(len(self.names.atom_columns))]
        h_AD = torch.stack([table(graph.x[:, i]) for i, table in enumerate(tables)]).sum(dim=0)
        states = []
        for i, (layer, norm) in enumerate(zip(self.gnns, self.batch_norms, strict=True)):
            h_AD = self._normalised(norm, layer(h_AD, graph))
            if i < self.depth - 1:
                h_AD = F.relu(h_AD)
            h_AD = F.dropout(h_AD, self.dropout, self.training)
            states.append(h_AD)
        return states

    def _normalised(self, norm: nn.Module, h_AD: Tensor) -> Tensor:
        assert isinstance(norm, nn.BatchNorm1d)
        if self.training and len(h_AD) > 1:
            return norm(h_AD)
        # one atom has no variance: what was seen so far serves it
        return F.batch_norm(h_AD, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)


def _table(rows: int, width: int) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.xavier_uniform_(table.weight)
    return table
