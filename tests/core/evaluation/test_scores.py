"""Scores in blocks. Legend: Q = queries, G = gallery rows."""

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from core.evaluation import cosine_scores, given_scores, ranks, ranks_of, retrieval_of, top_k_of
from core.evaluation.scores import Scores


@pytest.fixture
def sides():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(11, 6, generator=rng), torch.randn(17, 6, generator=rng)


def test_ranks_of_given_scores_equal_those_of_the_cosines(sides):
    q, g = sides
    dense = torch.nn.functional.normalize(q.double()) @ torch.nn.functional.normalize(g.double()).T
    keys_q, keys_g = torch.arange(11) % 5, torch.arange(17) % 5
    by_cosine, by_scores = ranks(q, g, keys_q, keys_g), ranks_of(given_scores(dense), keys_q, keys_g, chunk=4)
    for field in ("rank", "average_precision", "inverse_penalty", "hits"):
        np.testing.assert_array_equal(getattr(by_cosine, field), getattr(by_scores, field))
    assert (
        retrieval_of(given_scores(dense, similarity="mine"), keys_q, keys_g, n_bootstrap=5)
        .protocol["similarity"]
        .startswith("mine")
    )


def test_no_more_than_a_chunk_of_queries_is_ever_scored_at_once(sides):
    asked = []
    dense = cosine_scores(*sides).block(slice(0, 11))

    def block(rows):
        asked.append(rows.stop - rows.start)
        return dense[rows]

    ranks_of(Scores((11, 17), block), range(11), range(17), chunk=4)
    assert asked == [4, 4, 3]


def test_top_k_is_clamped_to_the_gallery_and_refuses_less_than_one(sides):
    scores = cosine_scores(*sides)
    best, index = top_k_of(scores, k=99, chunk=3)
    assert best.shape == (11, 17)
    assert (np.diff(best, axis=1) <= 0).all()
    assert all(sorted(row) == list(range(17)) for row in index)
    with pytest.raises(ConfigError, match="k is 0; ask for at least 1"):
        top_k_of(scores, k=0)


def test_errors_say_what_to_mend():
    with pytest.raises(DataError, match="nan among the scores of queries 2 to 3"):
        list(given_scores(torch.tensor([[1.0], [2.0], [torch.nan], [0.0]])).blocks(2))
    with pytest.raises(ConfigError, match="chunk is 0"):
        list(given_scores(torch.ones(2, 2)).blocks(0))
    with pytest.raises(DataError, match="a block has shape"):
        list(Scores((3, 2), lambda rows: torch.ones(3, 3)).blocks(3))
    with pytest.raises(DataError, match=r"shape is \(0, 4\)"):
        given_scores(torch.ones(0, 4))
