"""Masked text with soft targets from a teacher (ALBEF, Li et al. 2021; TCL, Yang et al. 2022; CTP, Zhu et al. 2023).

Shape legend: V = rows, T = tokens, M = hidden tokens of all rows, D = width of the tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.tokens.masked_text import MaskedText
from core.objectives.tokens.ramp import Ramp, as_ramp
from core.objectives.tokens.sources import TokenSource
from core.objectives.tokens.vocabulary import Classes, SoftTarget, soft_cross_entropy


class SoftMaskedText(MaskedText):
    """(1 - alpha) times the cross entropy of hidden words plus alpha times that of the teacher's distribution.

    The teacher reads the same corrupted text, through its own source and head. alpha 0 is `MaskedText`; with 1 the
    loss is never below the mean entropy of the teacher. Values: "loss", "accuracy", "alpha".
    """

    def __init__(
        self,
        *,
        modality: str,
        width: int,
        vocab_size: int,
        teacher: str,
        head: str,
        alpha: float | Ramp = 0.4,
        ratio: float = 0.15,
        mask_id: int = 4,
        special_tokens: int = 5,
        source: TokenSource | None = None,
        name: str | None = None,
    ) -> None:
        """teacher: its name. head: name of a `WordHead` among the model's heads, so that the teacher has one. alpha:
        share of the soft target, in [0, 1]; a `Ramp` to raise it over the first epoch's steps. Others: `MaskedText`."""
        super().__init__(
            modality=modality,
            width=width,
            vocab_size=vocab_size,
            ratio=ratio,
            mask_id=mask_id,
            special_tokens=special_tokens,
            source=source,
            head=head,
            name=f"soft_masked_{modality}" if name is None else name,
        )
        self.alpha, self.teacher = as_ramp(alpha), teacher
        if not 0 <= min(self.alpha.start, self.alpha.end) <= max(self.alpha.start, self.alpha.end) <= 1:
            raise ConfigError(f"SoftMaskedText: alpha goes from {self.alpha.start} to {self.alpha.end}; stay in [0, 1]")

    def forward(self, step: Step) -> dict[str, Tensor]:
        rows = self.source.rows(step, self.modality)
        if len(rows) == 0:
            return {"loss": step.zero()}
        task = self.hide(step.input(self.modality).rows(rows), step.generator)
        if len(task.target) == 0:
            return {"loss": step.zero()}
        tokens = self.source.tokens(step, self.modality, task.inp)
        self.check_width(tokens)
        teacher, head = step.teacher(self.teacher), self.word_head(step)
        with torch.no_grad():
            its_head = self.word_head(teacher)
            its_x_MD = its_head.states(self.source.tokens(teacher, self.modality, task.inp).x[task.hidden])
        alpha = self.alpha.at(step.index)
        soft = SoftTarget(its_x_MD, Classes.of(its_head.decoder), share=alpha)
        loss_M, hit_M = soft_cross_entropy(
            head.states(tokens.x[task.hidden]), Classes.of(head.decoder), soft, task.target
        )
        return {"loss": loss_M.mean(), "accuracy": hit_M.float().mean(), "alpha": loss_M.new_tensor(alpha)}
