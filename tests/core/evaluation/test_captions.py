"""Figures of told texts against hand-computed values and a plain dynamic programme."""

import math

import numpy as np
import pytest

from core.errors import DataError
from core.evaluation.captions import caption_scores, meteor_exact, rouge, word_bleu, words
from core.evaluation.edit_distance import edit_distance, edit_similarity


def test_words_are_letters_digits_and_single_signs():
    assert words("Add 2-methyl, 10%") == ["add", "2", "-", "methyl", ",", "10", "%"]


def test_bleu_of_a_case_by_hand():
    # unigrams 5 of 6, bigrams 3 of 5, equal lengths: sqrt(5/6 * 3/5)
    told, right = ["the cat sat on the mat"], ["the cat lay on the mat"]
    assert word_bleu(told, right, n_gram=2) == pytest.approx(math.sqrt(5 / 6 * 3 / 5), abs=1e-6)
    assert word_bleu(right, right, n_gram=4) == pytest.approx(1)
    # a short text is punished by exp(1 - 6/3)
    assert word_bleu(["the cat lay"], right, n_gram=2) == pytest.approx(math.exp(1 - 6 / 3), abs=1e-6)


def test_rouge_of_a_case_by_hand():
    found = rouge(["the cat sat"], ["the dog sat down"])
    assert found["rouge-1"] == pytest.approx(2 * (2 / 3 * 2 / 4) / (2 / 3 + 2 / 4), abs=1e-6)
    assert found["rouge-2"] == 0
    assert found["rouge-l"] == pytest.approx(found["rouge-1"], abs=1e-6)


def test_meteor_by_exact_words():
    assert meteor_exact("a b c", "a b c") == pytest.approx(1 - 0.5 * (1 / 3) ** 3)
    assert meteor_exact("x", "a") == 0
    # both words match, in two chunks: precision 1, recall 2/3
    mean = (1 * 2 / 3) / (0.9 * 1 + 0.1 * 2 / 3)
    assert meteor_exact("c a", "a b c") == pytest.approx(mean * (1 - 0.5 * (2 / 2) ** 3))


def plain_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        new = [i]
        for j, y in enumerate(b, start=1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def test_edit_distance_is_that_of_the_plain_programme():
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = ("".join(rng.choice(list("abc"), rng.integers(0, 9))) for _ in range(2))
        assert edit_distance(a, b) == plain_distance(a, b)
    assert edit_similarity(["kitten", ""], ["sitting", ""]).tolist() == pytest.approx([1 - 3 / 7, 1])


def test_all_figures_together_and_lists_that_differ():
    found = caption_scores(["a b c d e"], ["a b c d e"])
    assert set(found) == {"bleu-2", "bleu-4", "rouge-1", "rouge-2", "rouge-l", "meteor_exact"}
    assert min(found.values()) > 0.98
    with pytest.raises(DataError, match="1 told and 2 right"):
        word_bleu(["a"], ["a", "b"], n_gram=2)
