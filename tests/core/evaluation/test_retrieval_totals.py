"""Figures over positives, captions, directions and languages. Legend: N = items, C = captions, L = languages."""

import itertools

import numpy as np
import pytest
import torch

from core.errors import DataError
from core.evaluation import (
    caption_retrieval,
    given_scores,
    language_consistency,
    mean_recall,
    mean_recall_interval,
    ranks,
    ranks_of,
    retrieval_scores,
    rsum,
    two_way_retrieval,
)


def ranking(scores, positive, **options):
    return ranks_of(given_scores(torch.tensor([scores])), [1], [int(p) for p in positive], **options)


def test_the_inverse_penalty_is_positives_over_the_rank_of_the_last_one():
    found = ranking([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, False, False])
    assert found.inverse_penalty[0] == pytest.approx(2 / 3)
    assert ranking([0.9, 0.8, 0.1], [True, True, False]).inverse_penalty[0] == 1
    assert np.isnan(ranking([0.9, 0.8], [False, False]).inverse_penalty[0])


@pytest.mark.parametrize(("tied_positives", "tied_negatives"), [(1, 3), (2, 2), (3, 1)])
def test_ties_put_the_last_positive_at_its_mean_place_never_where_the_sort_put_it(tied_positives, tied_negatives):
    n = tied_positives + tied_negatives
    last = np.mean([max(c) + 1 for c in itertools.combinations(range(n), tied_positives)])
    for positive in itertools.permutations([True] * tied_positives + [False] * tied_negatives):
        found = ranking([0.5] * n, positive)
        assert found.inverse_penalty[0] == pytest.approx(tied_positives / last)
    pessimistic = ranking([0.5] * n, positive, ties="pessimistic").inverse_penalty[0]
    assert pessimistic == pytest.approx(tied_positives / n)


