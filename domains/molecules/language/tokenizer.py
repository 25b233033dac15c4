"""A byte-pair vocabulary that keeps case, with SMILES one character at a time.

Galactica, which ReactXT starts from, cuts SMILES into characters; here the characters of a SMILES are the single-byte
pieces of the same vocabulary, and stand between two marks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from core.data.text import SPECIAL_TOKENS, check_vocab_size
from core.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GRAPH, START_SMILES, END_SMILES = MARKS = ("<mol>", "[START_SMILES]", "[END_SMILES]")


def train_cased_tokenizer(texts: Iterable[str], *, vocab_size: int, min_frequency: int) -> Tokenizer:
    """A byte-level byte-pair tokenizer learned from `texts`; the special tokens of the suite have ids 0 to 4, then
    `MARKS`, then the bytes. Nothing is unknown to it. Raises DataError when there is no text at all."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    check_vocab_size(vocab_size - len(MARKS))
    seen = 0

    def counted() -> Iterable[str]:
        nonlocal seen
        for text in texts:
            seen += bool(text.strip())
            yield text

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *MARKS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(counted(), trainer)
    if not seen:
        raise DataError("tokenizer: no text to learn from; the contexts of the training split hold none")
    return tokenizer


def characters(tokenizer: Tokenizer, smiles: str) -> np.ndarray:
    """(T,) int32 ids of the characters of a SMILES. Raises DataError for one that no SMILES has."""
    ids = [tokenizer.token_to_id(sign) for sign in smiles]
    if None in ids:
        raise DataError(f"{smiles[:60]!a}: holds a character that no SMILES has")
    return np.array(ids, np.int32)
