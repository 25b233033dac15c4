"""Texts that a model tells from another modality, for a whole split: what figures of generation are computed from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from core.data.datamodule import DataModule
from core.data.text import CLS, SEP, TextProcessor
from core.errors import ConfigError
from core.models.dual_encoder import DualEncoder
from core.models.text_decoder import WordDecoder, caption_greedily
from core.objectives.tokens.sources import tokens_of
from core.training.precision import Compute


@dataclass(slots=True)
class Told:
    """rows: which rows of the split hold both modalities. source, reference: as evaluation reads them. free: told word
    by word from what was told before (greedy). forced: the best word after each true beginning, so it has read the
    answer; an optimistic figure, only to compare with publications that report it."""

    rows: list[int] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    reference: list[str] = field(default_factory=list)
    free: list[str] = field(default_factory=list)
    forced: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Teller:
    """Which modality is told (`text`), from which (`source`), by which head (a `WordDecoder` in the model's heads).

    length: most ids of a told text, start and end included.
    """

    source: str
    text: str
    head: str
    length: int

    def check(self, model: DualEncoder) -> WordDecoder:
        """The decoder. Raises ConfigError for a model without these modalities, such a head or enough positions."""
        for name in (self.source, self.text):
            if name not in model.reads:
                raise ConfigError(f"generation: modality '{name}' is not among {sorted(model.reads)}")
        decoder = dict(model.heads.items()).get(self.head)
        if not isinstance(decoder, WordDecoder):
            raise ConfigError(f"generation: model.heads.{self.head} is no core.models.WordDecoder, which it needs")
        if not 2 <= self.length <= decoder.max_length:
            raise ConfigError(f"generation: length is {self.length}; the decoder takes 2 to {decoder.max_length} ids")
        return decoder

    @torch.no_grad()
    def tell(self, model: DualEncoder, data: DataModule, split: str, compute: Compute) -> Told:
        """Every row of a split that holds both modalities, in order. The model is in evaluation mode."""
        decoder = self.check(model)
        reader = data.processors[self.text]
        if not isinstance(reader, TextProcessor):
            raise ConfigError(f"generation: '{self.text}' is read by a {type(reader).__name__}, not a TextProcessor")
        told, first = Told(), 0
        dataset = data.dataset(split)
        for batch in data.eval_loader(split):
            if self.source in batch.inputs and self.text in batch.inputs:
                of_source, of_text, rows = batch.paired_rows(self.source, self.text)
                inp = batch.inputs[self.source].rows(of_source).to(compute.device)
                answer = batch.inputs[self.text].rows(of_text).to(compute.device)
                with compute.autocast():
                    context = tokens_of(model.encode(self.source, inp), self.source)
                    free = caption_greedily(decoder, context, start_id=CLS, end_id=SEP, length=self.length)
                    forced = decoder.classes(decoder(answer.x, answer.mask, None, context)).argmax(-1)
                real = torch.ones_like(answer.x, dtype=torch.bool) if answer.mask is None else answer.mask
                told.rows += [first + int(row) for row in rows]
                told.free += [reader.decode(ids) for ids in before_end(free[:, 1:])]
                told.forced += [reader.decode(ids) for ids in before_end(forced[:, :-1].where(real[:, 1:], SEP))]
                told.reference += [reader.decode(ids) for ids in before_end(answer.x[:, 1:])]
            first += len(batch)
        for row in told.rows:
            source = dataset.record(row).sources[data.processors[self.source].of or self.source]
            own = data.processors[self.source]
            told.source.append(own.shown_text(source) if isinstance(own, TextProcessor) else str(source))  # type: ignore[arg-type]
        return told


def before_end(ids_VT: torch.Tensor) -> Iterator[list[int]]:
    """The ids of each row up to its first end token, which is left out."""
    for row in ids_VT.tolist():
        yield row[: row.index(SEP)] if SEP in row else row
