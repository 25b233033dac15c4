"""Targets that say which pairs belong together, all alike.

Shape legend: n = rows, m = columns (keys).
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError, nearest
from core.objectives.base import Step
from core.objectives.contrast.targets.base import Ids, Sides, Target
from core.objectives.contrast.targets.matches import Matches, OtherItems, normalised
from core.objectives.contrast.targets.weights import Part, SparseWeights, SummedWeights, Weights


class OneHot(Target):
    """Row i belongs to the column of the same item and to no other (CLIP)."""

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> SparseWeights:
        return normalised(Matches(rows.item, cols.item), dtype)


class Equality(Target):
    """Equal content is positive, all of it with equal weight (row sum 1); with unique ids this is `OneHot`."""

    def __init__(self, *, key: str) -> None:
        super().__init__()
        self.key = key

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> SparseWeights:
        return normalised(Matches(rows.content, cols.content), dtype)


class EachEqual(Target):
    """Every column of equal content has the weight `weight`, however many there are: labels of 1 for the sigmoid loss,
    or 1/K for K texts per image (1-to-K: K ones per row, the loss divided by K)."""

    def __init__(self, *, key: str, weight: float = 1.0) -> None:
        super().__init__()
        if weight <= 0:
            raise ConfigError(f"EachEqual: weight is {weight}; give a value above 0, for instance 1")
        self.key, self.weight = key, weight

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> SparseWeights:
        match = Matches(rows.content, cols.content)
        row_n, col_m = (count.to(dtype) for count in (match.row_count_n, match.col_count_m))
        return SparseWeights(
            match,
            None,
            torch.full_like(row_n, self.weight),
            torch.full_like(col_m, self.weight),
            self.weight * row_n,
            self.weight * col_m,
        )


class MaskedDuplicates(Target):
    """Row i belongs to the column of the same item; other columns of equal content are no negatives either, they
    leave the denominator (the duplicate-text mask wanted by sentence-level training)."""

    def __init__(self, *, key: str) -> None:
        super().__init__()
        self.key = key

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> SparseWeights:
        w = normalised(Matches(rows.item, cols.item), dtype)
        if not Matches(rows.content, cols.content).unique:
            w.excluded = OtherItems(rows, cols)
        return w


class GradedEquality(Target):
    """Weight 1 for the same source, `share` for merely equal content, divided by the sum of the row (IRRA's option
    for several captions per image and several images per person: share 0.3).

    key: content ids (the person). source: entry of `Batch.keys` whose equality implies equal content (the image);
    None: the pair itself. Rows and columns each sum to 1 (the released code divides rows by the sum of columns).
    """

    def __init__(self, *, key: str, source: str | None = None, share: float = 0.3) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ConfigError(f"GradedEquality: share is {share}; give a value in (0, 1], for instance 0.3")
        self.key, self.source, self.share = key, source, share

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        if self.source is None:
            return {}, {}
        if self.source not in step.batch.keys:
            raise ConfigError(
                f"GradedEquality: the batch has no key '{self.source}'{nearest(self.source, step.batch.keys)}"
            )
        own = {"source": step.batch.keys[self.source][batch_rows_n]}
        return own, own

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        same = Matches(rows.content, cols.content)
        if self.source is None:
            source = Matches(rows.item, cols.item)
        else:
            source = Matches(rows.side("source"), cols.side("source"))
        parts = []
        for match, amount in ((source, 1 - self.share), (same, self.share)):
            row_n, col_m = (count.to(dtype) for count in (match.row_count_n, match.col_count_m))
            ones_n, ones_m = torch.ones_like(row_n), torch.ones_like(col_m)
            parts.append(
                Part(SparseWeights(match, None, ones_n, ones_m, row_n, col_m), amount * ones_n, amount * ones_m)
            )
        whole = SummedWeights(parts)
        for part in parts:
            part.row_factor_n = part.row_factor_n / whole.row_total_n.clamp_min(torch.finfo(dtype).tiny)
            part.col_factor_m = part.col_factor_m / whole.col_total_m.clamp_min(torch.finfo(dtype).tiny)
        return SummedWeights(parts)
