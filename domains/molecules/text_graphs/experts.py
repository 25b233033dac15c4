"""A mixture of expert layers, each row through few of them (Shazeer et al. 2017; UniGraph2, He et al. 2025).

Shape legend: A = rows, D = width, E = experts, K = experts of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError


class Expert(nn.Sequential):
    """Linear - layer norm - GELU - linear."""

    def __init__(self, *, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__(
            nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, width if out is None else out)
        )


class ExpertMixture(nn.Module):
    """sum over the `top` experts with the largest gate g = softmax(W x) of g_k / sum(g) expert_k(x).

    An expert sees only the rows that are sent to it. `top` equal to the number of experts is the dense mixture.
    """

    def __init__(self, *, width: int, experts: int = 8, top: int = 2, hidden: int | None = None) -> None:
        super().__init__()
        if not 1 <= top <= experts:
            raise ConfigError(f"ExpertMixture: top is {top} of {experts} experts; give 1 to {experts}")
        self.width, self.top = width, top
        self.gate = nn.Linear(width, experts)
        self.experts = nn.ModuleList(Expert(width=width, hidden=hidden or width) for _ in range(experts))

    def route(self, x_AD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(gate (A, E), chosen (A, K) experts, weight (A, K) that sums to 1), float32."""
        with torch.autocast(x_AD.device.type, enabled=False):
            gate_AE = nn.functional.linear(x_AD.float(), self.gate.weight, self.gate.bias).softmax(dim=-1)
        weight_AK, chosen_AK = gate_AE.topk(self.top, dim=-1)
        return gate_AE, chosen_AK, weight_AK / weight_AK.sum(dim=-1, keepdim=True)

    def forward(self, x_AD: Tensor) -> tuple[Tensor, Tensor]:
        """((A, D), gate (A, E))."""
        gate_AE, chosen_AK, weight_AK = self.route(x_AD)
        out_AD = torch.zeros_like(x_AD, dtype=torch.float32)
        for number, expert in enumerate(self.experts):
            row, place = (chosen_AK == number).nonzero(as_tuple=True)
            sent = expert(x_AD[row]).float() * weight_AK[row, place, None]
            out_AD = out_AD.index_add(0, row, sent)
        return out_AD, gate_AE


def balance(gate_AE: Tensor, top: int) -> Tensor:
    """E * sum_e (share of places sent to e) * (mean gate of e) (Fedus et al. 2022): 1 when both are even, E when all
    rows go to one expert with gate 1 and top is 1. Only the gate carries a gradient."""
    experts = gate_AE.shape[1]
    chosen_AK = gate_AE.topk(top, dim=-1).indices
    share_E = torch.bincount(chosen_AK.flatten(), minlength=experts).to(gate_AE) / max(chosen_AK.numel(), 1)
    return experts * (share_E * gate_AE.mean(dim=0)).sum()
