"""Values on a scale from a pooled feature: indicators of a place, ages, properties.

Shape legend: V = rows in which the modality is present, B = rows of the batch, Q = quantities, D = encoder width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.encoders.base import Encoder
from core.errors import ConfigError, DataError, nearest
from core.evaluation.regression import RegressionScores, regression_scores
from core.objectives.base import Step, Term
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome, Task
from core.training.tasks.value_scale import ValueScale
from core.types import Batch, ModalityInput


class ValueHead(nn.Module):
    """LayerNorm - linear - ReLU - dropout - linear on the pooled feature: (V, D) -> (V, Q) scaled values. The two
    layers are the probe of UrbanCLIP (Yan et al. 2024)."""

    def __init__(self, encoder: Encoder, quantities: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.width
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, quantities)
        )

    def forward(self, inp: ModalityInput) -> Tensor:
        return self.layers(self.encoder(inp).pooled)


class ValueLoss(Term):
    """Mean squared error of the scaled values over those that are known, each quantity weighing the same. Nothing
    known: an exact 0 with a graph."""

    name = "regression"

    def __init__(self, names: Sequence[str], scale: ValueScale) -> None:
        super().__init__()
        self.names, self.scale = tuple(names), scale

    def forward(self, step: Step) -> dict[str, Tensor]:
        (modality,) = step.model.reads
        if not step.has(modality):
            return {"loss": step.zero()}
        scaled_VQ = step.model(step.input(modality)).float()  # type: ignore[operator]
        target_VQ = self.scale.apply(quantities(step.batch, self.names, modality)).to(scaled_VQ.device)
        known_VQ = ~target_VQ.isnan()
        each_VQ = torch.where(known_VQ, scaled_VQ - target_VQ.nan_to_num(), 0).square()
        count_Q = known_VQ.sum(dim=0)
        per_quantity_Q = each_VQ.sum(dim=0) / count_Q.clamp(min=1)
        return {"loss": per_quantity_Q.sum() / (count_Q > 0).sum().clamp(min=1)}


class Regression(Task):
    """Values of the dataset that lie on a scale; trained standardised, scored in their own units.

    quantities: which ones; all of the dataset when empty. log: those that are learned as log(1 + value), for values
    that span decades. hidden, dropout: of the head. Predictions are not clipped.
    """

    watch = "mean_R2"

    def __init__(
        self,
        *,
        quantities: list[str] | None = None,
        log: list[str] | None = None,
        hidden: int = 256,
        dropout: float = 0.01,
    ) -> None:
        self.quantities, self.log = list(quantities or []), list(log or [])
        self.hidden, self.dropout = hidden, dropout
        self.scale: ValueScale | None = None

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        return self.head_from(encoder, self.facts(modality, data))

    def facts(self, modality: str | Sequence[str], data: DataModule) -> dict[str, Any]:
        names = self.quantities or list(data.quantity_names)
        if not names:
            raise ConfigError("task: the dataset has no quantities to learn; add columns of values, or another task")
        for name in names:
            if name not in data.quantity_names:
                raise ConfigError(
                    f"task.quantities: the dataset has no quantity '{name}'{nearest(name, data.quantity_names)}"
                )
        for name in self.log:
            if name not in names:
                raise ConfigError(f"task.log: '{name}' is not learned{nearest(name, names)}")
        records = (data.layouts["train"].record(index) for index in data.indices["train"])
        values_NQ = np.array([[record.labels.get(name, math.nan) for name in names] for record in records], np.float64)
        scale = ValueScale.learned(values_NQ, names, self.log)
        return {"quantities": names, "mean": scale.mean, "deviation": scale.deviation, "log": scale.log}

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        self.quantities = list(facts["quantities"])
        self.scale = ValueScale(mean=facts["mean"], deviation=facts["deviation"], log=facts["log"])
        return ValueHead(encoder, len(self.quantities), hidden=self.hidden, dropout=self.dropout)

    @property
    def names(self) -> list[str]:
        """What the columns of the head stand for."""
        return self.quantities

    def predicted(self, scaled_VQ: Tensor) -> Tensor:
        """What the head gives as (V, Q) float64 values in the units of the data, on the CPU."""
        return self._learned().undo(scaled_VQ.double().cpu())

    def terms(self) -> list[Term]:
        return [ValueLoss(self.quantities, self._learned())]

    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        found = self._scores(model, data, compute, "val", n_bootstrap=1, seed=0)
        values = [scores.r2.value for scores in found.values() if not math.isnan(scores.r2.value)]
        return {"mean_R2": float(np.mean(values))} if values else {}

    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        found = self._scores(model, data, compute, "test", n_bootstrap=n_bootstrap, seed=seed)
        numbers = {f"test/{name}/{k}": v for name, scores in found.items() for k, v in scores.flat().items()}
        numbers["test/mean_R2"] = float(np.mean([scores.r2.value for scores in found.values()]))
        rows = [
            [
                name,
                str(s.r2),
                str(s.spearman),
                f"{s.rmse.value:.4g}",
                f"{s.mae.value:.4g}",
                f"{s.deviation:.4g}",
                s.rows,
            ]
            for name, s in found.items()
        ]
        columns = ["quantity", "R2", "Spearman", "RMSE", "MAE", "RMSE of the mean", "rows"]
        return Outcome(
            numbers=numbers,
            protocol={
                "values": "in the units of the data, after undoing standardisation and logarithm",
                "R2": "about the mean of the scored rows: that constant has 0",
                "bootstrap": {"n": n_bootstrap, "seed": seed, "unit": "group", "level": 0.95},
                "training scale": self._learned().__dict__,
            },
            tables={"Quantities of held-out rows": (columns, rows)},
        )

    def _learned(self) -> ValueScale:
        assert self.scale is not None  # `head` comes first
        return self.scale

    def _scores(
        self, model: Downstream, data: DataModule, compute: Compute, split: str, *, n_bootstrap: int, seed: int
    ) -> dict[str, RegressionScores]:
        predicted_NQ, true_NQ, groups_N = self._predict(model, data, compute, split)
        known = [bool(np.isfinite(column).any()) for column in true_NQ.T]
        return {
            name: regression_scores(
                predicted_NQ[:, i], true_NQ[:, i], groups_N=groups_N, n_bootstrap=n_bootstrap, seed=seed
            )
            for i, name in enumerate(self.quantities)
            if known[i]
        }

    @torch.no_grad()
    def _predict(
        self, model: Downstream, data: DataModule, compute: Compute, split: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """(N, Q) predictions and (N, Q) values in their units, (N,) groups."""
        predicted, true, groups = [], [], []
        for batch in data.eval_loader(split):
            if model.modality not in batch.inputs:
                continue
            with compute.autocast():
                scaled_VQ = model(batch.inputs[model.modality].to(compute.device))
            predicted.append(self.predicted(scaled_VQ).numpy())
            true.append(quantities(batch, self.quantities, model.modality).numpy())
            groups.append(batch.keys["group"][batch.present[model.modality]].numpy())
        if not predicted:
            raise DataError(f"the {split} split has no record with '{model.modality}'; nothing to score")
        return np.concatenate(predicted), np.concatenate(true), np.concatenate(groups)


def quantities(batch: Batch, names: Sequence[str], modality: str) -> Tensor:
    """(V, Q) float64 values of the rows that hold the modality."""
    return torch.stack([batch.quantities[name] for name in names], dim=1)[batch.present[modality]].double()
