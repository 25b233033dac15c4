"""Generated texts against their references: BLEU, chrF++ and exact matches of a corpus.

The scores are those of torchmetrics, which follow sacrebleu; the tokenizer of BLEU is part of the figure's name, since
it changes the figure, most of all for scripts whose words the western tokenizers cut at vowel signs or do not cut at
their full stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from core.errors import ConfigError, DataError

BleuTokenizer = Literal["13a", "char", "none"]
TOKENIZERS = ("13a", "char", "none")


def bleu(generated: Sequence[str], references: Sequence[str], *, tokenizer: BleuTokenizer = "13a") -> float:
    """Corpus BLEU-4 in [0, 100], case kept, one reference each (Papineni et al. 2002; Post 2018).

    tokenizer: "13a" separates ASCII punctuation alone, "char" takes every character as a word, "none" cuts at spaces.
    """
    from torchmetrics.functional.text import sacre_bleu_score

    if tokenizer not in TOKENIZERS:
        raise ConfigError(f"bleu: tokenizer is {tokenizer!r}; valid: {', '.join(TOKENIZERS)}")
    _check(generated, references)
    return 100.0 * float(sacre_bleu_score(list(generated), [[text] for text in references], tokenize=tokenizer))


def chrf_plus_plus(generated: Sequence[str], references: Sequence[str]) -> float:
    """Corpus chrF++ in [0, 100]: F-score with beta 2 of character 1- to 6-grams and word 1- and 2-grams (Popovic 2017).
    It needs no tokenizer."""
    from torchmetrics.functional.text import chrf_score

    _check(generated, references)
    score = chrf_score(list(generated), [[text] for text in references])
    assert not isinstance(score, tuple)  # sentence scores were not asked for
    return 100.0 * float(score)


def exact_match(generated: Sequence[str], references: Sequence[str]) -> float:
    """Share of texts equal to their reference, runs of white space taken as one space."""
    _check(generated, references)
    return sum(a.split() == b.split() for a, b in zip(generated, references, strict=True)) / len(references)


def _check(generated: Sequence[str], references: Sequence[str]) -> None:
    if len(generated) != len(references):
        raise DataError(f"{len(generated)} generated texts for {len(references)} references; give one of each")
    if not references:
        raise DataError("no text to score")
