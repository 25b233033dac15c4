"""Score post-processing against dense formulas. Legend: Q = queries, G = gallery rows, M, N = bank rows."""

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from core.evaluation import cosine_scores, given_scores
from core.retrieval import DualBankNorm, DynamicInvertedSoftmax, InvertedSoftmax, QBNorm, search


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosines(rows, width=6, seed=0, columns=9):
    x, g = normal(rows, width, seed=seed), normal(columns, width, seed=99)
    return torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(g).T


S, BANK, GALLERY_BANK = cosines(7), cosines(31, seed=1), cosines(23, seed=2)


@pytest.mark.parametrize("beta", [1.0, 20.0])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_inverted_softmax_equals_the_published_ratio(beta, chunk):
    fitted = InvertedSoftmax(beta=beta).fit(given_scores(BANK), chunk=chunk)
    expected = (beta * S).exp() / (beta * BANK).exp().sum(dim=0)
    torch.testing.assert_close((beta * fitted.apply(S)).exp(), expected)


def test_a_bank_of_one_row_takes_its_scores_off():
    fitted = InvertedSoftmax(beta=7.0).fit(given_scores(BANK[:1]))
    torch.testing.assert_close(fitted.apply(S), S - BANK[:1])


def test_a_bank_that_finds_every_row_alike_changes_no_ranking():
    fitted = InvertedSoftmax().fit(given_scores(torch.full((5, 9), 0.3)))
    assert torch.equal(fitted.apply(S).argsort(dim=1), S.argsort(dim=1))


def test_logits_that_overflow_an_exponential_stay_finite():
    fitted = InvertedSoftmax(beta=20.0).fit(given_scores(1000 * BANK))
    assert torch.isfinite(fitted.apply(1000 * S)).all()


def test_dynamic_adjusts_exactly_the_queries_whose_best_row_is_a_hub():
    fitted = DynamicInvertedSoftmax(beta=20.0, k=1).fit(given_scores(BANK[:4]), chunk=3)
    hubs = set(BANK[:4].argmax(dim=1).tolist())
    found = fitted.apply(S)
    dense = S - (20 * BANK[:4]).logsumexp(dim=0) / 20
    active = torch.tensor([int(row.argmax()) in hubs for row in S])
    assert 0 < int(active.sum()) < len(S)  # both kinds are there
    torch.testing.assert_close(found[active], dense[active])
    assert torch.equal(found[~active], S[~active])


def test_more_activating_neighbours_reach_every_query():
    everything = DynamicInvertedSoftmax(k=99).fit(given_scores(BANK))
    torch.testing.assert_close(everything.apply(S), InvertedSoftmax().fit(given_scores(BANK)).apply(S))
    assert QBNorm is DynamicInvertedSoftmax


@pytest.mark.parametrize("make", [InvertedSoftmax, DynamicInvertedSoftmax])
def test_scores_that_come_in_are_not_written_to(make):
    """The released QB-norm overwrites the matrix it is given."""
    before, bank = S.clone(), BANK.clone()
    make().fit(given_scores(BANK)).apply(S)
    DualBankNorm(query=make(), gallery=make()).fit(given_scores(BANK), given_scores(GALLERY_BANK)).apply(S)
    assert torch.equal(S, before)
    assert torch.equal(BANK, bank)


def test_dbnorm_is_the_product_of_the_two_normalisations():
    fitted = DualBankNorm().fit(given_scores(BANK), given_scores(GALLERY_BANK), chunk=5)
    b1, b2 = 1 / 1.99, 3.0
    product = ((b1 * S).exp() / (b1 * BANK).exp().sum(0)) * ((b2 * S).exp() / (b2 * GALLERY_BANK).exp().sum(0))
    torch.testing.assert_close(((b1 + b2) * fitted.apply(S)).exp(), product)


def test_dbnorm_uses_every_argument():
    """The released function never reads its test matrix: it normalises the gallery bank against itself."""
    make = lambda: DualBankNorm(query=InvertedSoftmax(beta=5), gallery=InvertedSoftmax(beta=9))  # noqa: E731
    found = make().fit(given_scores(BANK), given_scores(GALLERY_BANK)).apply(S)
    other = cosines(7, seed=5)
    assert found.shape == S.shape  # not that of the bank
    assert not torch.allclose(make().fit(given_scores(BANK), given_scores(GALLERY_BANK)).apply(other), found)
    assert not torch.allclose(make().fit(given_scores(BANK[:5]), given_scores(GALLERY_BANK)).apply(S), found)
    assert not torch.allclose(make().fit(given_scores(BANK), given_scores(GALLERY_BANK[:5])).apply(S), found)


def test_dynamic_dbnorm_judges_each_bank_by_its_own_hubs():
    query, gallery = DynamicInvertedSoftmax(beta=4), DynamicInvertedSoftmax(beta=6)
    fitted = DualBankNorm(query=query, gallery=gallery).fit(given_scores(BANK[:3]), given_scores(GALLERY_BANK[:3]))
    by_query = DynamicInvertedSoftmax(beta=4).fit(given_scores(BANK[:3])).apply(S)
    by_gallery = DynamicInvertedSoftmax(beta=6).fit(given_scores(GALLERY_BANK[:3])).apply(S)
    torch.testing.assert_close(fitted.apply(S), 0.4 * by_query + 0.6 * by_gallery)


def test_an_adjustment_of_permuted_rows_is_the_permuted_adjustment():
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    for adjustment in (InvertedSoftmax(), DynamicInvertedSoftmax()):
        plain = adjustment.fit(given_scores(BANK)).apply(S)
        torch.testing.assert_close(adjustment.fit(given_scores(BANK[:, order])).apply(S[:, order]), plain[:, order])


def test_search_returns_adjusted_scores_best_first():
    q, g, bank = normal(5, 6), normal(9, 6, seed=1), normal(30, 6, seed=2)
    fitted = InvertedSoftmax().fit(cosine_scores(bank, g))
    score, index = search(q, g, k=4, adjustment=fitted, chunk=2)
    dense = fitted.apply(cosine_scores(q, g).block(slice(0, 5)))
    np.testing.assert_array_equal(index, dense.argsort(dim=1, descending=True)[:, :4])
    np.testing.assert_allclose(score, dense.sort(dim=1, descending=True).values[:, :4])
    assert search(q, g, k=50)[1].shape == (5, 9)
    with pytest.raises(ConfigError, match="k is 0"):
        search(q, g, k=0)


def test_errors_say_what_to_mend():
    with pytest.raises(DataError, match=r"InvertedSoftmax: not fitted; call fit\(bank\) first"):
        InvertedSoftmax().apply(S)
    with pytest.raises(DataError, match="fitted to a gallery of 9 rows"):
        InvertedSoftmax().fit(given_scores(BANK)).apply(S[:, :4])
    with pytest.raises(DataError, match="both need the gallery"):
        DualBankNorm().fit(given_scores(BANK), given_scores(GALLERY_BANK[:, :3]))
    with pytest.raises(ConfigError, match="beta is 0"):
        InvertedSoftmax(beta=0)
    with pytest.raises(ConfigError, match="k is 0"):
        DynamicInvertedSoftmax(k=0)
