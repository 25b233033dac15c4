"""Which nodes a step sees around a target: by personalised PageRank, or on walks that return to it.

Both are functions of (seed, target) alone, so that a target's surroundings do not depend on who else is asked for.
Shape legend: N = nodes, S = targets, K = nodes kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from domains.molecules.text_graphs.graph import Ints, TextGraph

_SPLITMIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class Sampler(ABC):
    """most: nodes of a sample, the target among them."""

    most: int

    @abstractmethod
    def rows(self, graph: TextGraph, targets_S: Ints) -> list[Ints]:
        """Distinct nodes for each target, the target first."""

    def __repr__(self) -> str:  # tells apart what is stored of one and of another
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in sorted(vars(self).items()))})"


class PersonalisedPageRank(Sampler):
    """The `most` nodes with the largest probability of a walk that returns to the target with `restart` at every step.

    Power iteration, `steps` products with the sparse transition matrix for all targets together; what is left out is
    below (1 - restart)^steps. Nodes that the walk cannot reach are never taken; equal ones in the order of rows.
    """

    def __init__(self, *, most: int = 256, restart: float = 0.15, steps: int = 20, chunk: int = 64) -> None:
        """chunk: targets at a time; it bounds memory (N x chunk numbers) and changes nothing else."""
        if most < 1 or not 0 < restart <= 1 or steps < 1 or chunk < 1:
            raise ConfigError(f"PersonalisedPageRank: most {most}, restart {restart}, steps {steps}, chunk {chunk}")
        self.most, self.restart, self.steps, self.chunk = most, restart, steps, chunk

    def rows(self, graph: TextGraph, targets_S: Ints) -> list[Ints]:
        found: list[Ints] = []
        for first in range(0, len(targets_S), self.chunk):
            targets = targets_S[first : first + self.chunk]
            found += [self._top(p_N, int(t)) for p_N, t in zip(self.scores(graph, targets), targets, strict=True)]
        return found

    def scores(self, graph: TextGraph, targets_S: Ints) -> NDArray[np.float64]:
        """(S, N) probabilities, up to the bound above. A node without edges stays where it is."""
        from scipy.sparse import csr_matrix

        degree_N = graph.degree_N
        alone = np.flatnonzero(degree_N == 0)
        source = np.concatenate([graph.edges_2E[0], alone])
        target = np.concatenate([graph.edges_2E[1], alone])
        weight = 1.0 / np.maximum(degree_N, 1)[source]
        step_NN = csr_matrix((weight, (target, source)), shape=(len(graph), len(graph)))
        begin_NS = np.zeros((len(graph), len(targets_S)))
        begin_NS[targets_S, np.arange(len(targets_S))] = 1.0
        p_NS = begin_NS
        for _ in range(self.steps):
            p_NS = self.restart * begin_NS + (1 - self.restart) * (step_NN @ p_NS)
        return np.ascontiguousarray(p_NS.T)

    def _top(self, p_N: NDArray[np.float64], target: int) -> Ints:
        reached = np.flatnonzero(p_N > 0)
        order = reached[np.lexsort((reached, -p_N[reached].round(12)))]  # equal but for rounding is equal
        return np.concatenate([[target], order[order != target][: self.most - 1]]).astype(np.int64)


class RestartWalk(Sampler):
    """The nodes of one walk of `steps` steps that returns to the target with probability `restart` (0.5 and 64
    in GraphCLIP), in the order of their first visit, at most `most`."""

    def __init__(self, *, steps: int = 64, restart: float = 0.5, most: int = 64, seed: int = 0) -> None:
        if steps < 0 or not 0 <= restart <= 1 or most < 1:
            raise ConfigError(f"RestartWalk: steps {steps}, restart {restart}, most {most}")
        self.steps, self.restart, self.most, self.seed = steps, restart, most, seed

    def rows(self, graph: TextGraph, targets_S: Ints) -> list[Ints]:
        return [self._first_visits(walk) for walk in self.walks(graph, targets_S)]

    def walks(self, graph: TextGraph, targets_S: Ints) -> Ints:
        """(S, steps + 1) nodes, the target first. Where there is no edge to take, the walk stays."""
        at_S, path = targets_S, [targets_S]
        for step in range(self.steps):
            back_S = hashed(self.seed, targets_S, 2 * step) < self.restart
            at_S = np.where(back_S, targets_S, at_S)
            degree_S = graph.degree_N[at_S]
            chosen_S = (hashed(self.seed, targets_S, 2 * step + 1) * degree_S).astype(np.int64)
            edge_S = np.minimum(graph.start_N1[at_S] + chosen_S, max(graph.edges_2E.shape[1] - 1, 0))
            if graph.edges_2E.shape[1]:
                at_S = np.where(back_S | (degree_S == 0), at_S, graph.edges_2E[1][edge_S])
            path.append(at_S)
        return np.stack(path, axis=1)

    def _first_visits(self, walk: Ints) -> Ints:
        nodes, first = np.unique(walk, return_index=True)
        return nodes[np.argsort(first)][: self.most]


def hashed(seed: int, rows_S: Ints, draw: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), one per row: a function of (seed, row, draw) (the mixing of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = np.asarray(rows_S).astype(np.uint64) * np.uint64(_SPLITMIX[0])
        x += np.uint64((seed * _SPLITMIX[1] + (draw + 1) * _SPLITMIX[2]) % 2**64)
        for shift, factor in ((30, _SPLITMIX[1]), (27, _SPLITMIX[2])):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) / 2.0**53
