"""k-means by Lloyd's steps, in tiles and on whatever device the points are.

Shape legend: Q = points, k = clusters, E = width.
scikit-learn's is not used: it wants the points on the CPU, in numpy, and moves empty clusters elsewhere, where terms on
prototypes need to know that they are empty.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 4096  # points whose distances to all centroids are held at once


class Clusters(NamedTuple):
    """centroid: (k, E), zeros where empty. label: (Q,) int64. size: (k,) int64. inertia: sum of squared distances."""

    centroid: Tensor
    label: Tensor
    size: Tensor
    inertia: float


@torch.no_grad()
def kmeans(
    x_QE: Tensor, k: int, *, iterations: int = 20, restarts: int = 3, generator: torch.Generator | None = None
) -> Clusters:
    """The best of several runs from k distinct points each. generator: of the CPU. A cluster that loses all its points
    stays empty; of fewer than k points each is a cluster of its own and the rest are empty."""
    best: Clusters | None = None
    for _ in range(max(1, restarts)):
        start = torch.randperm(len(x_QE), generator=generator)[:k].to(x_QE.device)
        found = lloyd(x_QE, x_QE[start], iterations)
        if best is None or found.inertia < best.inertia:
            best = found
    assert best is not None
    missing = k - len(best.size)
    if missing > 0:
        empty = best.centroid.new_zeros(missing, x_QE.shape[1])
        best = best._replace(
            centroid=torch.cat([best.centroid, empty]), size=torch.cat([best.size, best.size.new_zeros(missing)])
        )
    return best


@torch.no_grad()
def lloyd(x_QE: Tensor, start_kE: Tensor, iterations: int) -> Clusters:
    """At most `iterations` steps from given centroids, until no label changes; labels fit the last centroids."""
    centroid, label, inertia = start_kE.clone(), None, 0.0
    for step in range(iterations + 1):
        new, inertia = nearest(x_QE, centroid)
        if step == iterations or (label is not None and torch.equal(new, label)):
            label = new
            break
        label = new
        mean, size = means(x_QE, label, len(centroid))
        centroid = torch.where(size[:, None] > 0, mean, centroid)
    assert label is not None
    size = torch.bincount(label, minlength=len(centroid))
    return Clusters(centroid * (size > 0)[:, None], label, size, inertia)


def nearest(x_QE: Tensor, centroid_kE: Tensor) -> tuple[Tensor, float]:
    """(Q,) index of each point's nearest centroid, the lowest of equal ones, and the sum of squared distances."""
    half_k = centroid_kE.square().sum(1) / 2
    label, total = torch.empty(len(x_QE), dtype=torch.int64, device=x_QE.device), 0.0
    for i in range(0, len(x_QE), ROWS):
        part = x_QE[i : i + ROWS]
        closeness, label[i : i + ROWS] = (part @ centroid_kE.T - half_k).max(1)
        total += float((part.square().sum(1) - 2 * closeness).double().sum())
    return label, total


def means(x_QE: Tensor, label_Q: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(k, E) mean of each label's points, zeros where there are none, and (k,) how many there are."""
    size = torch.bincount(label_Q, minlength=k)
    total = x_QE.new_zeros(k, x_QE.shape[1]).index_add_(0, label_Q, x_QE)
    return total / size.clamp_min(1)[:, None], size
