"""Properties of molecules: a task of the core, beside fingerprints on the same split, and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.data.dataset import named
from core.encoders.base import Encoder
from core.errors import ConfigError
from core.objectives.base import Term
from core.training.precision import Compute
from core.training.tasks import Classification, Downstream, Outcome, Regression, Task
from domains.molecules.fingerprints import RADIUS, SIZE
from domains.molecules.processors.graph import GraphProcessor
from domains.molecules.tasks.baseline import MorganBaseline


class Properties(Task):
    """`task` on molecules: core's `Classification` for labels that are 0, 1 or unknown, `Regression` for values.

    Its figures stand beside those of Morgan fingerprints with logistic or ridge regression on the same molecules, and
    the fingerprints of the training molecules are kept in the run, so that a prediction can say how near it is to them.
    baseline: whether fingerprints are scored; it takes long for hundreds of labels.
    """

    def __init__(self, *, task: Task, baseline: bool = True) -> None:
        if not isinstance(task, Classification | Regression):
            raise ConfigError(
                f"task: Properties takes core.training.tasks.Classification or Regression, not {type(task).__name__}"
            )
        self.task, self.baseline = task, baseline
        self.watch = task.watch

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        name = named(modality)[0]
        if not isinstance(data.processors[name], GraphProcessor):
            raise ConfigError(f"modality: Properties reads molecules, and '{name}' is no graph of one")
        return self.task.head(encoder, modality, data)

    def facts(self, modality: str | Sequence[str], data: DataModule) -> dict[str, Any]:
        return self.task.facts(modality, data)

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        return self.task.head_from(encoder, facts)

    @property
    def names(self) -> list[str]:
        """What the columns of the head stand for."""
        return self.task.names

    def predicted(self, out_VL: Tensor) -> Tensor:
        """(V, L) float64: probabilities of labels, or values in the units of the data."""
        return self.task.predicted(out_VL)

    def terms(self) -> list[Term]:
        return self.task.terms()

    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        return self.task.validate(model, data, compute)

    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        how: dict[str, Any] = {"n_bootstrap": n_bootstrap, "seed": seed}
        outcome = self.task.evaluate(model, data, compute, folder=folder, **how)
        baseline = MorganBaseline(data, model.modality, self.names)
        outcome.files.append(baseline.known().save(folder))
        outcome.protocol["split"] = data.split_hash()
        if not self.baseline:
            return outcome
        if isinstance(self.task, Classification):
            scores = baseline.labels(**how)
            outcome.numbers |= {f"test/morgan/{k}": v for k, v in scores.flat().items()}
            pairs = [
                [
                    name,
                    f"{outcome.numbers[f'test/auroc/{name}']:.3f}",
                    str(s.auroc),
                    f"{outcome.numbers[f'test/auprc/{name}']:.3f}",
                    str(s.auprc),
                ]
                for name, s in scores.labels.items()
            ]
            mean = [str(scores.macro_auroc), str(scores.macro_auprc)]
            own = [f"{outcome.numbers[f'test/{figure}']:.3f}" for figure in ("macro_auroc", "macro_auprc")]
            pairs.append([f"mean of {len(scores.labels)} tasks with both classes", own[0], mean[0], own[1], mean[1]])
            table = ["task", "ROC-AUC", "Morgan + logistic", "AP", "Morgan + logistic"], pairs
        else:
            found = baseline.values(**how)
            for name, value in found.items():
                outcome.numbers |= {f"test/morgan/{name}/{k}": v for k, v in value.flat().items()}
            pairs = [
                [
                    name,
                    f"{outcome.numbers[f'test/{name}/RMSE']:.4g}",
                    str(s.rmse),
                    f"{outcome.numbers[f'test/{name}/MAE']:.4g}",
                    str(s.mae),
                ]
                for name, s in found.items()
            ]
            table = ["quantity", "RMSE", "Morgan + ridge", "MAE", "Morgan + ridge"], pairs
        outcome.tables["Beside Morgan fingerprints, same split"] = table
        outcome.protocol["fingerprints"] = f"Morgan counts, radius {RADIUS}, {SIZE} rows, log(1 + n); strength of the "
        outcome.protocol["fingerprints"] += "linear model chosen on the validation split"
        return outcome
