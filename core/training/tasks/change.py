"""Change between two pictures of one place: a map of two classes, scored by the class "changed"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.data.datamodule import DataModule
from core.data.dataset import named
from core.encoders.base import Encoder
from core.errors import ConfigError
from core.evaluation.confusion_scores import confusion_figures, confusion_scores
from core.evaluation.maps import confusion
from core.models.change_segmenter import ChangeSegmenter
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome
from core.training.tasks.maps import SHOWN, MapSegmentation, only

FIGURES = ("iou/changed", "f1/changed", "precision/changed", "recall/changed", "accuracy")


class ChangeDetection(MapSegmentation):
    """Which pixels changed. Modalities: the later picture, then the earlier one, which one encoder reads both.

    mask: label map with 0 same, 1 changed. window, overlap, width, cells, depth: see `MapSegmentation`.
    """

    watch = "change_iou"

    def __init__(
        self,
        *,
        mask: str = "change",
        window: int = 48,
        overlap: float = 0.0,
        width: int = 64,
        cells: int = 3,
        depth: int = 2,
    ) -> None:
        super().__init__(
            classes={"same": "#3b3b3b", "changed": "#f5c400"}, mask=mask, window=window, overlap=overlap, drop=0.0,
            width=width, cells=cells, depth=depth,
        )  # fmt: skip

    def facts(self, modality: str | Sequence[str], data: DataModule) -> dict[str, Any]:
        return {"modalities": list(named(modality))}

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        names = [str(name) for name in facts["modalities"]]
        if len(names) != 2:
            raise ConfigError(f"modality: change is between two pictures, later and earlier; {len(names)} given")
        return ChangeSegmenter(
            encoder=encoder, after=names[0], before=names[1], width=self.width, cells=self.cells, depth=self.depth
        )

    @torch.no_grad()
    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        counts_N22, _, _ = self._counts(model, data, compute, "val")
        if not len(counts_N22):
            return {}
        found = confusion_figures(counts_N22.sum(0).astype(float))["iou"][1]
        return {"change_iou": float(np.nan_to_num(found))}

    @torch.no_grad()
    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        model.eval()
        counts_N22, group_N, pictures = self._counts(model, data, compute, "test")
        scores = confusion_scores(
            counts_N22, self.classes, of=FIGURES, groups_N=group_N, n_bootstrap=n_bootstrap, seed=seed
        )
        share = counts_N22.sum(0)[1].sum() / counts_N22.sum()
        return Outcome(
            numbers={f"test/{k}": v for name, s in scores.items() for k, v in s.flat(name).items()}
            | {"test/changed_share": float(share)},
            protocol={
                "change": "pixels of all pairs are counted together; IoU and F1 of the class 'changed'",
                "unlabelled pixels": "left out",
                "interval": "95%, percentile bootstrap over groups",
            },
            tables={f"{len(counts_N22)} held-out pairs, {share:.1%} of pixels changed":
                    (["figure", "value"], [[name, str(score)] for name, score in scores.items()])},
            pictures=pictures,
        )  # fmt: skip

    def _counts(
        self, model: Downstream, data: DataModule, compute: Compute, split: str
    ) -> tuple[np.ndarray, list[int], list[Any]]:
        """(N, 2, 2) pixels of each pair in which both pictures are there, groups, and pictures of some."""
        counts: list[np.ndarray] = []
        groups: list[int] = []
        pictures: list[Any] = []
        for batch in data.eval_loader(split):
            chosen = only(batch, model.modalities)
            if len(chosen.inputs) < 2 or self.mask not in batch.masks:
                continue
            both_B = torch.stack([chosen.present[name] for name in model.modalities]).all(0)
            score_B2HW = self.scores(model, chosen, compute).cpu()
            for row in both_B.nonzero()[:, 0].tolist():
                target_HW = batch.masks[self.mask][row].numpy()
                counts.append(confusion(score_B2HW[row].argmax(0).numpy(), target_HW, 2))
                groups.append(int(batch.keys["group"][row]))
                if len(pictures) < SHOWN and bool((target_HW == 1).any()):
                    pictures.append(self._picture(data, chosen, row, score_B2HW[row], target_HW))
        return np.stack(counts) if counts else np.zeros((0, 2, 2), np.int64), groups, pictures
