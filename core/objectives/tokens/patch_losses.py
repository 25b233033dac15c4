"""How wrong predictions of patches are: squares, absolute values, cross entropy of classes.

Shape legend: V = rows, N = patches, P = values of a patch, C = classes, X = predicted values of a patch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.tokens.patches import normalised


class PatchLoss(nn.Module, ABC):
    """The error of a patch, and what a decoder has to predict for it."""

    def outputs(self, values: int) -> int:
        """X, the number of predictions for a patch of `values` values."""
        return values

    @abstractmethod
    def forward(self, predicted_VNX: Tensor, patches_VNP: Tensor) -> tuple[Tensor, Tensor]:
        """(error, weight), both (V, N) float32 or finer. weight: 0 where a patch has nothing to compare, else 1."""


class PixelMSE(PatchLoss):
    """Mean square of the difference (MAE without normalised pixels)."""

    def forward(self, predicted_VNX: Tensor, patches_VNP: Tensor) -> tuple[Tensor, Tensor]:
        error_VN = (_fine(predicted_VNX) - _fine(patches_VNP)).square().mean(-1)
        return error_VN, torch.ones_like(error_VN)


class NormPixelMSE(PatchLoss):
    """Mean square against patches that are normalised by their own mean and unbiased variance (He et al. 2022)."""

    def forward(self, predicted_VNX: Tensor, patches_VNP: Tensor) -> tuple[Tensor, Tensor]:
        error_VN = (_fine(predicted_VNX) - normalised(patches_VNP)).square().mean(-1)
        return error_VN, torch.ones_like(error_VN)


class PixelL1(PatchLoss):
    """Mean absolute difference (depth in MultiMAE)."""

    def forward(self, predicted_VNX: Tensor, patches_VNP: Tensor) -> tuple[Tensor, Tensor]:
        error_VN = (_fine(predicted_VNX) - _fine(patches_VNP)).abs().mean(-1)
        return error_VN, torch.ones_like(error_VN)


class ClassCE(PatchLoss):
    """Mean cross entropy of the class of every pixel, in nats; patches hold class numbers.

    ignore: class number of pixels that are not labelled. They are left out of the mean; a patch without any other has
    weight 0.
    """

    def __init__(self, *, classes: int, ignore: int = -1) -> None:
        super().__init__()
        if classes < 2:
            raise ConfigError(f"ClassCE: classes is {classes}; give at least 2")
        self.classes, self.ignore = classes, ignore

    def outputs(self, values: int) -> int:
        return values * self.classes

    def forward(self, predicted_VNX: Tensor, patches_VNP: Tensor) -> tuple[Tensor, Tensor]:
        logits_VNPC = _fine(predicted_VNX).unflatten(-1, (-1, self.classes))
        target_VNP = patches_VNP.long()
        known_VNP = target_VNP != self.ignore
        error_VNP = F.cross_entropy(
            logits_VNPC.flatten(0, 2), target_VNP.masked_fill(~known_VNP, 0).flatten(), reduction="none"
        ).reshape(target_VNP.shape)
        count_VN = known_VNP.sum(-1)
        error_VN = error_VNP.masked_fill(~known_VNP, 0.0).sum(-1) / count_VN.clamp_min(1)
        return error_VN, (count_VN > 0).to(error_VN)


def _fine(x: Tensor) -> Tensor:
    return x if x.element_size() > 4 else x.float()


def mean_over_samples(error_VN: Tensor, weight_VN: Tensor) -> Tensor | None:
    """Weighted mean of each row, then mean over the rows that have any weight; None when no row has.

    Rows without weight are left out before anything is divided: a mean that skips NaN afterwards is finite but gives
    NaN gradients.
    """
    total_V = weight_VN.sum(1)
    some_V = total_V > 0
    if not some_V.any():
        return None
    return ((error_VN * weight_VN)[some_V].sum(1) / total_V[some_V]).mean()
