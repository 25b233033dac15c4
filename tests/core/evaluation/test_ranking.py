"""Ranks by enumeration. Legend: Q = queries, G = gallery rows, E = width."""

import itertools

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from core.evaluation.ranking import ranks, top_k
from core.evaluation.retrieval import chance_levels, mean_recall, retrieval_scores, two_way_retrieval


def gallery_with_scores(scores):
    """A query (1, 0) and unit gallery rows whose cosines with it are `scores`."""
    s = torch.tensor(scores, dtype=torch.float64)
    return torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.stack([s, (1 - s**2).sqrt()], dim=1)


def rank_of(scores, positive, **options):
    query, gallery = gallery_with_scores(scores)
    found = ranks(query, gallery, [1], [1 if p else 0 for p in positive], **options)
    return found.rank[0], found.average_precision[0]


def test_the_right_answer_in_front_has_rank_one_and_behind_everything_has_rank_of_the_pool():
    x = torch.eye(7)
    assert (ranks(x, x, range(7), range(7)).rank == 1).all()
    assert (ranks(x, x - 10 * torch.eye(7), range(7), range(7)).rank == 7).all()


def test_only_non_positives_push_an_answer_down():
    rank, ap = rank_of([0.9, 0.8, 0.7, 0.6], [False, True, False, True])
    assert rank == 2
    assert ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert rank_of([0.9, 0.8, 0.7, 0.6], [True, True, True, False]) == (1, 1)


@pytest.mark.parametrize(("tied_positives", "tied_negatives"), [(1, 1), (1, 4), (2, 3), (3, 2)])
def test_a_tie_gives_the_mean_rank_over_all_orders(tied_positives, tied_negatives):
    n = tied_positives + tied_negatives
    places = [min(c) for c in itertools.combinations(range(n), tied_positives)]  # non-positives before the first
    positive = [True] * tied_positives + [False] * tied_negatives
    assert rank_of([0.5] * n, positive)[0] == pytest.approx(1 + np.mean(places))
    assert rank_of([0.5] * n, positive, ties="pessimistic")[0] == 1 + tied_negatives


def test_a_collapsed_encoder_never_looks_good():
    same = torch.ones(20, 4) + torch.randn(20, 4, generator=torch.Generator().manual_seed(0)) * 1e-9
    assert (ranks(same, same, range(20), range(20)).rank == 10.5).all()
    assert two_way_retrieval(same, same, range(20), n_bootstrap=10)["a_to_b"].recall[5].value == 0


def test_average_precision_equals_sklearn_where_nothing_ties():
    from sklearn.metrics import average_precision_score

    rng = torch.Generator().manual_seed(1)
    q, g = torch.randn(9, 5, generator=rng), torch.randn(40, 5, generator=rng)
    kq, kg = torch.randint(0, 4, (9,), generator=rng), torch.randint(0, 4, (40,), generator=rng)
    score = torch.nn.functional.normalize(q.double()) @ torch.nn.functional.normalize(g.double()).T
    expected = [average_precision_score((kg == k).numpy(), s.numpy()) for k, s in zip(kq, score)]
    np.testing.assert_allclose(ranks(q, g, kq, kg).average_precision, expected, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_the_chunk_changes_nothing(chunk):
    rng = torch.Generator().manual_seed(2)
    q, g = torch.randn(33, 16, generator=rng), torch.randn(50, 16, generator=rng)
    g[10:20] = g[:10]  # exact duplicates tie
    kq, kg = torch.randint(0, 12, (33,), generator=rng), torch.arange(50) % 12
    whole, parts = ranks(q, g, kq, kg, chunk=1000), ranks(q, g, kq, kg, chunk=chunk)
    for field in ("rank", "average_precision", "positives", "pool", "hits"):
        np.testing.assert_array_equal(getattr(whole, field), getattr(parts, field))


def test_an_excluded_pair_is_no_candidate():
    x = torch.eye(5)
    keys = [0, 0, 1, 1, 2]
    found = ranks(x, x, keys, keys, exclude_QG=torch.eye(5, dtype=torch.bool))
    np.testing.assert_array_equal(found.pool, [4] * 5)
    np.testing.assert_array_equal(found.positives, [1, 1, 1, 1, 0])
    assert np.isnan(found.rank[4])
    assert found.rank[0] == 2.5  # the 4 others all tie at cosine 0


def test_string_keys_and_integer_keys_agree_and_do_not_mix():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(3))
    y = x.flip(0)
    np.testing.assert_array_equal(
        ranks(x, y, list("abcabc"), list("aabbcc")).rank, ranks(x, y, [0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 2, 2]).rank
    )
    with pytest.raises(DataError, match="some are strings and some are numbers"):
        ranks(x, y, list("abcabc"), range(6))


