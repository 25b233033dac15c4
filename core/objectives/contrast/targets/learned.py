"""A target that is itself learned, for distilled data sets.

Shape legend: n = rows, m = columns (keys), r = rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.contrast.targets.base import Ids, Sides, Target
from core.objectives.contrast.targets.dense import DotWeights
from core.objectives.contrast.targets.matches import Matches
from core.objectives.contrast.targets.weights import Part, SparseWeights, SummedWeights, Weights


class LearnedSim(Target):
    """W = diag(a) + (alpha / r) L R^T over the samples of a small distilled set, not normalised (LoRS, Xu et al. 2024;
    RepBlend). Starts as exactly one-hot: a ones, L random, R zeros.

    The tiled kernel takes targets as constants: a loss trains the student, not a, L and R. `matrix` gives W with its
    graph for the outer loop that does. `Batch.keys["sample"]` must number the samples 0 to `samples` - 1.
    """

    key = "sample"

    def __init__(self, *, samples: int, rank: int = 10, alpha: float = 1.0) -> None:
        super().__init__()
        if samples < 1 or rank < 1:
            raise ConfigError(f"LearnedSim: samples {samples}, rank {rank}; both have to be at least 1")
        self.rank, self.alpha = rank, alpha
        self.diagonal = nn.Parameter(torch.ones(samples))
        self.left = nn.Parameter(torch.randn(samples, rank))
        self.right = nn.Parameter(torch.zeros(samples, rank))

    def matrix(self, ids_n: Tensor) -> Tensor:
        """(n, n) weights among the samples `ids`, differentiable."""
        low_rank = (self.alpha / self.rank) * self.left[ids_n] @ self.right[ids_n].T
        return torch.diag(self.diagonal[ids_n]) + low_rank

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        ids_n = step.batch.keys["sample"][batch_rows_n]
        if len(ids_n) and int(ids_n.max()) >= len(self.diagonal):
            raise ConfigError(
                f"LearnedSim: sample {int(ids_n.max())} of a set of {len(self.diagonal)}; set `samples` to its size"
            )
        own = self.diagonal.detach()[ids_n]
        return (
            {"factor": self.left.detach()[ids_n], "own": own},
            {"factor": self.right.detach()[ids_n], "own": own},
        )

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        match = Matches(rows.content, cols.content)
        own_n, own_m = rows.side("own").to(dtype), cols.side("own").to(dtype)
        row_n, col_m = (count.to(dtype) for count in (match.row_count_n, match.col_count_m))
        low_rank = DotWeights(
            rows.side("factor").to(dtype), cols.side("factor").to(dtype), self.alpha / self.rank, match
        )
        diagonal = SparseWeights(match, None, torch.ones_like(own_n), torch.ones_like(own_m), row_n, col_m)
        return SummedWeights(
            [Part(low_rank, torch.ones_like(own_n), torch.ones_like(own_m)), Part(diagonal, own_n, own_m)]
        )
