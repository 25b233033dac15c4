"""nDCG against its definition on whole matrices, hand-computed rankings, ties, chance and what cannot be scored."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from core.evaluation.graded import gains, gains_in_order, graded_scores
from core.evaluation.scores import given_scores


def dcg(values, k):
    return sum(value / math.log2(rank + 1) for rank, value in enumerate(list(values)[:k], start=1))


def dense(score_QG, gain_QG, k):
    """The definition, row by row, for scores without ties."""
    out = []
    for score_G, gain_G in zip(score_QG, gain_QG):
        best = dcg(sorted(gain_G, reverse=True), k)
        out.append(dcg(gain_G[np.argsort(-score_G)], k) / best if best else math.nan)
    return np.array(out)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(13, 21)), (rng.random((13, 4)) < 0.4) * 1.0, (rng.random((21, 4)) < 0.4) * 1.0


def scored(score_QG, q_QL, g_GL, **options):
    return graded_scores(given_scores(torch.as_tensor(score_QG)), q_QL, g_GL, n_bootstrap=5, **options)


@pytest.mark.parametrize("chunk", [4, 512])
@pytest.mark.parametrize("relevance", ["shared", "contains"])
def test_it_is_the_definition_whatever_the_chunk(problem, relevance, chunk):
    score_QG, q_QL, g_GL = problem
    shared_QG = q_QL @ g_GL.T
    whole_QG = (shared_QG == q_QL.sum(1)[:, None]) & (q_QL.sum(1)[:, None] > 0)
    found = scored(score_QG, q_QL, g_GL, relevance=relevance, ks=(1, 5, 100), chunk=chunk)
    for k, each_Q in found.each.items():
        expected_Q = dense(score_QG, shared_QG if relevance == "shared" else whole_QG * 1.0, k)
        np.testing.assert_allclose(each_Q, expected_Q, atol=1e-12)
        assert found.ndcg[k].value == pytest.approx(np.nanmean(expected_Q))
    assert found.unmatched == int(np.isnan(found.each[5]).sum()) > 0
    assert found.queries + found.unmatched == 13


def test_a_ranking_worked_by_hand():
    """Gains 2, 0, 1 in the order of the scores: (2 + 1/2) / (2 + 1/log2 3)."""
    labels_QL, labels_GL = [[1, 1]], [[1, 1], [0, 0], [0, 1]]
    found = scored([[3.0, 2.0, 1.0]], torch.tensor(labels_QL), torch.tensor(labels_GL), ks=(3,))
    assert found.ndcg[3].value == pytest.approx((2 + 1 / 2) / (2 + 1 / math.log2(3)))
    assert scored([[3.0, 1.0, 2.0]], torch.tensor(labels_QL), torch.tensor(labels_GL), ks=(3,)).ndcg[3].value == 1
    reversed_one = scored([[1.0, 3.0, 2.0]], torch.tensor(labels_QL), torch.tensor(labels_GL), ks=(3,)).ndcg[3].value
    assert reversed_one < found.ndcg[3].value


def test_an_offset_and_a_positive_factor_change_nothing(problem):
    score_QG, q_QL, g_GL = problem
    one = scored(score_QG, q_QL, g_GL).ndcg[10].value
    assert scored(3 * score_QG + 7, q_QL, g_GL).ndcg[10].value == pytest.approx(one, abs=1e-12)


def test_tied_answers_share_what_they_are_worth_over_all_orders():
    gain_G, score_G = torch.tensor([[2.0, 0.0, 1.0, 1.0]]), torch.tensor([[5.0, 5.0, 5.0, 1.0]])
    orders = [dcg([*(gain_G[0, i] for i in order), gain_G[0, 3]], 2) for order in itertools.permutations(range(3))]
    assert dcg(gains_in_order(score_G, gain_G)[0], 2) == pytest.approx(float(np.mean(orders)))


def test_chance_is_the_mean_over_all_orders_of_the_gallery():
    q_QL, g_GL = torch.tensor([[1, 1, 0]]), torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]])
    gain_G = gains(q_QL.double(), g_GL.double(), "shared")[0].tolist()
    best = dcg(sorted(gain_G, reverse=True), 2)
    every = [dcg(order, 2) / best for order in itertools.permutations(gain_G)]
    found = scored(torch.rand(1, 4, generator=torch.Generator().manual_seed(0)), q_QL, g_GL, ks=(2,))
    assert found.chance[2] == pytest.approx(float(np.mean(every)))
    assert found.flat()["nDCG@2_chance"] == found.chance[2]


def test_an_unknown_label_is_no_label():
    known = scored([[2.0, 1.0]], torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    nan = scored([[2.0, 1.0]], torch.tensor([[1.0, math.nan]]), torch.tensor([[math.nan, 1.0], [1.0, math.nan]]))
    assert known.ndcg[10].value == nan.ndcg[10].value


def test_what_cannot_be_scored_is_said():
    with pytest.raises(DataError, match=r"no gallery row is worth anything to any of 1 queries"):
        scored([[1.0, 2.0]], torch.zeros(1, 2), torch.ones(2, 2))
    with pytest.raises(DataError, match=r"labels \(1, 2\) and \(3, 2\) for scores \(1, 2\)"):
        scored([[1.0, 2.0]], torch.ones(1, 2), torch.ones(3, 2))
    with pytest.raises(ConfigError, match=r"a cut-off is 0; count from 1"):
        scored([[1.0, 2.0]], torch.ones(1, 2), torch.ones(2, 2), ks=(0,))
    with pytest.raises(ConfigError, match=r"relevance is 'half'; valid: shared, contains"):
        scored([[1.0, 2.0]], torch.ones(1, 2), torch.ones(2, 2), relevance="half")
