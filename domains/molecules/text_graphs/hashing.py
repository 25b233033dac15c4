"""Texts as vectors without a trained model: hashed words and pairs of words, of unit length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=2**16)
def _words(text: str, width: int) -> NDArray[np.float32]:
    from sklearn.feature_extraction.text import HashingVectorizer

    # English function words say nothing of a text and would make all of them alike
    reader = HashingVectorizer(n_features=width, ngram_range=(1, 2), stop_words="english", norm=None)
    counted = np.asarray(reader.transform([text]).todense(), np.float32)[0]
    dampened = np.sign(counted) * np.log1p(np.abs(counted))
    return dampened / max(float(np.linalg.norm(dampened)), 1e-12)


def hashed_words(texts: Sequence[str], width: int) -> NDArray[np.float32]:
    """(n, width) signed counts, dampened by log(1 + n), unit rows; an empty text is a row of zeros. The same on every
    machine, in every run."""
    return np.stack([_words(text, width) for text in texts])
