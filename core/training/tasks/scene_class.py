"""One of several classes for each row, from a pooled feature: softmax, and figures of the confusion matrix.

Shape legend: V = rows in which the modality is present, K = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.encoders.base import Encoder
from core.errors import ConfigError, DataError, nearest
from core.evaluation.confusion_scores import confusion_figures, confusion_scores
from core.objectives.base import Step, Term
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome, Task
from core.training.tasks.classification import LabelHead, targets


class ClassLoss(Term):
    """Cross-entropy over rows in which exactly one of the classes is 1; none: an exact 0 with a graph."""

    name = "class"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)

    def forward(self, step: Step) -> dict[str, Tensor]:
        (modality,) = step.model.reads
        if not step.has(modality):
            return {"loss": step.zero()}
        logits_VK = step.model(step.input(modality)).float()  # type: ignore[operator]
        class_V = class_of(targets(step.batch, self.names, modality)).to(logits_VK.device)
        if not bool((class_V >= 0).any()):
            return {"loss": logits_VK.sum() * 0}
        return {"loss": F.cross_entropy(logits_VK, class_V, ignore_index=-1)}


class SceneClassification(Task):
    """One class for each row, such as the main land cover of a tile.

    labels: labels of the dataset of which one is 1 in each row; all of them when empty. Rows with none or several are
    left out. dropout: before the linear layer.
    """

    watch = "accuracy"

    def __init__(self, *, labels: list[str] | None = None, dropout: float = 0.1) -> None:
        self.labels, self.dropout = list(labels or []), dropout

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        for label in self.labels:
            if label not in data.label_names:
                raise ConfigError(f"task.labels: the dataset has no label '{label}'{nearest(label, data.label_names)}")
        return self.head_from(encoder, self.facts(modality, data))

    def facts(self, modality: str | Sequence[str], data: DataModule) -> dict[str, Any]:
        return {"labels": self.labels or list(data.label_names)}

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        self.labels = list(facts["labels"])
        if len(self.labels) < 2:
            raise ConfigError(f"task.labels: {len(self.labels)} class; a choice needs two at least")
        return LabelHead(encoder, len(self.labels), self.dropout)

    def terms(self) -> list[Term]:
        return [ClassLoss(self.labels)]

    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        confusion_NKK, _ = self._confusion(model, data, compute, "val")
        return {"accuracy": float(confusion_figures(confusion_NKK.sum(0).astype(float))["accuracy"])}

    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        confusion_NKK, group_N = self._confusion(model, data, compute, "test")
        scores = confusion_scores(confusion_NKK, self.labels, groups_N=group_N, n_bootstrap=n_bootstrap, seed=seed)
        total_KK = confusion_NKK.sum(0)
        each = confusion_figures(total_KK.astype(float))
        rows = [
            [name, int(total_KK[k].sum()), f"{each['recall'][k]:.3f}", f"{each['f1'][k]:.3f}"]
            for k, name in enumerate(self.labels)
        ]
        numbers = {f"test/{k}": v for name, score in scores.items() for k, v in score.flat(name).items()}
        summary = [[name, "", str(score), ""] for name, score in scores.items()]
        return Outcome(
            numbers=numbers | {f"test/f1/{name}": float(each["f1"][k]) for k, name in enumerate(self.labels)},
            protocol={
                "accuracy": "overall accuracy (OA); average accuracy (AA) is the mean recall of the classes that occur",
                "interval": "95%, percentile bootstrap over groups",
                "rows left out": "those with none or several of the classes",
            },
            tables={"Classes of held-out rows": (["class", "rows", "found (recall)", "F1"], [*summary, *rows])},
        )

    @torch.no_grad()
    def _confusion(
        self, model: Downstream, data: DataModule, compute: Compute, split: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N, K, K) one count for each row, and the groups (N,)."""
        found, groups, k = [], [], len(self.labels)
        for batch in data.eval_loader(split):
            if model.modality not in batch.inputs:
                continue
            with compute.autocast():
                logits_VK = model(batch.inputs[model.modality].to(compute.device)).float().cpu()
            class_V = class_of(targets(batch, self.labels, model.modality))
            known_V = class_V >= 0
            cell_N = (class_V * k + logits_VK.argmax(1))[known_V]
            found.append(F.one_hot(cell_N, k * k).reshape(-1, k, k).numpy())
            groups.append(batch.keys["group"][batch.present[model.modality]][known_V].numpy())
        if not sum(map(len, found)):
            raise DataError(f"the {split} split has no row with '{model.modality}' and exactly one class")
        return np.concatenate(found), np.concatenate(groups)


def class_of(target_VK: Tensor) -> Tensor:
    """(V,) int64: the only class that is 1; -1 where none is, or several are."""
    one_VK = target_VK == 1
    return torch.where(one_VK.sum(1) == 1, one_VK.int().argmax(1), -1)
