"""k-occurrences by hand. Legend: Q = queries, G = gallery rows."""

import numpy as np
import pytest
import torch
from scipy.stats import skew

from core.errors import ConfigError
from core.evaluation import cosine_scores, given_scores
from core.evaluation.alignment import hubness_of, k_occurrence

HUB = torch.tensor([[0.9, 0.8, 0.1, 0.0], [0.9, 0.1, 0.8, 0.0], [0.9, 0.8, 0.2, 0.1]])


def test_occurrences_count_every_row_of_the_gallery():
    np.testing.assert_array_equal(k_occurrence(given_scores(HUB), k=1), [3, 0, 0, 0])
    np.testing.assert_array_equal(k_occurrence(given_scores(HUB), k=2), [3, 2, 1, 0])
    np.testing.assert_array_equal(k_occurrence(given_scores(HUB), k=99), [3, 3, 3, 3])


def test_skewness_keeps_the_zeros_that_the_released_metric_drops():
    """With one hub that takes all, the released count holds one row only and its skewness is undefined."""
    found = hubness_of(given_scores(HUB), k=1)
    assert found.skewness == pytest.approx(skew([3, 0, 0, 0]))
    two = hubness_of(given_scores(HUB), k=2)
    assert two.skewness == pytest.approx(skew([3, 2, 1, 0]))
    rng = torch.Generator().manual_seed(0)
    scores = cosine_scores(torch.randn(40, 4, generator=rng), torch.randn(90, 4, generator=rng))
    count = k_occurrence(scores, k=3)
    assert (count == 0).any()
    assert hubness_of(scores, k=3).skewness == pytest.approx(skew(count))
    assert hubness_of(scores, k=3).skewness != pytest.approx(skew(count[count > 0]), abs=1e-2)


def test_shares_by_closed_form():
    found = hubness_of(given_scores(HUB), k=1)
    assert (found.antihubs, found.largest) == (0.75, 3)
    assert found.robin_hood == pytest.approx(0.75)  # 2.25 of 3 occurrences would have to move
    even = hubness_of(cosine_scores(torch.eye(6), torch.eye(6)), k=1)
    assert (even.skewness, even.robin_hood, even.antihubs) == (0, 0, 0)


def test_tied_rows_share_the_places_so_a_collapsed_space_has_no_hub():
    count = k_occurrence(given_scores(torch.tensor([[0.5, 0.5, 0.5, 0.2]])), k=2)
    np.testing.assert_allclose(count, [2 / 3, 2 / 3, 2 / 3, 0])
    count = k_occurrence(given_scores(torch.tensor([[0.9, 0.5, 0.5, 0.2]])), k=2)
    np.testing.assert_allclose(count, [1, 0.5, 0.5, 0])
    collapsed = hubness_of(cosine_scores(torch.ones(30, 3), torch.ones(50, 3)))
    assert (collapsed.skewness, collapsed.antihubs) == (0, 0)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_occurrences_sum_to_places_and_do_not_depend_on_chunk_or_order(chunk):
    rng = torch.Generator().manual_seed(1)
    q, g = torch.randn(21, 5, generator=rng), torch.randn(13, 5, generator=rng)
    g[5:9] = g[0]  # exact ties
    count = k_occurrence(cosine_scores(q, g), k=4, chunk=chunk)
    assert count.sum() == pytest.approx(21 * 4)
    order = torch.randperm(13, generator=rng)
    np.testing.assert_allclose(k_occurrence(cosine_scores(q, g[order]), k=4), count[order.numpy()])
    with pytest.raises(ConfigError, match="k is 0"):
        k_occurrence(cosine_scores(q, g), k=0)
