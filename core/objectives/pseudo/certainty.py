"""Which of a classifier's answers are certain: a threshold per class, from how certain it usually is of that class.

Shape legend: P = points, K = classes, R = bins.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError

BINS = 1000
UNKNOWN = -1


class Certainty(nn.Module):
    """Keeps an answer c unless its probability is below min(median of class c, `most`) (SUMMIT, Simons et al. 2023).

    The median of the probabilities with which a class won, over everything that was observed, comes from a histogram of
    1000 bins: the lower edge of the bin in which it lies, so that half of the answers at least stay. A class that never
    won has the threshold `most`.
    """

    count_KR: Tensor  # noqa: N815

    def __init__(self, *, classes: int, most: float = 0.9) -> None:
        super().__init__()
        if classes < 2 or not 0 < most <= 1:
            raise ConfigError(f"Certainty: classes {classes} of 2 or more, most {most} in (0, 1]")
        self.classes, self.most = classes, most
        self.register_buffer("count_KR", torch.zeros(classes, BINS, dtype=torch.int64))

    @torch.no_grad()
    def observe(self, probability_PK: Tensor) -> None:
        """Add points to the histogram."""
        best_P, answer_P = probability_PK.max(1)
        cell_P = answer_P * BINS + (best_P * BINS).long().clamp_max(BINS - 1)
        self.count_KR += torch.bincount(cell_P, minlength=self.classes * BINS).reshape(self.classes, BINS)

    def thresholds(self) -> Tensor:
        """(K,) float32."""
        cumulative_KR = self.count_KR.cumsum(1)
        total_K = cumulative_KR[:, -1]
        bin_K = (2 * cumulative_KR < total_K[:, None]).sum(1)  # the first bin that reaches half
        median_K = torch.where(total_K > 0, bin_K / BINS, self.most)
        return median_K.clamp_max(self.most).float()

    def forward(self, probability_PK: Tensor) -> Tensor:
        """(P,) int64: the answer, or -1 for one that is not certain."""
        best_P, answer_P = probability_PK.max(1)
        return answer_P.masked_fill(best_P < self.thresholds()[answer_P], UNKNOWN)
