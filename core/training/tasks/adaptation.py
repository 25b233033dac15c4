"""Adaptation of uni-modal models to several modalities of an unlabelled target (SUMMIT, Simons et al. 2023).

Shape legend: V = rows with both modalities, K = classes, P = pixels of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.data.datamodule import DataModule
from core.encoders.base import Encoder
from core.errors import ConfigError, DataError
from core.models.towers import TowerSegmenter, TowersEncoder
from core.objectives.base import Term
from core.objectives.pseudo.adaptation import CrossModalAdaptation, guess, recorded
from core.objectives.pseudo.labellers import GapSwitch, Guess, PseudoLabeller
from core.objectives.teachers import FrozenTeacher, Teacher
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome
from core.training.tasks.maps import MapSegmentation, part, windows
from core.types import Batch

SOURCE = "source"


class MapAdaptation(MapSegmentation):
    """Two fine-tuned models of one modality each learn a target where both exist and nothing is labelled.

    labeller: which of their answers to believe; `GapSwitch` when None. mimic: weight of what each learns of the other.
    test_mask (mask when None): labels of the target that are scored against, and never learned from. The figures of the
    models as they came are in the outcome too, as test/unadapted/.... Other arguments as in `MapSegmentation`, and of
    the decoders as they were trained (width, cells, depth and drop mean nothing here).
    """

    def __init__(
        self,
        *,
        classes: dict[str, str],
        mask: str,
        test_mask: str | None = None,
        labeller: PseudoLabeller | None = None,
        mimic: float = 0.1,
        window: int = 48,
        overlap: float = 0.0,
    ) -> None:
        super().__init__(classes=classes, mask=mask, test_mask=test_mask, window=window, overlap=overlap)
        self.labeller: PseudoLabeller = GapSwitch() if labeller is None else labeller
        self.mimic = mimic
        self.unadapted: dict[str, float] = {}
        self.modalities: tuple[str, ...] = ()

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        return self.head_from(encoder, self.facts(modality, data))

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        if not isinstance(encoder, TowersEncoder) or len(encoder.modalities) != 2:
            raise ConfigError(
                "MapAdaptation begins with two fine-tuned models: give their runs with --towers.MODALITY RUN for each "
                "(finetune --config landcover --modality MODALITY makes one)"
            )
        head = TowerSegmenter(encoder=encoder)
        if head.classes != len(self.classes):
            raise ConfigError(
                f"task.classes: names {len(self.classes)}, the fine-tuned models know {head.classes}; name the same"
            )
        self.modalities = encoder.modalities
        return head

    @torch.no_grad()
    def begin(self, model: Downstream, data: DataModule, compute: Compute) -> None:
        """Let the labeller learn from the target's training split, and score the models as they came."""
        head = model.head
        assert isinstance(head, TowerSegmenter)
        model.to(compute.device).eval()
        widths = [int(head.mimics[name].in_channels) for name in self.modalities]  # type: ignore[arg-type]
        self.labeller.begin(classes=len(self.classes), widths=widths)
        self.labeller.to(compute.device)
        seen = 0
        for stage in range(self.labeller.passes):
            for batch in data.eval_loader("train"):
                for guesses in self._guesses(head, batch, compute):
                    self.labeller.observe(stage, guesses)
                    seen += 1
        if seen == 0:
            first, second = self.modalities
            raise DataError(f"the target has no record with both {first} and {second}, which adaptation learns from")
        before = self.measure(model, data, compute, n_bootstrap=1, seed=0)[0].numbers
        self.unadapted = {
            name.replace("test/", "test/unadapted/", 1): value
            for name, value in before.items()
            if name.endswith("/mean_iou")
        }

    def _guesses(self, head: TowerSegmenter, batch: Batch, compute: Compute) -> list[list[Guess]]:
        """What the models say of the recorded pixels of a batch's rows with both modalities, window by window."""
        first, second = self.modalities
        if first not in batch.inputs or second not in batch.inputs:
            return []
        of_first, of_second, _ = batch.paired_rows(first, second)
        if len(of_first) == 0:
            return []
        rows = {first: batch.inputs[first].rows(of_first), second: batch.inputs[second].rows(of_second)}
        size, out = rows[first].x.shape[-2:], []
        for top, left in windows(size, self.window, 0.0):
            inputs = {name: part(inp, size, top, left).to(compute.device) for name, inp in rows.items()}
            with compute.autocast():
                views = head.views(inputs, self.modalities)
            valid = recorded(inputs)
            guesses = [guess(views[name]) for name in self.modalities]
            if valid is not None:
                kept = valid.flatten()
                guesses = [Guess(g.probability_PK[kept], g.feature_PD[kept]) for g in guesses]
            out.append(guesses)
        return out

    def terms(self) -> list[Term]:
        return [CrossModalAdaptation(modalities=self.modalities, labeller=self.labeller, mimic=self.mimic)]

    def teachers(self) -> dict[str, Teacher]:
        return {SOURCE: FrozenTeacher()}

    @torch.no_grad()
    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        outcome = super().evaluate(model, data, compute, folder=folder, n_bootstrap=n_bootstrap, seed=seed)
        outcome.numbers |= self.unadapted
        if isinstance(self.labeller, GapSwitch):
            outcome.numbers["target/agreed"] = self.labeller.agreed
            outcome.protocol["pseudo-labels"] = type(self.labeller.chosen).__name__
        else:
            outcome.protocol["pseudo-labels"] = type(self.labeller).__name__
        outcome.tables["mean IoU before and after adaptation"] = (
            ["from", "before", "after"],
            [
                [name.split("/")[2] if name.count("/") == 3 else "all", f"{value:.3f}",
                 f"{outcome.numbers[name.replace('/unadapted', '')]:.3f}"]
                for name, value in self.unadapted.items()
            ],
        )  # fmt: skip
        return outcome
