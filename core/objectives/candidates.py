"""The pairs a matching term may draw from, a block of rows at a time: how alike they are, and which may not serve.

Nothing of size n x m is formed where the vectors are known; what is drawn from is a block on the CPU.
Shape legend: n = rows of the first modality, m = rows of the second, R = rows of a block, E = width of the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from core.objectives.base import Step

BLOCK = 1024  # rows whose similarities exist at a time
SHARED = 2**22  # entries up to which the whole matrix is kept, for whoever asks again


class Similarities:
    """Detached cosines of two sets of vectors, in float32 or finer. `matrix`: known already, or kept when small."""

    def __init__(self, rows_nE: Tensor, cols_mE: Tensor, matrix_nm: Tensor | None = None) -> None:
        self.rows, self.cols = (unit(x) for x in (rows_nE, cols_mE))
        self.matrix = matrix_nm
        if matrix_nm is None and len(rows_nE) * len(cols_mE) <= SHARED:
            self.matrix = self.rows @ self.cols.T

    def block(self, rows_R: Tensor, cols_C: Tensor) -> Tensor:
        """(R, C) on the CPU."""
        rows_R, cols_C = rows_R.to(self.rows.device), cols_C.to(self.rows.device)
        if self.matrix is not None:
            return self.matrix[rows_R][:, cols_C].cpu()
        return (self.rows[rows_R] @ self.cols[cols_C].T).cpu()

    def pairs(self, rows_P: Tensor, cols_P: Tensor) -> Tensor:
        """(P,) on the CPU."""
        rows_P, cols_P = rows_P.to(self.rows.device), cols_P.to(self.rows.device)
        return (self.rows[rows_P] * self.cols[cols_P]).sum(1).cpu()


def unit(x_nE: Tensor) -> Tensor:
    x_nE = x_nE.detach()
    return F.normalize(x_nE if x_nE.element_size() > 4 else x_nE.float(), dim=-1)


def similarities(step: Step, first: str, second: str) -> Similarities:
    """Cosines of all present rows of two modalities, once per step. A term that has formed the matrix for its own sake
    may put it there first, under the same key: `step.memo(("similarity", first, second), ...)`."""

    def run() -> Similarities:
        one, two = step.embedding(first), step.embedding(second)  # with their graph: other terms share them
        return Similarities(one, two)

    return step.memo(("similarity", first, second), run)


class Candidates:
    """n firsts and m seconds. owner: (m,) the first that second j truly belongs to; a first may own several.

    keys: pairs of (n,) and (m,) int64 numbers; where any agrees (and is not negative) the pair may not serve as a false
    one, nor may own pairs. parts: cosines of all firsts with consecutive stretches of the seconds, with the rows of
    them that are meant; empty where nobody asked for similarities.
    """

    def __init__(
        self,
        *,
        firsts: int,
        owner_m: Tensor,
        keys: Sequence[tuple[Tensor, Tensor]] = (),
        parts: Sequence[tuple[Similarities, Tensor, Tensor]] = (),
    ) -> None:
        self.firsts, self.owner = firsts, owner_m
        self._keys, self._parts = list(keys), list(parts)

    @property
    def seconds(self) -> int:
        return len(self.owner)

    def of_first(self, rows_R: Tensor) -> tuple[Tensor | None, Tensor]:
        """Cosines (R, m) of these firsts with all seconds, None without vectors; and (R, m) bool, may not serve."""
        barred_Rm = rows_R[:, None] == self.owner
        for first_n, second_m in self._keys:
            barred_Rm |= (first_n[rows_R, None] == second_m) & (second_m >= 0)
        if not self._parts:
            return None, barred_Rm
        return torch.cat([s.block(first_n[rows_R], second_k) for s, first_n, second_k in self._parts], dim=1), barred_Rm

    def of_second(self, cols_R: Tensor) -> tuple[Tensor | None, Tensor]:
        """Cosines (R, n) of these seconds with all firsts, None without vectors; and (R, n) bool, may not serve."""
        barred_Rn = self.owner[cols_R, None] == torch.arange(self.firsts)
        for first_n, second_m in self._keys:
            barred_Rn |= (second_m[cols_R, None] == first_n) & (first_n >= 0)
        if not self._parts:
            return None, barred_Rn
        start, cosines_Rn = 0, torch.zeros(barred_Rn.shape)
        for s, first_n, second_k in self._parts:
            here_R = (cols_R >= start) & (cols_R < start + len(second_k))
            block = s.block(first_n, second_k[cols_R[here_R] - start]).T
            cosines_Rn = cosines_Rn.to(block.dtype).index_put((here_R.nonzero(as_tuple=True)[0],), block)
            start += len(second_k)
        return cosines_Rn, barred_Rn

    def own(self) -> Tensor:
        """(m,) cosine of every second with the first it belongs to."""
        parts, start = [], 0
        for s, first_n, second_k in self._parts:
            parts.append(s.pairs(first_n[self.owner[start : start + len(second_k)]], second_k))
            start += len(second_k)
        return torch.cat(parts)

    @classmethod
    def of_matrices(cls, similarity_nn: Tensor, keys: Sequence[tuple[Tensor, Tensor]] = ()) -> Candidates:
        """Second i belongs to first i, with these cosines."""
        rows = torch.arange(len(similarity_nn))
        nothing = similarity_nn.new_zeros(len(rows), 1)
        return cls(
            firsts=len(rows),
            owner_m=rows,
            keys=keys,
            parts=[(Similarities(nothing, nothing, similarity_nn), rows, rows)],
        )