def test_hits_count_the_positives_among_the_first_k():
    query, gallery = gallery_with_scores([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    found = ranks(query, gallery, [1], [1, 0, 1, 0, 0, 1], ks=(1, 3, 6))
    np.testing.assert_array_equal(found.hits, [[1, 2, 3]])


def test_top_k_orders_by_cosine():
    query, gallery = gallery_with_scores([0.1, 0.9, -0.5, 0.3])
    score, index = top_k(query, gallery, k=3)
    np.testing.assert_array_equal(index, [[1, 3, 0]])
    np.testing.assert_allclose(score, [[0.9, 0.3, 0.1]], atol=1e-12)


def test_errors_say_what_to_mend():
    x = torch.eye(3)
    bad = x.clone()
    bad[1, 0] = torch.nan
    with pytest.raises(DataError, match="gallery: 1 of 3 embeddings hold nan or inf"):
        ranks(x, bad, range(3), range(3))
    with pytest.raises(DataError, match="3 gallery but 2 keys"):
        ranks(x, x, range(3), range(2))
    with pytest.raises(DataError, match="queries are 3 wide, the gallery 4"):
        ranks(x, torch.eye(4), range(3), range(4))
    with pytest.raises(ConfigError, match="ties is 'first'; valid: mean, pessimistic"):
        ranks(x, x, range(3), range(3), ties="first")
    with pytest.raises(DataError, match="none of 3 queries has an equal key"):
        retrieval_scores(x, x, range(3), range(3, 6))


@pytest.mark.parametrize(("positives", "pool"), [(1, 6), (2, 6), (3, 5), (6, 6)])
def test_chance_is_exact_by_enumeration(positives, pool):
    first = [min(c) + 1 for c in itertools.combinations(range(pool), positives)]
    recall, median, mrr = chance_levels(np.array([positives]), np.array([pool]), ks=(1, 2, 5, 10))
    for k, value in recall.items():
        assert value == pytest.approx(np.mean(np.array(first) <= k))
    assert median == np.median(first)
    assert mrr == pytest.approx(np.mean(1 / np.array(first)))


def test_chance_of_a_mixture_is_the_mean_over_queries():
    recall, _, _ = chance_levels(np.array([1, 4]), np.array([10, 10]), ks=(2,))
    assert recall[2] == pytest.approx((0.2 + (1 - 6 / 10 * 5 / 9)) / 2)


def test_random_embeddings_reach_chance_within_the_interval():
    rng = torch.Generator().manual_seed(4)
    a, b = torch.randn(400, 32, generator=rng), torch.randn(400, 32, generator=rng)
    keys = torch.arange(400) // 2  # every answer exists twice
    for scores in two_way_retrieval(a, b, keys, names=("image", "text"), n_bootstrap=300).values():
        for k in (1, 5, 10):
            spread = 4 * np.sqrt(scores.chance_recall[k] / 400)
            assert abs(scores.recall[k].value - scores.chance_recall[k]) < spread
        assert abs(scores.median_rank.value / scores.chance_median_rank - 1) < 0.2


def test_perfect_pairs_score_one_and_the_record_names_the_protocol():
    x = torch.randn(30, 16, generator=torch.Generator().manual_seed(5))
    both = two_way_retrieval(x, x, range(30), names=("image", "text"), n_bootstrap=50, split="test:1a2b")
    assert list(both) == ["image_to_text", "text_to_image"]
    flat = both["image_to_text"].flat()
    assert (flat["R@1"], flat["R@1_low"], flat["median_rank"], flat["mrr"], flat["mAP"]) == (1, 1, 1, 1, 1)
    assert flat["R@5_chance"] == pytest.approx(5 / 30)
    assert flat["P@5"] == pytest.approx(1 / 5)
    assert mean_recall(both) == 1
    protocol = both["text_to_image"].protocol
    assert (protocol["pool_size"], protocol["ties"], protocol["rank_base"]) == (30, "mean", 1)
    assert protocol["split"] == "test:1a2b"


def test_unmatched_queries_are_counted_and_left_out():
    x = torch.eye(4)
    scores = retrieval_scores(x, x[:2], range(4), range(2), n_bootstrap=10)
    assert (scores.queries, scores.unmatched, scores.recall[1].value) == (2, 2, 1.0)
    assert np.isnan(scores.rank[2:]).all()
