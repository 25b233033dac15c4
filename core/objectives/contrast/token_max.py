"""Similarities that match tokens: the mean of best matches (FILIP), and the best of several queries (BLIP-2, NEVLP).

Shape legend: n, m = rows and columns, T, U = their tokens, Q = queries, E = width.
"""

from __future__ import annotations

import sys

from torch import Tensor

from core.errors import ConfigError
from core.objectives.contrast.matrix import Gradients, Matrix, computed_in, dense
from core.objectives.contrast.similarity import Similarity, unit
from core.objectives.contrast.tiles import Tile
from core.objectives.contrast.token_matrix import MEMORY, TokenMaxMatrix, TokenSide
from core.objectives.viewed import Viewed


class TokenMax(Similarity):
    """S_ij = mean over the real tokens of row i of their largest cosine with a real token of column j (Yao et al. 2022,
    "FILIP", equations 4 and 5). A side without a real token has similarity 0 with everything.

    Each direction takes the mean over its own rows, so S(a, b) is not the transpose of S(b, a). Vectors (n, E) count
    as sequences of one token.
    """

    directional = True

    def __init__(self, *, memory_mib: int = MEMORY // 2**20) -> None:
        """memory_mib: what may be spent on keeping matched tokens between the two passes; a matter of speed only."""
        super().__init__()
        if memory_mib < 1:
            raise ConfigError(f"TokenMax: memory_mib is {memory_mib}; give a positive number of MiB, for instance 256")
        self.memory = memory_mib * 2**20

    def rows(self, viewed: Viewed) -> Viewed:
        return unit_tokens(viewed)

    def matrix(self, rows: Viewed, cols: Viewed) -> Matrix:
        return TokenMaxMatrix(TokenSide(rows), TokenSide(cols), memory=self.memory)

    def both(self, rows: Viewed, cols: Viewed) -> tuple[Matrix, Matrix]:
        a, b = TokenSide(rows), TokenSide(cols)
        back = TokenMaxMatrix(b, a, memory=self.memory)
        return TokenMaxMatrix(a, b, memory=self.memory, twin=back), back


class QueryMax(Similarity):
    """S_ij = largest cosine between the query tokens (n, Q, E) of one side and the vector (m, E) of the other: what a
    Q-Former is trained with (Li et al. 2023). Either side may hold the queries; both directions share one matrix.
    """

    def rows(self, viewed: Viewed) -> Viewed:
        return unit_tokens(viewed) if viewed.x.ndim == 3 else Viewed(unit(viewed.x))

    def matrix(self, rows: Viewed, cols: Viewed) -> Matrix:
        if rows.x.ndim == cols.x.ndim:
            raise ConfigError(
                f"QueryMax: both sides have {rows.x.ndim - 1} axes per row; give a view of tokens (TokenView) and one "
                "of vectors"
            )
        if cols.x.ndim == 3:
            return best_token(rows.x, cols)
        return Transposed(best_token(cols.x, rows))


class Transposed(Matrix):
    """A matrix with rows and columns exchanged."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix, self.inputs = matrix, matrix.inputs

    @property
    def shape(self) -> tuple[int, int]:
        n, m = self.matrix.shape
        return m, n

    def reach(self) -> Tensor:
        return self.matrix.reach()

    def fitting(self, size: tuple[int, int]) -> tuple[int, int]:
        w, h = self.matrix.fitting((size[1], size[0]))
        return h, w

    def tile_(self, out_hw: Tensor, tile: Tile, factor: float) -> None:
        self.matrix.tile_(out_hw.T, Tile(tile.cols, tile.rows), factor)

    def gradients(self) -> Gradients:
        return _TransposedGradients(self.matrix.gradients())


class _TransposedGradients(Gradients):
    def __init__(self, sums: Gradients) -> None:
        self.sums = sums

    def add_(self, g_hw: Tensor, tile: Tile) -> None:
        self.sums.add_(g_hw.T, Tile(tile.cols, tile.rows))

    def total(self) -> tuple[list[Tensor | None], Tensor]:
        return self.sums.total()


def best_token(vectors_nE: Tensor, tokens: Viewed, memory: int = MEMORY) -> TokenMaxMatrix:
    """S_ij = largest product of vector i with a real token of row j; 0 where j has none. Not normalised."""
    return TokenMaxMatrix(TokenSide(Viewed(vectors_nE[:, None])), TokenSide(tokens), memory=memory)


def best_matches(table_KE: Tensor, tokens: Viewed) -> Tensor:
    """(n, K) largest product of any real token of row i with entry k of a table, with gradient to the matched token; 0
    for a row without tokens. Half precision is computed in float32."""
    matrix = best_token(table_KE, tokens, memory=sys.maxsize)  # one small integer per entry of the result
    return dense(Transposed(matrix))


def unit_tokens(viewed: Viewed) -> Viewed:
    """Unit token vectors, float32 or better; padding is zero whatever it held."""
    x = computed_in(viewed.x)
    if x.ndim == 2:
        return Viewed(unit(x)[:, None])
    return Viewed(unit(x if viewed.mask is None else x.masked_fill(~viewed.mask[..., None], 0)), viewed.mask)
