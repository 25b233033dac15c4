"""Label maps, as they are or with what is known of their faults.

Shape legend: B = rows of the batch, V = rows that have logits, K = classes, H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import ConfigError, DataError
from core.objectives.base import Step, Term, zero_like_graph
from core.objectives.pixels.losses import one_hot, weighted_ce, weighted_dice
from core.objectives.pixels.selection import Selection
from core.objectives.pixels.smoothing import Smoothing
from core.objectives.pixels.views import Pixels, PixelView


class PixelLabels(Term):
    """Cross-entropy + dice * soft Dice of one view's logits with a label map (-1 = unknown, which counts for nothing).

    smoothing: makes targets of labels; one-hot when None. selection: weighs the pixels; all 1 when None. auxiliary:
    factors of the cross-entropy of the head's further outputs. What the modality did not record counts for nothing.
    Values: "loss", "ce", "dice", and with a selection "selected": the share of the labelled pixels with weight 1.
    """

    def __init__(
        self,
        *,
        view: PixelView,
        mask: str,
        smoothing: Smoothing | None = None,
        selection: Selection | None = None,
        dice: float = 1.0,
        auxiliary: Sequence[float] = (),
        name: str | None = None,
    ) -> None:
        super().__init__()
        if dice < 0 or any(factor < 0 for factor in auxiliary):
            raise ConfigError(f"PixelLabels: dice {dice} and auxiliary {list(auxiliary)} are factors of at least 0")
        self.view, self.mask, self.smoothing, self.selection = view, mask, smoothing, selection
        self.dice, self.auxiliary = dice, tuple(auxiliary)
        self.masks = (mask, *(() if smoothing is None else smoothing.masks))
        self.name = f"labels-{view.name}" if name is None else name

    def on_epoch(self, model: object, epoch: int) -> None:
        if self.selection is not None:
            self.selection.on_epoch(epoch)

    def forward(self, step: Step) -> dict[str, Tensor]:
        pixels = self.view(step)
        if pixels is None or self.mask not in step.batch.masks:
            return {"loss": step.zero()}
        labels_BHW = step.batch.masks[self.mask].to(pixels.main.device)
        self._check(pixels, labels_BHW)
        with torch.autocast(pixels.main.device.type, enabled=False):
            return self._values(step, pixels, labels_BHW)

    def _values(self, step: Step, pixels: Pixels, labels_BHW: Tensor) -> dict[str, Tensor]:
        classes = pixels.main.shape[1]
        labels_BHW = seen(labels_BHW, pixels)
        labels_VHW = labels_BHW[pixels.rows]
        known_VHW = labels_VHW >= 0
        if not known_VHW.any():
            return {"loss": step.zero() + zero_like_graph(*pixels.logits)}
        weight_VHW = known_VHW.to(pixels.main.dtype)
        values = {}
        if self.selection is not None:
            weight_VHW = self.selection(step, pixels, labels_BHW).detach()
            values["selected"] = (weight_VHW >= 1).sum() / known_VHW.sum()
        target_VKHW = self._targets(step, pixels, labels_VHW, classes)
        there_K = torch.bincount(labels_VHW[weight_VHW > 0], minlength=classes) > 0
        values["ce"] = weighted_ce(pixels.main, target_VKHW, weight_VHW)
        values["dice"] = weighted_dice(pixels.main, target_VKHW, weight_VHW, there_K)
        loss = values["ce"] + self.dice * values["dice"]
        for factor, logits_VKHW in zip(self.auxiliary, pixels.logits[1:], strict=True):
            loss = loss + factor * weighted_ce(logits_VKHW, target_VKHW, weight_VHW)
        return {"loss": loss, **values}

    def _targets(self, step: Step, pixels: Pixels, labels_VHW: Tensor, classes: int) -> Tensor:
        if self.smoothing is None:
            return one_hot(labels_VHW, classes)
        masks, device = step.batch.masks, labels_VHW.device
        others = {name: masks[name].to(device)[pixels.rows] for name in self.smoothing.masks if name in masks}
        return self.smoothing(labels_VHW, others, classes)

    def _check(self, pixels: Pixels, labels_BHW: Tensor) -> None:
        logits = pixels.main
        if labels_BHW.shape[-2:] != logits.shape[-2:]:
            raise ConfigError(
                f"mask '{self.mask}' has {tuple(labels_BHW.shape[-2:])} pixels, the logits of {self.view.name} "
                f"{tuple(logits.shape[-2:])}; labels lie on the grid of the first modality that has any"
            )
        if int(labels_BHW.max()) >= logits.shape[1]:
            raise DataError(
                f"mask '{self.mask}' holds class {int(labels_BHW.max())}, the head of {self.view.name} has "
                f"{logits.shape[1]} classes; give it as many as the data has"
            )
        if len(self.auxiliary) != len(pixels.logits) - 1:
            raise ConfigError(
                f"PixelLabels: {len(self.auxiliary)} auxiliary factors, the head of {self.view.name} has "
                f"{len(pixels.logits) - 1} auxiliary outputs; give one each (0 leaves it out)"
            )


def seen(labels_BHW: Tensor, pixels: Pixels) -> Tensor:
    """The labels, -1 where a row that has logits did not record the pixel."""
    if pixels.valid is None:
        return labels_BHW
    hidden_BHW = torch.zeros_like(labels_BHW, dtype=torch.bool).index_put(
        (pixels.rows,), ~pixels.valid.to(labels_BHW.device)
    )
    return labels_BHW.masked_fill(hidden_BHW, -1)
