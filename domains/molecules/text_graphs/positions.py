"""What a node's place in its subgraph says, as numbers. Shape legend: n = nodes of a subgraph, K = steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def return_probabilities(edges_2e: NDArray[np.int64], nodes: int, steps: int) -> NDArray[np.float32]:
    """(n, K): the probability that a walk of 1 .. K uniform steps ends where it began (RWPE, Dwivedi et al. 2022).

    Two joined nodes: 0, 1, 0, 1; each of a triangle: 1/3 + (2/3)(-1/2)^k. A node without an edge stays: all ones.
    """
    step_nn = np.zeros((nodes, nodes))
    np.add.at(step_nn, (edges_2e[0], edges_2e[1]), 1.0)
    out_n = step_nn.sum(1)
    alone = np.flatnonzero(out_n == 0)
    step_nn[alone, alone] = 1.0
    step_nn /= np.maximum(out_n, 1)[:, None]
    power_nn, found = np.eye(nodes), []
    for _ in range(steps):
        power_nn = power_nn @ step_nn
        found.append(np.diagonal(power_nn))
    return np.stack(found, axis=1).astype(np.float32) if found else np.zeros((nodes, 0), np.float32)
