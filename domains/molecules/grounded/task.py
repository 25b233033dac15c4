"""Multiple-choice questions as a downstream task of a pretrained text and graph encoder.

Shape legend: V = rows, C = choices, N = questions of a split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.encoders.base import Encoder
from core.errors import ConfigError, DataError
from core.evaluation.bootstrap import bootstrap_interval, mean_statistic
from core.objectives.base import Step, Term
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome, Task
from core.types import ModalityInput
from domains.molecules.grounded.encoder import GroundedTextEncoder
from domains.molecules.grounded.terms import AnswerHead, answer_loss


class ChoiceModel(nn.Module):
    """Encoder and `AnswerHead`: questions -> (V, C) logits."""

    def __init__(self, encoder: GroundedTextEncoder, dropout: float) -> None:
        super().__init__()
        self.encoder, self.answer = encoder, AnswerHead(width=encoder.width, dropout=dropout)

    def forward(self, inp: ModalityInput) -> Tensor:
        return self.answer(self.encoder, inp)


class ChoiceLoss(Term):
    """Cross entropy of the right choice."""

    name = "answer"

    def forward(self, step: Step) -> dict[str, Tensor]:
        (modality,) = step.model.reads
        if not step.has(modality):
            return {"loss": step.zero()}
        inp = step.input(modality)
        return answer_loss(step.model(inp), inp.extra["answer"])  # type: ignore[operator]


class MultipleChoice(Task):
    """Choose the right one of several statements by fc([graph ; CLS ; context node]) (DRAGON, GreaseLM).

    The processor of the modality has to be a `ChoiceProcessor`; rows without a known answer are not scored.
    """

    watch = "accuracy"

    def __init__(self, *, dropout: float = 0.2) -> None:
        self.dropout = dropout

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        (name,) = (modality,) if isinstance(modality, str) else modality
        found = self.head_from(encoder, {})
        encoder.take(data.processors[name])
        return found

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        if not isinstance(encoder, GroundedTextEncoder):
            raise ConfigError(
                f"task: MultipleChoice needs a GroundedTextEncoder, and the run has a {type(encoder).__name__}; give a "
                "run of dragon or dragon_mlm with --from_run"
            )
        return ChoiceModel(encoder, self.dropout)

    def terms(self) -> list[Term]:
        return [ChoiceLoss()]

    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        hit_N, _ = self._hits(model, data, compute, "val")
        return {"accuracy": float(hit_N.mean())}

    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        hit_N, chance = self._hits(model, data, compute, "test")
        found = bootstrap_interval(mean_statistic(hit_N), rows=len(hit_N), n=n_bootstrap, seed=seed)
        numbers = found.flat("test/accuracy") | {"test/chance": chance, "test/questions": float(len(hit_N))}
        rows: list[list[Any]] = [["accuracy", str(found)], ["chance", f"{chance:.3f}"], ["questions", len(hit_N)]]
        return Outcome(
            numbers=numbers,
            protocol={"accuracy": "share of questions whose best choice is the right one"},
            tables={"Answers on held-out questions": (["figure", "value"], rows)},
        )

    @torch.no_grad()
    def _hits(self, model: Downstream, data: DataModule, compute: Compute, split: str) -> tuple[np.ndarray, float]:
        """(N,) 1 where the answer is right, and the accuracy of guessing."""
        was_training = model.training
        model.eval()
        hits, chances = [np.zeros(0)], [np.zeros(0)]
        for batch in data.eval_loader(split):
            if model.modality not in batch.inputs:
                continue
            inp = batch.inputs[model.modality]
            with compute.autocast():
                chosen_V = model(inp.to(compute.device)).argmax(1).cpu()
            known_V = inp.extra["answer"] >= 0
            hits.append((chosen_V == inp.extra["answer"])[known_V].double().numpy())
            chances.append((1 / inp.extra["choice_mask"].sum(1)[known_V].double()).numpy())
        model.train(was_training)
        hit_N = np.concatenate(hits)
        if len(hit_N) == 0:
            raise DataError(f"the {split} split has no question with a known answer; nothing to score")
        return hit_N, float(np.concatenate(chances).mean())
