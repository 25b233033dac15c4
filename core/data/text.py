"""Text to token ids: a tokenizer trained on the corpus at hand, and the processor that applies it.

Shape legend: T = tokens of a text, specials included; V = texts of a batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.errors import CheckpointError, ConfigError, DataError
from core.files import atomic_write
from core.types import ModalityInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0..4, in this order, in every vocabulary
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL_TOKENS))
TOKENIZER_FILE = "tokenizer.json"
NO_WORD = -1  # word id of special tokens


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, min_frequency: int = 2) -> Tokenizer:
    """A byte-pair tokenizer (lower case, accents stripped, split at spaces and punctuation) learned from `texts`.

    vocab_size: upper bound; the special tokens and the 256 bytes are always in. min_frequency: rarer merges are not
    made. It works on bytes (Radford 2019), so nothing is unknown to it, and the same texts give the same vocabulary:
    WordPiece training of this library numbers its pieces in hash order, which differs from run to run.
    Raises DataError when there is no text at all.
    """
    from tokenizers import normalizers, pre_tokenizers

    return train_byte_pairs(
        texts,
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        words=pre_tokenizers.ByteLevel(add_prefix_space=True),
        normalizer=normalizers.BertNormalizer(lowercase=True, strip_accents=True, handle_chinese_chars=False),
    )


def train_byte_pairs(
    texts: Iterable[str],
    *,
    vocab_size: int,
    min_frequency: int,
    words: PreTokenizer,
    normalizer: Normalizer | None = None,
    markers: Sequence[str] = (),
) -> Tokenizer:
    """A byte-pair tokenizer learned from `texts`, which are read once and not kept.

    words: cuts a text into words and those into bytes. markers: further special tokens, never cut, with ids from 5 on;
    ids 0 to 4 are `SPECIAL_TOKENS`, the bytes follow. Raises DataError when there is no text at all, ConfigError for a
    vocabulary that cannot hold special tokens, markers and bytes.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    check_vocab_size(vocab_size - len(markers))
    seen = 0

    def counted() -> Iterable[str]:
        nonlocal seen
        for text in texts:
            seen += bool(text.strip())
            yield text

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *markers],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(counted(), trainer)
    if not seen:
        raise DataError("tokenizer: no text to learn from; every text of the training split is missing or empty")
    return tokenizer


def check_vocab_size(vocab_size: int) -> None:
    """Raises ConfigError when not even the special tokens and the bytes fit."""
    least = len(SPECIAL_TOKENS) + 256
    if vocab_size < least:
        raise ConfigError(f"vocab_size: is {vocab_size}; special tokens and single bytes alone need {least}")


def text_id(text: str) -> int:
    """Identity of a text's content, in [0, 2**63): equal for texts that differ only in case and white space."""
    return _hash(" ".join(text.casefold().split()).encode())


def joint_id(parts: Sequence[int]) -> int:
    """Identity of a text made of parts with these identities, in this order; that of the part when there is one."""
    return parts[0] if len(parts) == 1 else _hash(b"".join(part.to_bytes(8, "big") for part in parts))


