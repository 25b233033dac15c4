"""Scores that are no cosine of two vectors, against their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from core.errors import ConfigError, DataError
from core.evaluation import Scores, multilinear_scores, pair_scores, prompt_scores, retrieval_of
from core.objectives import Cosine, QueryMax, TokenMax, Viewed


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def tokens(rng, rows: int, lengths: list[int]) -> Viewed:
    t = max(lengths)
    return Viewed(torch.randn(rows, t, 4, generator=rng), torch.arange(t) < torch.tensor(lengths)[:, None])


def whole(scores: Scores) -> torch.Tensor:
    return scores.block(slice(0, scores.shape[0]))


def test_token_scores_are_the_mean_of_best_cosines(rng):
    a, b = tokens(rng, 3, [2, 3, 1]), tokens(rng, 2, [4, 1])
    want = torch.empty(3, 2)
    for i in range(3):
        for j in range(2):
            x, y = (F.normalize(v.x[k][v.mask[k]], dim=1) for v, k in ((a, i), (b, j)))
            want[i, j] = (x @ y.T).amax(1).mean()
    scores = pair_scores(TokenMax(), a, b)
    torch.testing.assert_close(whole(scores), want, rtol=0, atol=1e-6)
    torch.testing.assert_close(scores.block(slice(1, 3)), want[1:], rtol=0, atol=1e-6)
    assert scores.similarity == "TokenMax"


def test_token_scores_are_ranked_like_any_other(rng):
    """Texts that repeat the tokens of their image are found at rank 1, whatever order the tokens are in."""
    images = tokens(rng, 6, [3] * 6)
    texts = Viewed(images.x.flip(1)[:, :2])
    found = retrieval_of(pair_scores(TokenMax(), texts, images), torch.arange(6), torch.arange(6), ks=(1,))
    assert found.recall[1].value == 1.0
    assert found.protocol["similarity"] == "TokenMax"


def test_vectors_are_scored_by_their_cosine_and_queries_by_the_best(rng):
    a, b = torch.randn(5, 4, generator=rng), torch.randn(3, 4, generator=rng)
    want = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    torch.testing.assert_close(whole(pair_scores(Cosine(), Viewed(a), Viewed(b))), want, rtol=0, atol=1e-6)
    queries = Viewed(torch.stack([a, -a], 1))
    torch.testing.assert_close(whole(pair_scores(QueryMax(), queries, Viewed(b))), want.abs(), rtol=0, atol=1e-6)


def test_prompts_of_a_class_are_averaged_as_similarities(rng):
    samples, prompts = tokens(rng, 3, [2, 3, 1]), tokens(rng, 6, [4, 1, 2, 3, 1, 2])
    score = whole(pair_scores(TokenMax(), samples, prompts))
    plain = prompt_scores(TokenMax(), samples, prompts, classes=2)
    torch.testing.assert_close(plain, torch.stack([score[:, :3].mean(1), score[:, 3:].mean(1)], 1))
    soft = prompt_scores(TokenMax(), samples, prompts, classes=2, scale=10.0)
    want = sum((10 * score[:, [k, 3 + k]]).softmax(1) for k in range(3)) / 3
    torch.testing.assert_close(soft, want, rtol=0, atol=1e-6)
    torch.testing.assert_close(soft.sum(1), torch.ones(3))
    with pytest.raises(DataError, match="6 prompts for 4 classes"):
        prompt_scores(TokenMax(), samples, prompts, classes=4)
    with pytest.raises(ConfigError, match="scale is 0"):
        prompt_scores(TokenMax(), samples, prompts, classes=2, scale=0)


def test_multilinear_scores_multiply_unit_vectors(rng):
    q, r, x = (torch.randn(n, 4, generator=rng) for n in (3, 3, 5))
    want = torch.einsum("qe,qe,ge->qg", *(F.normalize(v, dim=1) for v in (q, r, x)))
    torch.testing.assert_close(whole(multilinear_scores([q, r], x)), want, rtol=0, atol=1e-6)
    cosine = pair_scores(Cosine(), Viewed(q), Viewed(x))
    torch.testing.assert_close(whole(multilinear_scores([q], x)), whole(cosine))
    with pytest.raises(DataError, match="no query modality"):
        multilinear_scores([], x)
