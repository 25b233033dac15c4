"""How near captions are to the right ones, by words: BLEU-2 and -4, ROUGE, METEOR without synonyms.

Words are runs of letters, digits or single other signs, lower case: a rule that needs no vocabulary, stated with the
figures. BLEU and ROUGE are those of torchmetrics. The BLEU of sacrebleu, on whole strings, is in `generated_text`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from core.errors import DataError

WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
RULE = "words are runs of letters or digits and single other signs, lower case; BLEU of the corpus, without smoothing"


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def word_bleu(told: Sequence[str], right: Sequence[str], *, n_gram: int) -> float:
    """Corpus BLEU up to `n_gram` words, in [0, 1] (Papineni et al. 2002). Raises DataError for lists that differ."""
    from torchmetrics.functional.text import bleu_score

    _check(told, right)
    pairs = [" ".join(words(text)) for text in told], [[" ".join(words(text))] for text in right]
    return float(bleu_score(*pairs, n_gram=n_gram))


def rouge(told: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L, means over pairs (Lin 2004)."""
    from torchmetrics.functional.text import rouge_score

    _check(told, right)
    names = {"rouge1": "rouge-1", "rouge2": "rouge-2", "rougeL": "rouge-l"}
    found = rouge_score(
        [" ".join(words(text)) for text in told],
        [" ".join(words(text)) for text in right],
        rouge_keys=tuple(names),
        normalizer=str,
        tokenizer=str.split,
    )
    return {name: float(found[f"{key}_fmeasure"]) for key, name in names.items()}


def meteor_exact(told: str, right: str, *, alpha: float = 0.9, beta: float = 3.0, gamma: float = 0.5) -> float:
    """METEOR with exact matches alone (Banerjee and Lavie 2005): no stems, no synonyms, so it is below the full one.

    (1 - gamma (chunks / matches)^beta) P R / (alpha P + (1 - alpha) R). Words are matched one to one, each to the
    partner that goes on a chunk where there is one, else to the first that is free.
    """
    hypothesis, reference = words(told), words(right)
    free: dict[str, list[int]] = {}
    for place, word in enumerate(reference):
        free.setdefault(word, []).append(place)
    matched: list[tuple[int, int]] = []
    for place, word in enumerate(hypothesis):
        open_ = free.get(word)
        if open_:
            goes_on = matched[-1][1] + 1 if matched and matched[-1][0] == place - 1 else -1
            chosen = goes_on if goes_on in open_ else open_[0]
            open_.remove(chosen)
            matched.append((place, chosen))
    if not matched:
        return 0.0
    breaks = sum(b != (a[0] + 1, a[1] + 1) for a, b in pairwise(matched))
    precision, recall = len(matched) / len(hypothesis), len(matched) / len(reference)
    mean = precision * recall / (alpha * precision + (1 - alpha) * recall)
    return mean * (1 - gamma * ((breaks + 1) / len(matched)) ** beta)


def caption_scores(told: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """BLEU-2, BLEU-4, ROUGE-1, 2, L and METEOR by exact words, each in [0, 1]."""
    each = [meteor_exact(a, b) for a, b in zip(told, right, strict=True)]
    return {
        "bleu-2": word_bleu(told, right, n_gram=2), "bleu-4": word_bleu(told, right, n_gram=4), **rouge(told, right),
        "meteor_exact": float(np.mean(each)),
    }  # fmt: skip


def _check(told: Sequence[str], right: Sequence[str]) -> None:
    if len(told) != len(right) or not told:
        raise DataError(f"{len(told)} told and {len(right)} right texts; give as many of both, and at least one")
