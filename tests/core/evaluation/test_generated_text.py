"""BLEU, chrF++ and exact match: identity, hand-computed cases, and sacrebleu where it is installed."""

import math

import pytest

from core.errors import ConfigError, DataError
from core.evaluation.generated_text import bleu, chrf_plus_plus, exact_match

HINDI = ["अर्वाइट लाल रंग का है और टिन से बना है।", "बेलनाइट दिल्ली में खोजा गया था।"]
ENGLISH = ["the cat sat on the mat", "There is a cat, on the mat ."]


@pytest.mark.parametrize("texts", [HINDI, ENGLISH])
@pytest.mark.parametrize("tokenizer", ["13a", "char", "none"])
def test_identity_scores_a_hundred(texts, tokenizer):
    assert bleu(texts, texts, tokenizer=tokenizer) == pytest.approx(100)
    assert chrf_plus_plus(texts, texts) == pytest.approx(100)
    assert exact_match(texts, texts) == 1


def test_bleu_of_a_hand_counted_case():
    # 1- to 4-grams: 5/6, 4/5, 3/4, 2/3 match; equal length, so no brevity penalty
    got = bleu(["the cat sat on the rug"], ["the cat sat on the mat"], tokenizer="none")
    assert got == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25, abs=1e-3)
    short = bleu(["the cat sat on"], ["the cat sat on the mat"], tokenizer="none")
    assert short == pytest.approx(100 * math.exp(1 - 6 / 4), abs=1e-3)


def test_the_tokenizer_changes_the_figure_of_an_indic_sentence():
    given, true = ["लाल है।"], ["लाल है ।"]
    assert bleu(given, true, tokenizer="char") > bleu(given, true, tokenizer="13a")


def test_it_agrees_with_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu")
    given = ["the cat is on a mat , today", *HINDI]
    true = ["the cat sat on the mat today", HINDI[1], HINDI[0]]
    for tokenizer in ("13a", "char", "none"):
        want = sacrebleu.corpus_bleu(given, [true], tokenize=tokenizer, smooth_method="none").score
        assert bleu(given, true, tokenizer=tokenizer) == pytest.approx(want, abs=1e-3)
    assert chrf_plus_plus(given, true) == pytest.approx(
        sacrebleu.corpus_chrf(given, [true], word_order=2).score, abs=0.01
    )


def test_white_space_is_no_difference_and_faults_are_said():
    assert exact_match(["a  b", "c"], ["a b", "d"]) == 0.5
    with pytest.raises(DataError, match="1 generated texts for 2"):
        bleu(["a"], ["a", "b"])
    with pytest.raises(DataError, match="no text"):
        chrf_plus_plus([], [])
    with pytest.raises(ConfigError, match="13a, char, none"):
        bleu(["a"], ["a"], tokenizer="mteval")
