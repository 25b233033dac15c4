"""Image and text masked in the same forward, as the M3AE paper describes it (its released code masks one at a time)."""

from __future__ import annotations

from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.tokens.masked_image import MaskedImage
from core.objectives.tokens.masked_text import MaskedText
from core.objectives.tokens.sources import FromFusion, fusion_of, tokens_of
from core.types import Tokens


class JointMasked(Term):
    """Sum of a `MaskedImage` and a `MaskedText` that share one fused forward of both corrupted inputs.

    Each part keeps the fusion layer of its own source, which must be `FromFusion` with the other part as partner.
    Values: "loss", and "image", "text", "text_accuracy".
    """

    def __init__(self, *, image: MaskedImage, text: MaskedText, name: str | None = None) -> None:
        super().__init__()
        for own, other in ((image, text), (text, image)):
            if not isinstance(own.source, FromFusion) or own.source.partner != other.modality:
                raise ConfigError(
                    f"JointMasked: the source of '{own.modality}' must be FromFusion with partner '{other.modality}'"
                )
        self.image, self.text = image, text
        self.name = f"masked_{image.modality}_{text.modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        rows_a, rows_b, _ = step.paired_rows(self.image.modality, self.text.modality)
        if len(rows_a) == 0:
            return {"loss": step.zero()}
        patches = self.image.hide(step.input(self.image.modality).rows(rows_a), step.generator)
        words = self.text.hide(step.input(self.text.modality).rows(rows_b), step.generator)
        streams = {
            self.image.modality: tokens_of(
                step.model.encode(self.image.modality, patches.inp, keep=patches.plan.keep), self.image.modality
            ),
            self.text.modality: tokens_of(step.model.encode(self.text.modality, words.inp), self.text.modality),
        }
        layers = {self._layer(part) for part in (self.image, self.text)} - {None}
        fused = fusion_of(step, f"term '{self.name}'")(streams, want=layers)

        def stream(part: MaskedImage | MaskedText) -> Tokens:
            own, layer = fused.streams[part.modality], self._layer(part)
            if layer is None:
                return own
            return Tokens(x=fused.layers[layer][part.modality], mask=own.mask, grid=own.grid, prefix=own.prefix)

        zero = step.zero()
        image = self.image.error(stream(self.image), patches) if patches.plan.hidden.any() else zero
        if len(words.target) == 0:
            return {"loss": image + zero, "image": image, "text": zero}
        text = self.text.errors(stream(self.text), words, self.text.word_head(step))
        return {"loss": image + text["loss"], "image": image, "text": text["loss"], "text_accuracy": text["accuracy"]}

    @staticmethod
    def _layer(part: MaskedImage | MaskedText) -> int | None:
        assert isinstance(part.source, FromFusion)  # the constructor refuses anything else
        return part.source.stop_after
