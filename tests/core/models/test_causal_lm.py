"""A language model with a cache says what it says without one; beam search finds what a full search finds."""

import itertools

import pytest
import torch

from core.errors import ConfigError, DataError
from core.models import TransformerLM, beam_search
from core.models.beam_search import log_probabilities

W, END = 6, 1


@pytest.fixture
def lm():
    torch.manual_seed(3)
    model = TransformerLM(vocab_size=W, width=16, depth=2, heads=2, max_length=12).eval()
    with torch.no_grad():
        model.token_embedding.weight.mul_(40)  # far from uniform
    return model


IDS = torch.tensor([[2, 3, 4, 5], [5, 2, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)


def test_states_do_not_depend_on_padding_or_later_words(lm):
    states = lm(lm.words(IDS), MASK)
    torch.testing.assert_close(states[1, :2], lm(lm.words(IDS[1:, :2]), MASK[1:, :2])[0])
    other = IDS.clone()
    other[0, 3] = 0
    torch.testing.assert_close(lm(lm.words(other), MASK)[0, :3], states[0, :3])


def test_the_cache_gives_the_states_of_the_whole_sequence(lm):
    state, cache = lm.begin(lm.words(IDS), MASK)
    whole = lm(lm.words(IDS), MASK)
    torch.testing.assert_close(state, torch.stack([whole[0, 3], whole[1, 1]]))
    cache.select(torch.tensor([1, 0, 1]))
    for word in (3, 4):
        step = lm.go_on(lm.words(torch.full((3, 1), word))[:, 0], cache)
    rows = [[5, 2, 3, 4], [2, 3, 4, 5, 3, 4], [5, 2, 3, 4]]
    for row, ids in zip(step, rows, strict=True):
        expected = lm(lm.words(torch.tensor([ids])), torch.ones(1, len(ids), dtype=torch.bool))[0, -1]
        torch.testing.assert_close(row, expected)


def test_too_long_a_row_is_refused(lm):
    with pytest.raises(DataError, match="got 13 tokens, it takes up to 12"):
        lm(lm.words(torch.zeros(1, 13, dtype=torch.int64)), torch.ones(1, 13, dtype=torch.bool))
    state, cache = lm.begin(lm.words(torch.zeros(1, 12, dtype=torch.int64)), torch.ones(1, 12, dtype=torch.bool))
    with pytest.raises(DataError, match="beyond 12 tokens"):
        lm.go_on(state, cache)


@torch.no_grad()
def dense_log_p(lm, prompt, told):
    ids = torch.tensor([[*prompt, *told]])
    log_p = log_probabilities(lm(lm.words(ids), torch.ones_like(ids, dtype=torch.bool))[0], *lm.output)
    return sum(float(log_p[len(prompt) - 1 + i, word]) for i, word in enumerate(told))


def every_answer(length, never=()):
    """All word sequences that end with END, or are `length` long."""
    words = [w for w in range(W) if w not in never]
    for size in range(1, length + 1):
        for told in itertools.product(words, repeat=size):
            if END not in told[:-1] and (told[-1] == END or size == length):
                yield told


@pytest.mark.parametrize("never", [(), (0, 4)])
def test_with_enough_beams_the_search_is_exhaustive(lm, never):
    found = beam_search(lm, lm.words(IDS), MASK, beams=200, length=3, end_id=END, never=never)
    for row, prompt in enumerate([[2, 3, 4, 5], [5, 2]]):
        scores = {told: dense_log_p(lm, prompt, told) for told in every_answer(3, never)}
        best = sorted(scores, key=scores.get, reverse=True)
        for k in range(5):
            told = tuple(found.ids[row, k, : found.length[row, k]].tolist())
            assert told == best[k]
            assert float(found.score[row, k]) == pytest.approx(scores[told], abs=1e-4)
        assert int(found.score[row].isfinite().sum()) == min(200, len(scores))


def test_one_beam_is_greedy_and_penalties_order_the_end(lm):
    found = beam_search(lm, lm.words(IDS[:1]), MASK[:1], beams=1, length=4, end_id=END)
    ids = IDS[0].tolist()
    for word in found.ids[0, 0, : found.length[0, 0]].tolist():
        states = lm(lm.words(torch.tensor([ids])), torch.ones(1, len(ids), dtype=torch.bool))
        assert word == int(log_probabilities(states[0, -1:], *lm.output).argmax())
        ids.append(word)
    plain = beam_search(lm, lm.words(IDS[:1]), MASK[:1], beams=4, length=4, end_id=END)
    by_length = beam_search(lm, lm.words(IDS[:1]), MASK[:1], beams=4, length=4, end_id=END, length_penalty=1.0)
    means = (plain.score / plain.length).sort(dim=1, descending=True).values
    torch.testing.assert_close(by_length.score, means)
    with pytest.raises(ConfigError, match="beams is 0"):
        beam_search(lm, lm.words(IDS), MASK, beams=0, length=4, end_id=END)
