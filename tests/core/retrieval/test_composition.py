"""Composition by hand. Legend: V = pairs, P = parts, E = width."""

import pytest
import torch
from torch.nn import functional as F

from core.errors import ConfigError, DataError
from core.retrieval import compose, composed_similarity, part_weights


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


IMAGE, SENTENCE = normal(4, 6), normal(4, 6, seed=1)
WORDS, PARTS = normal(4, 3, 6, seed=2), normal(4, 3, 6, seed=3)
NONE = torch.zeros(4, 3, dtype=torch.bool)


def test_without_parts_it_is_the_plain_cosine():
    plain = F.cosine_similarity(IMAGE, SENTENCE)
    torch.testing.assert_close(composed_similarity(IMAGE, SENTENCE, WORDS, PARTS, NONE), plain)
    torch.testing.assert_close(composed_similarity(IMAGE, SENTENCE, WORDS[:, :0], PARTS[:, :0]), plain)


@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
def test_a_single_part_has_weight_one_whatever_its_score(sign):
    word = sign * PARTS[:, :1]
    assert torch.equal(part_weights(word, PARTS[:, :1]), torch.ones(4, 1, dtype=torch.float64))
    expected = F.normalize(F.normalize(IMAGE) + F.normalize(PARTS[:, 0]))
    torch.testing.assert_close(compose(IMAGE, word, PARTS[:, :1]), expected)


def test_weights_are_a_softmax_and_never_turn_a_part_around():
    """The published weights s / sum(s) of scores 0.5 and -0.6 are -5 and 6."""
    score = (F.normalize(WORDS, dim=2) * F.normalize(PARTS, dim=2)).sum(2)
    assert ((score / score.sum(1, keepdim=True)) < 0).any()
    for scale in (1.0, 100.0):
        found = part_weights(WORDS, PARTS, scale=scale)
        torch.testing.assert_close(found, (scale * score).softmax(1))
        assert (found >= 0).all()


def test_a_masked_part_counts_for_nothing_and_may_hold_anything():
    mask = torch.tensor([[1, 1, 0]] * 4, dtype=torch.bool)
    parts = PARTS.clone()
    parts[:, 2] = torch.inf
    words = WORDS.clone()
    words[:, 2] = torch.nan
    kept = compose(IMAGE, WORDS[:, :2], PARTS[:, :2])
    torch.testing.assert_close(compose(IMAGE, words, parts, mask), kept)


def test_the_order_of_parts_and_the_length_of_vectors_change_nothing():
    order = torch.tensor([2, 0, 1])
    found = composed_similarity(IMAGE, SENTENCE, WORDS, PARTS)
    torch.testing.assert_close(composed_similarity(IMAGE, SENTENCE, WORDS[:, order], PARTS[:, order]), found)
    torch.testing.assert_close(composed_similarity(9 * IMAGE, SENTENCE, 2 * WORDS, 5 * PARTS), found)


def test_errors_say_what_to_mend():
    with pytest.raises(DataError, match="words are"):
        compose(IMAGE, WORDS[:, :2], PARTS)
    with pytest.raises(DataError, match="rows must match"):
        compose(IMAGE[:2], WORDS, PARTS)
    with pytest.raises(DataError, match=r"give \(V, P\) bool"):
        compose(IMAGE, WORDS, PARTS, NONE.long())
    with pytest.raises(ConfigError, match="scale is 0"):
        compose(IMAGE, WORDS, PARTS, scale=0)
