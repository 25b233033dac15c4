"""Titled texts to token ids, and pictures to pixels.

Shape legend: V = rows, T = tokens, K = pictures of one thing, S = side of a picture in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.data.text import NO_WORD, SEP, TextProcessor, text_id, train_tokenizer
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.molecules.linking.sources import Pictures, parts_of

MAX_PIXELS = 2**26  # checked from the header, before anything is decoded


class TitledText(TextProcessor):
    """[CLS] title [SEP] text [SEP]: a mention and its sentence, an entity's name and its description.

    The identity of a text is that of the thing it is about where the source states one, so that two mentions of one
    entity are never each other's negatives. Mentions and entities share an encoder, so both learn the same vocabulary,
    from all tables of the training split: names and descriptions of the whole knowledge base, and training sentences.
    """

    def __init__(self, *, vocab_size: int = 8192, max_length: int = 40, min_frequency: int = 2, of: str = "") -> None:
        super().__init__(vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency, of=of)
        self._corpus: list[str] = []

    def read_tables(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        self._corpus = [text for name in sorted(tables) for text in tables[name].values()]

    def fit(self, sources: Iterable[Any]) -> None:
        """Learn from the tables where there are some, else from `sources`."""
        texts = self._corpus or [source for source in sources if isinstance(source, str)]
        words = (f"{title} {text}" for _, title, text in map(parts_of, texts))
        self._tokenizer = train_tokenizer(words, vocab_size=self.vocab_size, min_frequency=self.min_frequency)
        self._corpus = []

    def text(self, source: str | Path) -> str:
        """The source as a person reads it."""
        _, title, text = parts_of(super().text(source))
        return f"{title}: {text}" if title else text

    def load(self, source: str | Path) -> Sample:
        identity, title, text = parts_of(super().text(source))
        (title_T, title_words_T), (text_T, words_T) = self.pieces(title), self.pieces(text)
        behind = int(title_words_T.max()) + 1 if len(title_words_T) else 0
        ids_T = np.concatenate([title_T, [SEP], text_T]).astype(np.int32)
        return self.assemble(
            ids_T,
            np.concatenate([title_words_T, [NO_WORD], words_T + behind]).astype(np.int32),
            identity=text_id(f"entity {identity}" if identity else f"{title}\t{text}"),
        )


class PictureProcessor(Processor):
    """Pictures (.jpg, .png ...) as (V, 3, S, S), resized by Lanczos whatever their shape, scaled by mean and std.

    Training draws one of the pictures of a thing, evaluation sees the first. most: pictures of one thing that are read.
    mean, std: of each channel in [0, 1]; give CLIP's for its weights.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "image"
    not_in_load: ClassVar[frozenset[str]] = frozenset({"mean", "std"})

    def __init__(
        self,
        *,
        size: int = 224,
        most: int = 4,
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
        std: tuple[float, float, float] = (0.25, 0.25, 0.25),
        of: str = "",
    ) -> None:
        if size < 1 or most < 1 or min(std) <= 0:
            raise ConfigError(f"PictureProcessor: size {size}, most {most} and std {std} must all be positive")
        self.size, self.most, self.mean, self.std, self.of = size, most, tuple(mean), tuple(std), of

    def load(self, source: Pictures | Path) -> Sample:
        """`pictures` (K, 3, S, S) uint8. Raises DataError naming a file that is no picture, or too large."""
        paths = source.paths() if isinstance(source, Pictures) else [Path(source)]
        return {"pictures": np.stack([read_picture(path, self.size) for path in paths[: self.most]])}

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        drawn = int(rng.integers(len(sample["pictures"])))
        return {"pictures": sample["pictures"][drawn : drawn + 1]}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        x_V3SS = torch.from_numpy(np.stack([sample["pictures"][0] for sample in samples])).float() / 255
        mean_311, std_311 = (torch.tensor(x).view(3, 1, 1) for x in (self.mean, self.std))
        return ModalityInput(x=(x_V3SS - mean_311) / std_311)

    def shown(self, x: np.ndarray) -> np.ndarray:
        mean_311, std_311 = (np.array(v).reshape(3, 1, 1) for v in (self.mean, self.std))
        return np.round(np.clip(x * std_311 + mean_311, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def read_picture(path: Path, size: int) -> np.ndarray:
    """(3, size, size) uint8, RGB. Raises DataError naming the file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width} x {image.height} pixels, more than {MAX_PIXELS}; shrink it")
            small = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as err:
        raise DataError(f"{path}: not a readable picture ({err}); fetch it again or remove it") from err
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))
