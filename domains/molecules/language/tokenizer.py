"""A byte-pair vocabulary that keeps case, with SMILES one character at a time.

Galactica, which ReactXT starts from, cuts SMILES into characters; here the characters of a SMILES are the single-byte
pieces of the same vocabulary, and stand between two marks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from core.data.text import train_byte_pairs
from core.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GRAPH, START_SMILES, END_SMILES = MARKS = ("<mol>", "[START_SMILES]", "[END_SMILES]")


def train_cased_tokenizer(texts: Iterable[str], *, vocab_size: int, min_frequency: int) -> Tokenizer:
    """A byte-level byte-pair tokenizer learned from `texts`; the special tokens of the suite have ids 0 to 4, then
    `MARKS`, then the bytes. Nothing is unknown to it. Raises DataError when there is no text at all."""
    from tokenizers import pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return train_byte_pairs(texts, vocab_size=vocab_size, min_frequency=min_frequency, words=words, markers=MARKS)


def characters(tokenizer: Tokenizer, smiles: str) -> np.ndarray:
    """(T,) int32 ids of the characters of a SMILES. Raises DataError for one that no SMILES has."""
    ids = [tokenizer.token_to_id(sign) for sign in smiles]
    if None in ids:
        raise DataError(f"{smiles[:60]!a}: holds a character that no SMILES has")
    return np.array(ids, np.int32)
