"""k-means against scikit-learn's, and where clusters run empty."""

from __future__ import annotations

import pytest
import torch
from sklearn.cluster import KMeans

from core.objectives import kmeans as module
from core.objectives.kmeans import kmeans, lloyd, means


@pytest.fixture
def points() -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    centres = 3 * torch.randn(5, 4, generator=rng, dtype=torch.float64)
    return centres[torch.randint(5, (200,), generator=rng)] + torch.randn(200, 4, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize(("k", "iterations"), [(5, 100), (12, 100), (12, 2)])
def test_lloyds_steps_end_where_those_of_scikit_learn_end(points, k, iterations, monkeypatch):
    monkeypatch.setattr(module, "ROWS", 64)
    start = points[:k]
    ours = lloyd(points, start, iterations)
    theirs = KMeans(k, init=start.numpy(), n_init=1, max_iter=iterations, tol=0, algorithm="lloyd").fit(points.numpy())
    assert ours.label.tolist() == theirs.labels_.tolist()
    torch.testing.assert_close(ours.centroid, torch.from_numpy(theirs.cluster_centers_), rtol=0, atol=1e-9)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-9)


def test_more_restarts_are_never_worse_and_a_seed_is_a_result(points):
    found = [kmeans(points, 9, iterations=5, restarts=r, generator=torch.Generator().manual_seed(3)) for r in (1, 4, 4)]
    assert found[1].inertia <= found[0].inertia
    assert torch.equal(found[1].label, found[2].label)


def test_clusters_without_points_stay_empty(points):
    twice = torch.cat([points[:3], points[:3]])
    found = kmeans(twice, 8, restarts=1, generator=torch.Generator().manual_seed(0))
    assert found.inertia == pytest.approx(0, abs=1e-9)
    assert len(found.centroid) == len(found.size) == 8
    assert (found.size > 0).sum() == 3
    assert not found.centroid[found.size == 0].any()
    few = kmeans(points[:2], 5, generator=torch.Generator().manual_seed(0))
    assert few.size.tolist() == [1, 1, 0, 0, 0]


def test_means_of_labels_are_zero_where_there_is_none():
    mean, size = means(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 5.0]]), torch.tensor([2, 2, 0]), 4)
    assert mean.tolist() == [[5, 5], [0, 0], [2, 3], [0, 0]]
    assert size.tolist() == [1, 0, 2, 0]
