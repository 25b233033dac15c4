"""How much each distilled image belongs to each distilled text, learned as a diagonal and a low rank (LoRS, Xu et al.
2024).

Shape legend: N = distilled pairs, b = pairs of a mini-batch, R = rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError


class LearnedSimilarity(nn.Module):
    """diag(a) + (alpha / R) L R^T. Starts as exactly the identity: a = 1, L random, R zero."""

    def __init__(
        self, *, pairs: int, rank: int = 10, alpha: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        """rank, alpha: published 5 to 20 and 0.01 to 3. Raises ConfigError unless pairs and rank are positive."""
        super().__init__()
        if pairs < 1 or rank < 1:
            raise ConfigError(f"LearnedSimilarity: pairs {pairs}, rank {rank}; give positive numbers")
        self.factor = alpha / rank
        self.diagonal = nn.Parameter(torch.ones(pairs))
        self.left = nn.Parameter(torch.randn(pairs, rank, generator=generator))
        self.right = nn.Parameter(torch.zeros(pairs, rank))

    def forward(self, index_b: Tensor | None = None) -> Tensor:
        """(b, b) of the pairs `index` (int64), (N, N) of all when None."""
        a, left, right = (x if index_b is None else x[index_b] for x in (self.diagonal, self.left, self.right))
        return torch.diag(a) + self.factor * left @ right.T
