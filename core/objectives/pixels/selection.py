"""Which labelled pixels are believed.

Shape legend: B = rows of the batch, V = rows that have logits, K = classes, H, W = pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.pixels.losses import balanced_weights, entangled, label_confidence
from core.objectives.pixels.ramp import EpochRamp
from core.objectives.pixels.views import Pixels, PixelView


class Selection(nn.Module, ABC):
    """Weights of labelled pixels, without gradient."""

    @abstractmethod
    def forward(self, step: Step, pixels: Pixels, labels_BHW: Tensor) -> Tensor:
        """labels: (B, H, W) of all rows, -1 = unknown -> (V, H, W) in [0, 1], 0 where the label is unknown."""

    def on_epoch(self, epoch: int) -> None:
        """Called at the start of each epoch."""


class CrossModalSelection(Selection):
    """The pixels of each class whose label two modalities find probable (CromSS, Liu et al. 2025).

    Confidence: the label's probability, entangled with the partner's. The share with weight 1 falls from nearly all to
    `final` along the ramp. A row that lacks the partner has its own confidence.
    """

    def __init__(self, *, partner: PixelView, final: float = 0.5, ramp: EpochRamp | None = None) -> None:
        super().__init__()
        if not 0 < final <= 1:
            raise ConfigError(f"CrossModalSelection: final is {final}; give a share in (0, 1]")
        self.other, self.final = partner, final
        self.ramp = EpochRamp() if ramp is None else ramp

    def on_epoch(self, epoch: int) -> None:
        self.ramp.on_epoch(epoch)

    @property
    def share(self) -> float:
        """r(e) = 1 - (1 - final) g(e)."""
        return 1 - (1 - self.final) * self.ramp.value()

    def forward(self, step: Step, pixels: Pixels, labels_BHW: Tensor) -> Tensor:
        labels_VHW = labels_BHW[pixels.rows]
        own_VHW = label_confidence(pixels.main, labels_VHW)
        partner = self.other(step)  # with its graph: other terms of the step share it
        if partner is not None:
            other_VHW = at_rows(label_confidence(partner.main, labels_BHW[partner.rows]), partner, pixels)
            own_VHW = entangled(own_VHW, other_VHW)
        return balanced_weights(own_VHW, labels_VHW, self.share, pixels.main.shape[1])


def at_rows(confidence_VHW: Tensor, of: Pixels, rows_of: Pixels) -> Tensor:
    """A modality's confidence (V, H, W) at the rows and pixels of another; 1, which entangles nothing, where it has
    none."""
    if of.main.shape[-2:] != rows_of.main.shape[-2:]:
        raise ConfigError(
            f"two modalities have logits of {tuple(of.main.shape[-2:])} and {tuple(rows_of.main.shape[-2:])} pixels; "
            "bring them to one grid by `size` and `pixel` of their processors"
        )
    rows = int(torch.cat([of.rows, rows_of.rows]).max()) + 1
    known_VHW = confidence_VHW if of.valid is None else torch.where(of.valid, confidence_VHW, 1.0)
    all_BHW = known_VHW.new_ones(rows, *known_VHW.shape[1:]).index_put((of.rows,), known_VHW)
    return all_BHW[rows_of.rows]
