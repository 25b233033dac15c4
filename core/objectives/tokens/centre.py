"""The running mean of a teacher's logits, which keeps self-distillation from collapsing onto one prototype.

Shape legend: M = vectors, E = width of the vectors, K = prototypes.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.tokens.vocabulary import Classes


class Centre(nn.Module):
    """centre <- momentum centre + (1 - momentum) mean logits, over the vectors of every process (Caron et al. 2021)."""

    value: Tensor

    def __init__(self, *, prototypes: int, momentum: float = 0.9) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ConfigError(f"Centre: momentum is {momentum}; give a value in [0, 1]")
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(prototypes))
        self._total: Tensor | None = None
        self._count = 0

    @torch.no_grad()
    def observe(self, x_ME: Tensor, classes: Classes) -> None:
        """Remember the logits of these vectors for the next `update`. Their sum is the logit of their sum."""
        dtype = torch.promote_types(x_ME.dtype, self.value.dtype)
        with torch.autocast(x_ME.device.type, enabled=False):
            total_K = classes.weight.to(dtype) @ x_ME.to(dtype).sum(0)
            if classes.bias is not None:
                total_K = total_K + len(x_ME) * classes.bias.to(dtype)
        self._total = total_K if self._total is None else self._total + total_K
        self._count += len(x_ME)

    @torch.no_grad()
    def update(self) -> None:
        """After the optimiser step, in every process, even one that observed nothing."""
        total_K = torch.zeros_like(self.value) if self._total is None else self._total.to(self.value)
        seen = torch.cat([total_K, total_K.new_tensor([self._count])])
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(seen)
        if seen[-1] > 0:
            self.value.lerp_(seen[:-1] / seen[-1], 1 - self.momentum)
        self._total, self._count = None, 0
