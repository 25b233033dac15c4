"""The claim of hub corrections on a planted hub: skewness falls, R@1 rises, rate 0 changes nothing.

Legend: N = pairs, E = width.
"""

import numpy as np
import pytest
import torch

from core.evaluation import cosine_scores, retrieval_of
from core.evaluation.alignment import hubness_of
from core.retrieval import BothBanks, DualBankNorm, InvertedSoftmax, InvGC, QBNorm

PAIRS, HUBS, WIDTH = 200, 10, 24


@pytest.fixture(scope="module")
def toy():
    """Noisy pairs across a modality gap, and gallery rows that lie half-way to the queries: nobody's answer, yet close
    to every query."""
    rng = torch.Generator().manual_seed(0)
    query_axis, gallery_axis = 2.5 * torch.eye(WIDTH)[0], 2.5 * torch.eye(WIDTH)[1]

    def draw(pairs):
        item = torch.randn(pairs, WIDTH, generator=rng)
        noise = 0.5 * torch.randn(2, pairs, WIDTH, generator=rng)
        return query_axis + item + noise[0], gallery_axis + item + noise[1]

    train_queries, train_gallery = draw(400)
    queries, gallery = draw(PAIRS)
    hubs = query_axis + gallery_axis + 0.5 * torch.randn(HUBS, WIDTH, generator=rng)
    return queries, torch.cat([gallery, hubs]), train_queries, train_gallery


def figures(scores):
    found = retrieval_of(scores, range(PAIRS), range(PAIRS + HUBS), n_bootstrap=5)
    return found.recall[1].value, hubness_of(scores).skewness


def test_the_planted_rows_are_hubs(toy):
    queries, gallery, *_ = toy
    assert figures(cosine_scores(queries, gallery))[1] > 2


@pytest.mark.parametrize("make", [InvertedSoftmax, QBNorm], ids=["IS", "QB-norm"])
def test_query_bank_norms_lower_the_skewness_and_raise_recall(toy, make):
    queries, gallery, train_queries, _ = toy
    plain = cosine_scores(queries, gallery)
    fitted = make().fit(cosine_scores(train_queries, gallery))
    (r_before, skew_before), (r_after, skew_after) = figures(plain), figures(fitted.scores(plain))
    assert skew_after < 0.5 * skew_before
    assert r_after > r_before + 0.05


def test_dual_bank_norm_does_so_too(toy):
    queries, gallery, train_queries, train_gallery = toy
    plain = cosine_scores(queries, gallery)
    fitted = DualBankNorm(query=InvertedSoftmax(beta=20), gallery=InvertedSoftmax(beta=5))
    fitted.fit(cosine_scores(train_queries, gallery), cosine_scores(train_gallery, gallery))
    (r_before, skew_before), (r_after, skew_after) = figures(plain), figures(fitted.scores(plain))
    assert skew_after < 0.5 * skew_before
    assert r_after > r_before + 0.05


def features(toy, adjustment):
    queries, gallery, train_queries, train_gallery = toy
    return figures(cosine_scores(queries, adjustment.fit(train_gallery, train_queries).apply(gallery)))


def test_inverse_convolution_lowers_the_skewness_and_raises_recall(toy):
    r_before, skew_before = features(toy, BothBanks(gallery=InvGC(rate=0), query=InvGC(rate=0)))
    r_after, skew_after = features(toy, BothBanks(gallery=InvGC(rate=4), query=InvGC(rate=4)))
    assert skew_after < 0.9 * skew_before
    assert r_after > r_before + 0.05


def test_a_rate_of_zero_ranks_as_before(toy):
    queries, gallery, *_ = toy
    plain = retrieval_of(cosine_scores(queries, gallery), range(PAIRS), range(PAIRS + HUBS), n_bootstrap=5)
    unchanged = BothBanks(gallery=InvGC(rate=0), query=InvGC(rate=0)).fit(toy[3], toy[2]).apply(gallery)
    again = retrieval_of(cosine_scores(queries, unchanged), range(PAIRS), range(PAIRS + HUBS), n_bootstrap=5)
    np.testing.assert_array_equal(plain.rank, again.rank)
