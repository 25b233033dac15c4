"""Several yes-or-no labels from a pooled feature.

Shape legend: V = rows in which the modality is present, B = rows of the batch, L = labels, D = encoder width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.encoders.base import Encoder
from core.errors import ConfigError, DataError, nearest
from core.evaluation import classification_scores, macro_auroc
from core.evaluation.classification import macro_auprc
from core.evaluation.multilabel import multilabel_scores
from core.objectives.base import Step, Term
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome, Task
from core.types import Batch, ModalityInput


class LabelHead(nn.Module):
    """LayerNorm - dropout - linear on the pooled feature: (V, D) -> (V, L) logits."""

    def __init__(self, encoder: Encoder, labels: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = nn.Sequential(nn.LayerNorm(encoder.width), nn.Dropout(dropout), nn.Linear(encoder.width, labels))

    def forward(self, inp: ModalityInput) -> Tensor:
        return self.layers(self.encoder(inp).pooled)


class LabelLoss(Term):
    """Binary cross-entropy over known labels (nan = unknown counts for nothing), each label weighing the same."""

    name = "labels"

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names

    def forward(self, step: Step) -> dict[str, Tensor]:
        (modality,) = step.model.reads
        if not step.has(modality):
            return {"loss": step.zero()}
        logits_VL = step.model(step.input(modality)).float()  # type: ignore[operator]
        target_VL = targets(step.batch, self.names, modality).to(logits_VL.device)
        known_VL = ~target_VL.isnan()
        each_VL = F.binary_cross_entropy_with_logits(logits_VL, target_VL.nan_to_num(), reduction="none")
        count_L = known_VL.sum(dim=0)
        per_label_L = (each_VL * known_VL).sum(dim=0) / count_L.clamp(min=1)
        return {"loss": per_label_L.sum() / (count_L > 0).sum().clamp(min=1)}


class Classification(Task):
    """Findings, tags, attributes: any labels of the dataset that are 0, 1 or unknown.

    labels: which ones; all labels of the dataset when empty. dropout: before the linear layer. watch: the validation
    figure that says which step was best; "macro_auprc" where few are positive.
    """

    def __init__(
        self,
        *,
        labels: list[str] | None = None,
        dropout: float = 0.1,
        watch: Literal["macro_auroc", "macro_auprc"] = "macro_auroc",
    ) -> None:
        self.labels = list(labels or [])
        self.dropout, self.watch = dropout, watch

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        names = data.label_names
        for label in self.labels:
            if label not in names:
                raise ConfigError(f"task.labels: the dataset has no label '{label}'{nearest(label, names)}")
        self.labels = self.labels or list(names)
        if not self.labels:
            raise ConfigError("task: the dataset has no labels to learn; add label columns, or choose another task")
        return self.head_from(encoder, self.facts(modality, data))

    def facts(self, modality: str | Sequence[str], data: DataModule) -> dict[str, Any]:
        return {"labels": self.labels or list(data.label_names)}

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        self.labels = list(facts["labels"])
        return LabelHead(encoder, len(self.labels), self.dropout)

    @property
    def names(self) -> list[str]:
        """What the columns of the head stand for."""
        return self.labels

    def predicted(self, logits_VL: Tensor) -> Tensor:
        """What the head gives as (V, L) float64 probabilities, on the CPU."""
        return logits_VL.float().sigmoid().cpu().double()

    def terms(self) -> list[Term]:
        return [LabelLoss(self.labels)]

    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        score_NL, label_NL, _ = self._predict(model, data, compute, "val")
        found = {"macro_auroc": macro_auroc(score_NL, label_NL), "macro_auprc": macro_auprc(score_NL, label_NL)}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        score_NL, label_NL, group_N = self._predict(model, data, compute, "test")
        scores = classification_scores(
            score_NL, label_NL, self.labels, groups_N=group_N, n_bootstrap=n_bootstrap, seed=seed, split="test"
        )
        tags = multilabel_scores(score_NL, label_NL, groups_N=group_N, n_bootstrap=n_bootstrap, seed=seed)
        flat_tags = {k: v for name, score in tags.items() for k, v in score.flat(name).items()}
        rows = [[name, s.positives, s.negatives, str(s.auroc), str(s.auprc)] for name, s in scores.labels.items()]
        return Outcome(
            numbers={f"test/{k}": v for k, v in (scores.flat() | flat_tags).items()},
            protocol=scores.protocol | {"F1": "of scores above 0.5", "mAP": "AUPRC; micro: all rows and labels as one"},
            tables={
                "Labels on held-out rows": (["label", "positive", "negative", "AUROC", "AUPRC"], rows),
                "All labels together": (["figure", "value"], [[name, str(score)] for name, score in tags.items()]),
            },
        )

    @torch.no_grad()
    def _predict(
        self, model: Downstream, data: DataModule, compute: Compute, split: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores, labels, groups = [], [], []
        for batch in data.eval_loader(split):
            if model.modality not in batch.inputs:
                continue
            with compute.autocast():
                logits_VL = model(batch.inputs[model.modality].to(compute.device))
            scores.append(self.predicted(logits_VL).numpy())
            labels.append(targets(batch, self.labels, model.modality).double().numpy())
            groups.append(batch.keys["group"][batch.present[model.modality]].numpy())
        if not scores:
            raise DataError(f"the {split} split has no record with '{model.modality}'; nothing to score")
        return np.concatenate(scores), np.concatenate(labels), np.concatenate(groups)


def targets(batch: Batch, names: list[str], modality: str) -> Tensor:
    """(V, L) labels of the rows that hold the modality."""
    return torch.stack([batch.labels[name] for name in names], dim=1)[batch.present[modality]].float()
