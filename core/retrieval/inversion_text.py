"""OTI: textual inversion of an item of another modality. Legend: V = items, R = pseudo words, T = tokens, D = width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.retrieval.inversion import Inversion, InvertibleModel, output_of
from core.types import ModalityInput


class TextInversion(Inversion):
    """OTI: pseudo words in a prompt such as "a photo of {}", for any encoder that has a `token_embedding`.

    prompt: one tokenised row, x (1, T) int64. slots: positions in it that the pseudo words take, one per word (put any
    valid token id there).
    """

    def __init__(
        self,
        *,
        model: InvertibleModel,
        modality: str,
        prompt: ModalityInput,
        slots: Sequence[int],
        steps: int = 150,
        lr: float = 2e-2,
        weight_decay: float = 0.01,
        init_std: float = 0.02,
        batch_size: int = 64,
    ) -> None:
        super().__init__(
            model=model, modality=modality, tokens=len(slots), steps=steps, lr=lr, weight_decay=weight_decay,
            init_std=init_std, batch_size=batch_size,
        )  # fmt: skip
        embedding = getattr(self.encoder, "token_embedding", None)
        if not isinstance(embedding, nn.Embedding):
            raise ConfigError(
                f"TextInversion: {type(self.encoder).__name__} of '{modality}' has no token_embedding; "
                "name a text modality"
            )
        length = prompt.x.shape[1]
        if len(prompt) != 1 or len(set(slots)) < len(slots) or not all(0 <= slot < length for slot in slots):
            raise ConfigError(
                f"TextInversion: prompt has {len(prompt)} rows of {length} tokens and slots {list(slots)}; give one "
                f"row, and different positions from 0 to {length - 1}"
            )
        self.embedding, self.prompt, self.slots = embedding, prompt, list(slots)

    def _width(self) -> int:
        return self.embedding.embedding_dim

    def _like(self) -> Tensor:
        return self.embedding.weight

    def _input(self, rows: int) -> ModalityInput:
        return self.prompt.to(self._like().device).rows(torch.zeros(rows, dtype=torch.int64))

    def _replaced(self, pseudo_VRD: Tensor) -> Any:
        def put(word_VTD: Tensor) -> Tensor:
            return word_VTD.index_copy(1, torch.tensor(self.slots, device=word_VTD.device), pseudo_VRD)

        return output_of(self.embedding, put)