def test_minp_equals_a_loop_over_a_sorted_list():
    rng = torch.Generator().manual_seed(0)
    q, g = torch.randn(12, 6, generator=rng), torch.randn(30, 6, generator=rng)
    kq, kg = torch.arange(12) % 4, torch.randint(0, 4, (30,), generator=rng)
    score = torch.nn.functional.normalize(q.double()) @ torch.nn.functional.normalize(g.double()).T
    expected = []
    for k, row in zip(kq, score, strict=True):
        order = row.argsort(descending=True)
        places = (kg[order] == k).nonzero()[:, 0] + 1
        expected.append(len(places) / int(places[-1]))
    found = retrieval_scores(q, g, kq, kg, n_bootstrap=5)
    assert found.mean_inverse_penalty.value == pytest.approx(np.mean(expected), abs=1e-12)
    assert found.flat()["mINP"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert "mINP" not in retrieval_scores(q, g, range(12), range(30), n_bootstrap=5).flat()


def test_normalised_ranks_are_shares_of_the_pool_not_of_the_worst_rank_seen():
    """The released SLAP evaluation divides by the largest rank it observed: a perfect model then scores 1, not 1/N."""
    x = torch.eye(40)
    found = ranks(x, x, range(40), range(40))
    np.testing.assert_allclose(found.normalised_rank, 1 / 40)
    assert not np.allclose(found.rank / found.rank.max(), found.normalised_rank)
    # what the other queries reached changes nothing
    worse = x.clone()
    worse[0] = -x[0]
    assert ranks(worse, x, range(40), range(40)).normalised_rank[1] == 1 / 40
    assert retrieval_scores(x, x, range(40), range(40), n_bootstrap=5).normalised_rank.value == pytest.approx(1 / 40)


def test_rsum_is_the_sum_of_six_recalls_in_percent():
    rng = torch.Generator().manual_seed(1)
    a = torch.randn(50, 8, generator=rng)
    both = two_way_retrieval(a, a + 1.2 * torch.randn(50, 8, generator=rng), range(50), n_bootstrap=20)
    recalls = [s.recall[k].value for s in both.values() for k in (1, 5, 10)]
    assert rsum(both) == pytest.approx(100 * sum(recalls))
    assert rsum(both) == pytest.approx(600 * mean_recall(both))
    assert rsum(two_way_retrieval(a, a, range(50), n_bootstrap=5)) == 600
    interval = mean_recall_interval(both, n_bootstrap=200)
    assert interval.value == pytest.approx(mean_recall(both), abs=1e-12)
    assert interval.low < interval.value < interval.high


def test_mean_recall_needs_the_same_queries_on_both_sides():
    images, captions = torch.eye(3), torch.eye(3).repeat_interleave(2, dim=0)
    both = caption_retrieval(images, captions, [0, 0, 1, 1, 2, 2], n_bootstrap=5)
    with pytest.raises(DataError, match="different numbers of queries"):
        mean_recall_interval(both)


def test_an_image_has_the_rank_of_the_best_of_its_captions():
    image = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    cosine = torch.tensor([0.9, 0.8, 0.7, 0.6])  # with image 0; with image 1: 0.44, 0.6, 0.71, 0.8
    captions = torch.stack([cosine, (1 - cosine**2).sqrt()], dim=1)
    both = caption_retrieval(image, captions, [1, 0, 1, 0], ks=(1, 2), n_bootstrap=5)
    np.testing.assert_array_equal(both["image_to_text"].rank, [2, 2])  # of 2 and 4; of 2 and 4
    assert (both["image_to_text"].recall[1].value, both["image_to_text"].recall[2].value) == (0, 1)
    np.testing.assert_array_equal(both["text_to_image"].rank, [2, 1, 1, 2])
    with pytest.raises(DataError, match="row numbers 0 to 1"):
        caption_retrieval(image, captions, [1, 0, 2, 0])


def test_caption_retrieval_equals_a_loop():
    rng = torch.Generator().manual_seed(2)
    images, captions = torch.randn(8, 5, generator=rng), torch.randn(40, 5, generator=rng)
    image_of = np.arange(40) // 5
    score = torch.nn.functional.normalize(images.double()) @ torch.nn.functional.normalize(captions.double()).T
    best = [min(1 + int((score[i] > score[i, c]).sum()) for c in range(5 * i, 5 * i + 5)) for i in range(8)]
    single = [1 + int((score[:, c] > score[image_of[c], c]).sum()) for c in range(40)]
    both = caption_retrieval(images, captions, image_of, n_bootstrap=5)
    np.testing.assert_array_equal(both["image_to_text"].rank, best)
    np.testing.assert_array_equal(both["text_to_image"].rank, single)
    assert both["text_to_image"].protocol["bootstrap"]["unit"] == "group"


def test_mrv_is_a_variance_and_the_released_deviation_is_reported_beside_it():
    """The released script prints the mean standard deviation under the name of the variance."""
    found = language_consistency({"en": [1, 1], "de": [5, 1], "ja": [1, 1], "zh": [5, 3]}, n_bootstrap=5)
    assert found.rank_variance.value == pytest.approx((4 + 0.75) / 2)
    assert found.rank_deviation.value == pytest.approx((2 + np.sqrt(0.75)) / 2)
    assert found.rank_variance.value != pytest.approx(found.rank_deviation.value)
    assert found.rank_deviation.value != pytest.approx(np.sqrt(found.rank_variance.value))  # nor is it the root
    assert {"MRV", "rank_deviation", "R@1_spread", "R@5/de"} <= set(found.flat())


def test_mrv_is_zero_for_equal_ranks_and_blind_to_a_constant_and_to_the_order_of_languages():
    rng = np.random.default_rng(0)
    rank = {name: rng.integers(1, 50, 30).astype(float) for name in "abc"}
    found = language_consistency(rank, n_bootstrap=5)
    assert language_consistency(dict.fromkeys("abc", rank["a"]), n_bootstrap=5).rank_variance.value == 0
    shifted = language_consistency({n: r + 7 for n, r in rank.items()}, n_bootstrap=5)
    assert shifted.rank_variance.value == pytest.approx(found.rank_variance.value)
    turned = language_consistency(dict(reversed(rank.items())), n_bootstrap=5)
    assert turned.rank_variance.value == pytest.approx(found.rank_variance.value)


def test_the_recall_spread_is_best_minus_worst_language():
    found = language_consistency({"en": [1, 1, 2, 9], "de": [1, 9, 9, 9]}, ks=(1, 2), n_bootstrap=5)
    assert found.recall == {"en": {1: 0.5, 2: 0.75}, "de": {1: 0.25, 2: 0.25}}
    assert found.recall_spread == {1: 0.25, 2: 0.5}


def test_an_item_without_a_rank_in_some_language_is_left_out():
    found = language_consistency({"en": [1, np.nan, 4], "de": [3, 1, 4]}, n_bootstrap=5)
    assert (found.items, found.rank_variance.value) == (2, 0.5)
    with pytest.raises(DataError, match="at least two"):
        language_consistency({"en": [1]})
    with pytest.raises(DataError, match="numbers of items differ"):
        language_consistency({"en": [1], "de": [1, 2]})
    with pytest.raises(DataError, match="no item has a rank in every"):
        language_consistency({"en": [np.nan], "de": [1]})
