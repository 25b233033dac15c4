"""Words that are active in every sample say nothing: penalties on how a lexical representation spreads over them.

Shape legend: V = rows in which the modality is present, K = words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.objectives.base import Step, Term
from core.objectives.contrast.matrix import computed_in
from core.objectives.reduction import process_sum
from core.objectives.views.base import View


class Penalty(nn.Module, ABC):
    @abstractmethod
    def forward(self, mean_K: Tensor) -> Tensor:
        """mean (K,): mean weight of each word over the rows of all processes -> 0-d."""


class SquaredMeans(Penalty):
    """sum_v mean_v^2 (Paria et al. 2020, "FLOPs"): how often two random samples share a word. For a given total it is
    least when all words are used alike, and K times that when one word takes everything."""

    def forward(self, mean_K: Tensor) -> Tensor:
        return mean_K.square().sum()


class TotalWeight(Penalty):
    """sum_v mean_v: sparse, but indifferent to which words are used."""

    def forward(self, mean_K: Tensor) -> Tensor:
        return mean_K.sum()


class UsageEntropy(Penalty):
    """ln K - H(p), p_v = mean_v / sum_w mean_w, in nats: how far from even the use of words is, whatever the total."""

    def forward(self, mean_K: Tensor) -> Tensor:
        p_K = mean_K / mean_K.sum().clamp_min(torch.finfo(mean_K.dtype).tiny)
        used = p_K > 0
        entropy = -(p_K * torch.where(used, p_K, 1.0).log()).sum()
        return torch.where(used.any(), p_K.new_tensor(float(len(p_K))).log() - entropy, 0 * entropy)


class Overuse(Term):
    """Penalty on words that are active on average over the batch (LexVLA-style: the published form is unconfirmed).

    Values: "loss"; "active", mean number of words above 0 per row. Over the rows of every process, so that the value
    does not depend on how they are spread.
    """

    def __init__(self, *, view: View, penalty: Penalty | None = None, name: str | None = None) -> None:
        """view: non-negative weights (V, K), a `Lexical`. penalty: `SquaredMeans` when None."""
        super().__init__()
        self.view = view
        self.penalty = SquaredMeans() if penalty is None else penalty
        self.name = f"overuse_{view.modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        together = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        weight_VK = self.view(step).x if step.has(self.view.modality) else None
        if weight_VK is None and not together:
            return {"loss": step.zero()}
        sum_K, rows, active = self._sums(step, weight_VK)
        if together:
            sum_K, rows = _over_processes(sum_K, rows)
        if rows == 0:
            return {"loss": step.zero()}
        return {"loss": self.penalty(sum_K / rows), "active": active}

    def _sums(self, step: Step, weight_VK: Tensor | None) -> tuple[Tensor, int, Tensor]:
        """Of the rows of this process: sum of weights, number of rows, mean number of active words."""
        if weight_VK is None:
            zero = step.zero()
            return zero + zero.new_zeros(0), 0, zero.detach()
        weight_VK = computed_in(weight_VK)
        return weight_VK.sum(0), len(weight_VK), (weight_VK.detach() > 0).sum() / max(len(weight_VK), 1)


def _over_processes(sum_K: Tensor, rows: int) -> tuple[Tensor, int]:
    """Sums over every process; one without a row does not know the number of words. Collective."""
    words, count = (torch.tensor(x, device=sum_K.device) for x in (len(sum_K), rows))
    dist.all_reduce(words, op=dist.ReduceOp.MAX)
    dist.all_reduce(count)
    if len(sum_K) < int(words):
        sum_K = sum_K.sum() + sum_K.new_zeros(int(words))
    return process_sum(sum_K), int(count)
