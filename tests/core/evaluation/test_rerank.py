"""Candidates in front, ordered by the mixture; the rest behind, by their cosines."""

import pytest
import torch

from core.errors import ConfigError, DataError
from core.evaluation.rerank import reranked_scores

COSINE = torch.tensor([[0.9, 0.5, 0.7, -0.2], [0.0, 0.1, 0.2, 0.3]])
TOP = torch.tensor([[0, 2, 1], [3, 2, 1]])
MATCH = torch.tensor([[0.1, 0.2, 0.9], [0.5, 0.6, 0.7]])


def order(share):
    return reranked_scores(COSINE, TOP, MATCH, share=share).argsort(dim=1, descending=True).tolist()


def test_a_share_of_one_is_the_order_of_cosines():
    assert order(1.0) == COSINE.argsort(dim=1, descending=True).tolist()


def test_a_share_of_nothing_is_the_order_of_matches_with_the_rest_behind():
    assert order(0.0) == [[1, 2, 0, 3], [1, 2, 3, 0]]


def test_a_mixture_by_hand():
    mixed = reranked_scores(COSINE, TOP, MATCH, share=0.5)
    torch.testing.assert_close(
        mixed[0] - 4, torch.tensor([0.5, 0.7, 0.45, -4.2], dtype=torch.float64), rtol=0, atol=1e-7
    )


def test_faults_say_what_was_expected():
    with pytest.raises(ConfigError, match=r"share is 1\.5"):
        order(1.5)
    with pytest.raises(DataError, match=r"matches are \(2, 3\)"):
        reranked_scores(COSINE, TOP, MATCH + 1, share=0.5)
