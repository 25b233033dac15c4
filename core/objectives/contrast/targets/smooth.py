"""One-hot targets with a share of the weight spread over all columns.

Shape legend: n = rows, m = columns (keys).
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError, nearest
from core.objectives.base import Step
from core.objectives.contrast.targets.base import Ids, Sides, Target
from core.objectives.contrast.targets.matches import Matches, normalised
from core.objectives.contrast.targets.weights import SparseWeights


def _check(name: str, amount: float) -> float:
    if not 0 <= amount < 1:
        raise ConfigError(f"{name}: amount is {amount}; give a value in [0, 1), for instance 0.1")
    return amount


class LabelSmooth(Target):
    """(1 - amount) on the same item and amount / m on every column (Szegedy et al. 2016; the form of torch)."""

    def __init__(self, *, amount: float = 0.1) -> None:
        super().__init__()
        self.amount = _check("LabelSmooth", amount)

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> SparseWeights:
        w = normalised(Matches(rows.item, cols.item), dtype)
        w.on_row_n, w.on_col_m = (1 - self.amount) * w.on_row_n, (1 - self.amount) * w.on_col_m
        w.uniform_row_n = torch.full_like(w.on_row_n, self.amount / max(1, len(cols.item)))
        w.uniform_col_m = torch.full_like(w.on_col_m, self.amount / max(1, len(rows.item)))
        return w


class OffDiagonalSmooth(Target):
    """(1 - amount) on the same item and amount / (m - 1) on each other column (PyramidCLIP, from memory: 0.2)."""

    def __init__(self, *, amount: float = 0.2) -> None:
        super().__init__()
        self.amount = _check("OffDiagonalSmooth", amount)

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> SparseWeights:
        n, m = len(rows.item), len(cols.item)
        amount_n, amount_m = (torch.full((k,), self.amount, dtype=dtype, device=rows.item.device) for k in (n, m))
        return off_diagonal(rows, cols, amount_n, amount_m)


class SampleSmooth(Target):
    """(1 - w_i) on the same item and w_i / (m - 1) on each other column: the less a pair is trusted, the flatter its
    target (NEVLP, NLIP; form unconfirmed). Columns take the amount of their own sample.

    label: entry of `Batch.labels` with w_i in [0, 1]; unknown (nan) counts as 0. With w = (m - 1) / m the target is
    uniform.
    """

    def __init__(self, *, label: str) -> None:
        super().__init__()
        self.label = label

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        if self.label not in step.batch.labels:
            raise ConfigError(
                f"SampleSmooth: the batch has no label '{self.label}'{nearest(self.label, step.batch.labels)}"
            )
        own = {"amount": step.batch.labels[self.label][batch_rows_n].nan_to_num(0.0).clamp(0, 1)}
        return own, own

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> SparseWeights:
        return off_diagonal(rows, cols, rows.side("amount").to(dtype), cols.side("amount").to(dtype))


def off_diagonal(rows: Ids, cols: Ids, amount_n: Tensor, amount_m: Tensor) -> SparseWeights:
    """1 - amount on the same item, the amount spread evenly over the other columns; nothing to spread it over leaves
    the target one-hot. amount: per row for W, per column for W'."""
    w = normalised(Matches(rows.item, cols.item), amount_n.dtype)
    n, m = len(amount_n), len(amount_m)
    amount_n, amount_m = (amount if others > 1 else 0 * amount for amount, others in ((amount_n, m), (amount_m, n)))
    w.uniform_row_n, w.uniform_col_m = amount_n / max(1, m - 1), amount_m / max(1, n - 1)
    w.on_row_n = w.on_row_n * (1 - amount_n) - w.uniform_row_n
    w.on_col_m = w.on_col_m * (1 - amount_m) - w.uniform_col_m
    return w
