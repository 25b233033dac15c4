"""What a model of molecules is judged by: hidden atoms it gets right, and measured properties that its states hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import numpy as np
import torch

from core.data.datamodule import DataModule
from core.errors import ConfigError, nearest
from core.models.dual_encoder import DualEncoder
from core.objectives.base import StepModel
from core.training.figures import Figure
from core.training.precision import Compute
from domains.molecules.data.shipped import PROPERTIES, installed_sets
from domains.molecules.encoders.gin import GIN
from domains.molecules.objectives.heads import AtomHead
from domains.molecules.objectives.hidden_atoms import answers
from domains.molecules.objectives.masking import AtomMasking


class HiddenAtomAccuracy(Figure):
    """Share of hidden atoms whose kind the model's head puts first, beside that of the commonest kind (carbon).

    The same atoms are hidden in every measurement; none is replaced or kept, whatever the training does.
    """

    headline: ClassVar[Mapping[str, str]] = {
        "hidden atoms, accuracy": "hidden_atoms/accuracy",
        "  always the commonest kind": "hidden_atoms/accuracy_commonest",
    }

    def __init__(self, *, modality: str = "graph", head: str = "atoms", ratio: float = 0.15) -> None:
        self.modality, self.head, self.ratio = modality, head, ratio

    def check(self, model: DualEncoder) -> None:
        head = dict(model.heads.items()).get(self.head)
        if self.modality not in model.reads or not isinstance(head, AtomHead):
            raise ConfigError(
                f"HiddenAtomAccuracy: needs the modality '{self.modality}' and an AtomHead as model.heads.{self.head}"
            )

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        encoder = model.encoder_of(self.modality)
        masking = AtomMasking(ratio=self.ratio, vocabulary=str(getattr(encoder, "vocabulary", "hu2")))
        generator = torch.Generator().manual_seed(0)
        hits, kinds = [], []
        for batch in data.eval_loader(split):
            if self.modality not in batch.inputs:
                continue
            inp = batch.inputs[self.modality].to(compute.device)
            found = answers(cast(StepModel, model), model.heads[self.head], self.modality, masking, inp, generator)
            hits.append((found.predicted.argmax(1) == found.kinds).cpu())
            kinds.append(found.kinds.cpu())
        if not hits:
            return {}
        commonest = torch.cat(kinds).bincount().max() / len(torch.cat(kinds))
        return {
            "hidden_atoms/accuracy": float(torch.cat(hits).float().mean()),
            "hidden_atoms/accuracy_commonest": float(commonest),
        }


class MeasuredProperties(Figure):
    """Ridge probes of the frozen encoder on measured sets that ship with packages: RMSE, mean over scaffold splits,
    beside the same encoder untrained (a `GIN`; others are not drawn anew) and beside Morgan counts. At the end of a run
    only.

    sets: among solubility, freesolv (extra `molecule-sets`) and chembl_series; those that are installed when None.
    seeds: scaffold splits. most: molecules of a set, the first ones; all when None.
    """

    headline: ClassVar[Mapping[str, str]] = {
        f"{name}, RMSE{suffix}": f"properties/{name}/{kind}/RMSE"
        for name in PROPERTIES
        for kind, suffix in (("pretrained", ""), ("untrained", ", untrained"), ("morgan", ", Morgan + ridge"))
    }

    def __init__(
        self,
        *,
        modality: str = "graph",
        sets: Sequence[str] | None = None,
        seeds: int = 3,
        most: int | None = None,
    ) -> None:
        for name in sets or ():
            if name not in PROPERTIES:
                raise ConfigError(f"MeasuredProperties: there is no set '{name}'{nearest(name, PROPERTIES)}")
        self.modality, self.sets, self.seeds, self.most = modality, sets, seeds, most

    def check(self, model: DualEncoder) -> None:
        if self.modality not in model.reads:
            raise ConfigError(
                f"MeasuredProperties: the model reads no '{self.modality}'{nearest(self.modality, model.reads)}"
            )

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        if split != "test":
            return {}
        from domains.molecules.properties.run import measured, probed

        encoder = model.encoder_of(self.modality)
        fresh = [encoder.fresh(i).to(compute.device) for i in range(self.seeds)] if isinstance(encoder, GIN) else []
        out: dict[str, float] = {}
        for name in installed_sets() if self.sets is None else self.sets:
            found = measured(name, self.most)
            kinds = probed(encoder, fresh, data.processors[self.modality], found, seeds=self.seeds, brief=True)
            for kind, figures in kinds.items():
                out[f"properties/{name}/{kind}/RMSE"] = float(np.mean(figures.rmse))
                out[f"properties/{name}/{kind}/RMSE_sd"] = float(np.std(figures.rmse))
        return out
