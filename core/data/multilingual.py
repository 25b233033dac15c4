"""A byte-pair tokenizer for texts of several scripts: nothing is lower-cased, no sign is taken off a letter.

`core.data.text.train_tokenizer` strips accents and cuts words where a combining mark stands: right for English, and
ruin for the vowel signs of Indic scripts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core.data.text import SPECIAL_TOKENS, train_byte_pairs
from core.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Words keep their combining marks (and joiners); numbers, runs of punctuation and spaces stand alone.
_WORD = r" ?[\p{L}\p{M}\x{200C}\x{200D}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+"


def train_multilingual_tokenizer(
    texts: Iterable[str], *, vocab_size: int, min_frequency: int = 2, markers: Sequence[str] = ()
) -> Tokenizer:
    """A tokenizer on the bytes of NFC text. markers: further special tokens, with ids from 5 on, never cut.

    Ids 0 to 4 are `SPECIAL_TOKENS`. Raises DataError when there is no text at all, ConfigError for a vocabulary that
    cannot hold the special tokens, the markers and the bytes.
    """
    from tokenizers import Regex, normalizers, pre_tokenizers

    if len({*SPECIAL_TOKENS, *markers}) != len(SPECIAL_TOKENS) + len(markers):
        raise ConfigError(f"markers: {', '.join(markers)} repeat one another or a special token")
    words = [
        pre_tokenizers.Split(Regex(_WORD), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    return train_byte_pairs(
        texts,
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        words=pre_tokenizers.Sequence(words),
        normalizer=normalizers.NFC(),
        markers=markers,
    )