class TextProcessor(Processor):
    """Token ids of a text between [CLS] and [SEP], and which word each token belongs to.

    load(source): a str is the text itself, a Path a UTF-8 file. The sample holds `ids` (T,) int32, `word_ids` (T,)
    int32 (-1 for specials), `dropped` () int32, the tokens cut off to keep T <= max_length, and `text_id` () int64.
    collate: x (V, T) int64 padded to the longest, mask (V, T), extra `word_ids` (V, T), `dropped` (V,), `text_id` (V,).
    of: modality whose source and vocabulary it shares, for a part of a text that is a modality of its own.
    vocab_size and min_frequency matter to `fit` alone; `vocabulary` is the number of ids the model has to embed.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "text"
    not_in_load: ClassVar[frozenset[str]] = frozenset({"vocab_size", "min_frequency"})  # told by the vocabulary itself

    def __init__(self, *, vocab_size: int = 8192, max_length: int = 128, min_frequency: int = 2, of: str = "") -> None:
        if max_length < 3:
            raise ConfigError(f"max_length: is {max_length}; [CLS], [SEP] and one token need 3")
        check_vocab_size(vocab_size)
        self.vocab_size, self.max_length, self.min_frequency = vocab_size, max_length, min_frequency
        self.of = of
        self._tokenizer: Tokenizer | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            raise ConfigError(f"{type(self).__name__} has no vocabulary yet; call fit(texts) or restore(folder) first")
        return self._tokenizer

    @property
    def vocabulary(self) -> int:
        """Number of token ids; every id is below it."""
        return self.tokenizer.get_vocab_size()

    def fit(self, sources: Iterable[Any]) -> None:
        """Train the tokenizer on the texts behind `sources`."""
        texts = (text for text in map(self._text_or_none, sources) if text is not None)
        self._tokenizer = train_tokenizer(texts, vocab_size=self.vocab_size, min_frequency=self.min_frequency)

    def _text_or_none(self, source: Any) -> str | None:
        """The text, or None for a file that cannot be read: `load` will name it, and the bad-record policy decides."""
        try:
            return self.text(source)
        except DataError:
            return None

    def _learned(self) -> str:
        return "" if self._tokenizer is None else hashlib.sha256(self._tokenizer.to_str().encode()).hexdigest()

    def adopt(self, other: TextProcessor) -> None:
        """Use the vocabulary of `other`, so that one encoder can read both."""
        self._tokenizer = other.tokenizer

    def text(self, source: str | Path) -> str:
        """The text behind a source, as it is tokenised. Raises DataError for a file that is not UTF-8 text."""
        return read_text(source) if isinstance(source, Path) else source

    def shown_text(self, source: str | Path) -> str:
        """What evaluation reads of a source, for a person."""
        return self.text(source)

    def load(self, source: str | Path) -> Sample:
        text = self.text(source)
        if not text.strip():
            where = f"{source}: " if isinstance(source, Path) else ""
            raise DataError(f"{where}the text is empty; leave the modality out of records that have no text")
        return self.encode(text)

    def encode(self, text: str) -> Sample:
        """The sample of a text that is at hand."""
        ids, words = self.pieces(text)
        return self.assemble(ids, words, identity=text_id(text))

    def pieces(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and word ids of `text`, both (T,) int32, without special tokens and not shortened."""
        found = self.tokenizer.encode(text, add_special_tokens=False)
        return np.array(found.ids, np.int32), np.array(found.word_ids, np.int32)

    def assemble(self, ids_T: np.ndarray, words_T: np.ndarray, *, identity: int) -> Sample:
        """A sample of the given pieces: shortened, between [CLS] and [SEP]."""
        room = self.max_length - 2
        return {
            "ids": np.concatenate([[CLS], ids_T[:room], [SEP]]).astype(np.int32),
            "word_ids": np.concatenate([[NO_WORD], words_T[:room], [NO_WORD]]).astype(np.int32),
            "dropped": np.array(max(0, len(ids_T) - room), np.int32),
            "text_id": np.array(identity, np.int64),
        }

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        longest = max(len(sample["ids"]) for sample in samples)
        ids_VT = torch.full((len(samples), longest), PAD, dtype=torch.int64)
        words_VT = torch.full((len(samples), longest), NO_WORD, dtype=torch.int64)
        mask_VT = torch.zeros((len(samples), longest), dtype=torch.bool)
        for row, sample in enumerate(samples):
            length = len(sample["ids"])
            ids_VT[row, :length] = torch.from_numpy(np.array(sample["ids"], np.int64))
            words_VT[row, :length] = torch.from_numpy(np.array(sample["word_ids"], np.int64))
            mask_VT[row, :length] = True
        extra = {name: torch.tensor([int(s[name]) for s in samples]) for name in ("dropped", "text_id")}
        return ModalityInput(x=ids_VT, mask=mask_VT, extra={"word_ids": words_VT, **extra})

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""
        return self.tokenizer.decode([int(i) for i in ids], skip_special_tokens=True).removeprefix(" ")

    def save(self, folder: Path) -> None:
        with atomic_write(Path(folder) / TOKENIZER_FILE, error=CheckpointError) as partial:
            partial.write_text(self.tokenizer.to_str(pretty=True), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        path = Path(folder) / TOKENIZER_FILE
        tokenizer = read_tokenizer(path)
        found = [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS]
        if found != list(range(len(SPECIAL_TOKENS))):
            raise CheckpointError(f"{path}: {', '.join(SPECIAL_TOKENS)} have ids {found}; they must be 0 to 4 in order")
        self._tokenizer = tokenizer


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json. Raises CheckpointError naming the file."""
    from tokenizers import Tokenizer

    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)  # the parser below is native code: it gets well-formed JSON only
        return Tokenizer.from_str(text)
    except FileNotFoundError as err:
        raise CheckpointError(f"{path}: is missing; without it the token ids mean nothing, copy it again") from err
    except Exception as err:  # the library raises plain Exception
        raise CheckpointError(f"{path}: not a readable tokenizer ({err}); copy it again") from err


def read_text(path: Path) -> str:
    """A UTF-8 text file (a byte order mark is dropped). Raises DataError naming the file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise DataError(f"{path}: not UTF-8 text (byte {err.start}); convert it, for instance with iconv") from None
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror}); check the path and its permissions") from err


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 1
