"""Similarity of token sequences, S_ij = mean over the tokens of row i of its best match among the tokens of column j.

Shape legend: n, m = rows and columns, T, U = tokens of a row and of a column, E = width, h, w = rows and columns of a
block, G = dL/dS.
The (n T) x (m U) token similarities exist one small block at a time. What the gradient needs of them is which token of
j matched token t of i best: one small integer, kept where the budget allows, found again in the second pass where not.
A gradient reaches the matched pair only, so it is two weighted gathers, not two products over all tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from core.objectives.contrast.matrix import Gradients, Matrix, computed_in, inner
from core.objectives.contrast.tiles import Tile, tiles
from core.objectives.viewed import Viewed

# Tokens of a block: 8 MiB of float32 on a CPU, where products and maxima of larger blocks leave the cache (measured:
# slower from 25 to 49 MiB on); devices that need many threads at work get more.
BLOCK_CPU, BLOCK_DEVICE = (1024, 2048), (8192, 8192)
MEMORY = 256 * 2**20


class TokenSide:
    """One side. x (n, T, E): padding is replaced by a real token of the same row, which changes no maximum; a row
    without any is all zero. share (n, T): weight of each token in its row's mean, 0 for padding."""

    def __init__(self, viewed: Viewed) -> None:
        x_nTE, mask_nT = computed_in(viewed.x), viewed.mask
        if mask_nT is None:
            self.share_nT = x_nTE.new_full(x_nTE.shape[:2], 1 / max(x_nTE.shape[1], 1))
        else:
            used_T = mask_nT.any(0)
            if not bool(used_T.all()):  # padding that all rows share costs nothing
                x_nTE, mask_nT = x_nTE[:, used_T], mask_nT[:, used_T]
            self.share_nT = mask_nT.to(x_nTE.dtype) / mask_nT.sum(1, keepdim=True).clamp_min(1)
            if mask_nT.shape[1] > 0:
                x_nTE = _without_padding(x_nTE, mask_nT)
        self.x_nTE = x_nTE.contiguous()
        self.flat = self.x_nTE.detach().flatten(0, 1)

    @property
    def rows(self) -> int:
        return len(self.x_nTE)

    @property
    def tokens(self) -> int:
        return self.x_nTE.shape[1]

    def part(self, rows: slice) -> Tensor:
        """(h * T, E) tokens of some rows."""
        return self.flat[rows.start * self.tokens : rows.stop * self.tokens]


def _without_padding(x_nTE: Tensor, mask_nT: Tensor) -> Tensor:
    n, t = mask_nT.shape
    first_n1 = mask_nT.to(torch.uint8).argmax(1, keepdim=True)
    source_nT = torch.where(mask_nT, torch.arange(t, device=x_nTE.device), first_n1)
    x_nTE = x_nTE.gather(1, source_nT[..., None].expand(n, t, x_nTE.shape[2]))
    return x_nTE.masked_fill(~mask_nT.any(1)[:, None, None], 0)


class TokenMaxMatrix(Matrix):
    """S of two sides. memory: bytes that may hold matched tokens between the passes.

    twin: the matrix of the other direction. When both fit, one product of tokens serves the two.
    """

    def __init__(
        self, rows: TokenSide, cols: TokenSide, *, memory: int = MEMORY, twin: TokenMaxMatrix | None = None
    ) -> None:
        self.rows, self.cols, self.memory, self.twin = rows, cols, memory, twin
        self.inputs = (rows.x_nTE, cols.x_nTE)
        self.wants_matches = torch.is_grad_enabled() and 0 not in (rows.tokens, cols.tokens)
        self.second_pass = False
        self.whole: _Matches | None = None
        self.last: tuple[Tile, _Matches] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.rows, self.cols.rows

    @torch.no_grad()
    def reach(self) -> Tensor:
        if 0 in (*self.shape, self.rows.tokens, self.cols.tokens):
            return self.like.new_zeros(())
        return self.rows.flat.norm(dim=1).max() * self.cols.flat.norm(dim=1).max()

    def fitting(self, size: tuple[int, int]) -> tuple[int, int]:
        """Tiles whose matched tokens fit the budget."""
        n, m = self.shape
        if not self.wants_matches or self._bytes(n, m) <= self.memory:
            return size
        h, w = min(size[0], n), min(size[1], m)
        while self._bytes(h, w) > self.memory and h * w > 1:
            h, w = (math.ceil(h / 2), w) if h >= w else (h, math.ceil(w / 2))
        return h, w

    def tile_(self, out_hw: Tensor, tile: Tile, factor: float) -> None:
        n, m = self.shape
        if self.wants_matches and self.whole is None and self._bytes(n, m) <= self.memory:
            self._fill()
        if self.whole is not None:
            torch.mul(self.whole.top_hw[tile.rows, tile.cols], factor, out=out_hw)
        elif self.second_pass and self._bytes(*tile.shape) <= self.memory:
            found = _Matches(self, *tile.shape)
            for block in self.blocks(tile):
                found.put(self, block, _moved(block, tile), *best(self, block, matches=True))
            self.last = (tile, found)
            torch.mul(found.top_hw, factor, out=out_hw)
        else:
            for block in self.blocks(tile):
                to = _moved(block, tile)
                top_hTw, _ = best(self, block, matches=False)
                torch.mul(self.mean(top_hTw, block.rows), factor, out=out_hw[to.rows, to.cols])

    def mean(self, top_hTw: Tensor, rows: slice) -> Tensor:
        """(h, w) means over the real tokens of the rows."""
        return torch.bmm(self.rows.share_nT[rows, None], top_hTw)[:, 0]

    def gradients(self) -> Gradients:
        self.second_pass = True
        return _TokenGradients(self)

    def matches(self, tile: Tile) -> _Matches | None:
        """What is kept of a tile, if it is."""
        if self.whole is not None:
            return self.whole.cut(tile)
        return self.last[1] if self.last is not None and self.last[0] == tile else None

    def blocks(self, tile: Tile) -> Iterator[Tile]:
        """Small rectangles that cover a tile, in coordinates of the matrix."""
        t, u = BLOCK_CPU if self.like.device.type == "cpu" else BLOCK_DEVICE
        size = (max(1, t // max(self.rows.tokens, 1)), max(1, u // max(self.cols.tokens, 1)))
        for b in tiles(*tile.shape, size):
            yield Tile(_add(b.rows, tile.rows.start), _add(b.cols, tile.cols.start))

    def _fill(self) -> None:
        """Find every match, and those of the twin when both fit."""
        n, m = self.shape
        self.whole = _Matches(self, n, m)
        twin = self.twin
        if twin is not None and self._bytes(n, m) + twin._bytes(m, n) > self.memory:
            twin = None
        if twin is not None:
            twin.whole = _Matches(twin, m, n)
        for block in self.blocks(Tile(slice(0, n), slice(0, m))):
            z_hTwU = products(self, block)
            self.whole.put(self, block, block, *z_hTwU.max(3))
            if twin is not None and twin.whole is not None:
                flipped = Tile(block.cols, block.rows)
                top_hwU, match_hwU = z_hTwU.max(1)
                twin.whole.put(twin, flipped, flipped, top_hwU.permute(1, 2, 0), match_hwU.permute(1, 2, 0))

    def _bytes(self, h: int, w: int) -> int:
        return h * w * (self.rows.tokens * _index_type(self.cols.tokens).itemsize + self.like.itemsize)


class _Matches:
    """top (h, w): means of the best similarities. match (h, T, w): which token of the column that is, stored small."""

    def __init__(self, matrix: TokenMaxMatrix, h: int, w: int) -> None:
        self.top_hw = matrix.like.new_empty(h, w)
        self.match_hTw = torch.empty(
            h, matrix.rows.tokens, w, dtype=_index_type(matrix.cols.tokens), device=matrix.like.device
        )

    def put(self, matrix: TokenMaxMatrix, block: Tile, to: Tile, top_hTw: Tensor, match_hTw: Tensor | None) -> None:
        assert match_hTw is not None
        self.top_hw[to.rows, to.cols] = matrix.mean(top_hTw, block.rows)
        self.match_hTw[to.rows, :, to.cols] = match_hTw

    def cut(self, tile: Tile) -> _Matches:
        part = object.__new__(_Matches)
        part.top_hw = self.top_hw[tile.rows, tile.cols]
        part.match_hTw = self.match_hTw[tile.rows, :, tile.cols]
        return part


class _TokenGradients(Gradients):
    """dL/da_it = share_it sum_j G_ij b_j,match(i,t,j): a weighted gather. dL/db_jl: the sum of share_it G_ij a_it over
    the (i, t) that matched it, which are brought together by sorting."""

    def __init__(self, matrix: TokenMaxMatrix) -> None:
        self.matrix = matrix
        rows, cols = matrix.inputs
        self.d_rows = torch.zeros_like(rows) if rows.requires_grad or not cols.requires_grad else None
        self.d_cols = torch.zeros_like(cols) if cols.requires_grad else None

    def add_(self, g_hw: Tensor, tile: Tile) -> None:
        matrix = self.matrix
        if 0 in (matrix.rows.tokens, matrix.cols.tokens):
            return
        kept = matrix.matches(tile)
        for block in matrix.blocks(tile):
            inside = _moved(block, tile)
            if kept is not None:
                match_hTw = kept.match_hTw[inside.rows, :, inside.cols].long()
            else:
                found = best(matrix, block, matches=True)[1]
                assert found is not None
                match_hTw = found
            share_hT = matrix.rows.share_nT[block.rows]
            weight_hTw = share_hT[:, :, None] * g_hw[inside.rows, None, inside.cols]
            self._add_block(match_hTw.flatten(0, 1), weight_hTw.flatten(0, 1), block)

    def _add_block(self, match_tw: Tensor, weight_tw: Tensor, block: Tile) -> None:
        """t = all tokens of the block's rows."""
        matrix, u = self.matrix, self.matrix.cols.tokens
        a_tE, b_lE = matrix.rows.part(block.rows), matrix.cols.part(block.cols)
        t, w = match_tw.shape
        first_w = torch.arange(w, device=match_tw.device)
        if self.d_rows is not None:
            d_tE = F.embedding_bag(match_tw + u * first_w, b_lE, mode="sum", per_sample_weights=weight_tw)
            self.d_rows[block.rows] += d_tE.view(-1, *self.d_rows.shape[1:])
        if self.d_cols is not None:
            match_wt, order_wt = match_tw.T.sort(dim=1)
            label_wU = torch.arange(u, device=match_tw.device).expand(w, u)
            start_wU = torch.searchsorted(match_wt.contiguous(), label_wU.contiguous()) + t * first_w[:, None]
            sorted_wt = weight_tw.T.gather(1, order_wt)
            d_lE = F.embedding_bag(
                order_wt.reshape(-1), a_tE, start_wU.flatten(), mode="sum", per_sample_weights=sorted_wt.reshape(-1)
            )
            self.d_cols[block.cols] += d_lE.view(-1, *self.d_cols.shape[1:])

    def total(self) -> tuple[list[Tensor | None], Tensor]:
        rows, cols = self.matrix.inputs
        # with the matches held fixed S is linear in the rows, as a dot product is
        x, d = (rows, self.d_rows) if self.d_rows is not None else (cols, self.d_cols)
        assert d is not None
        return [self.d_rows, self.d_cols], inner(x, d)


def products(matrix: TokenMaxMatrix, block: Tile) -> Tensor:
    """(h, T, w, U) token similarities of a block."""
    h, w = block.shape
    z = matrix.rows.part(block.rows) @ matrix.cols.part(block.cols).T
    return z.view(h, matrix.rows.tokens, w, matrix.cols.tokens)


def best(matrix: TokenMaxMatrix, block: Tile, *, matches: bool) -> tuple[Tensor, Tensor | None]:
    """(h, T, w) best similarity of each row token with the tokens of each column, and which token that is."""
    if 0 in (matrix.rows.tokens, matrix.cols.tokens):
        top_hTw = matrix.like.new_zeros(block.shape[0], matrix.rows.tokens, block.shape[1])
        return top_hTw, top_hTw.long() if matches else None
    z_hTwU = products(matrix, block)
    if not matches:
        return z_hTwU.amax(3), None
    top_hTw, match_hTw = z_hTwU.max(3)
    return top_hTw, match_hTw


def _index_type(tokens: int) -> torch.dtype:
    return torch.uint8 if tokens <= 2**8 else torch.int16 if tokens <= 2**15 else torch.int32


def _add(part: slice, offset: int) -> slice:
    return slice(part.start + offset, part.stop + offset)


def _moved(block: Tile, tile: Tile) -> Tile:
    """A block of the matrix in coordinates of the tile that holds it."""
    return Tile(_add(block.rows, -tile.rows.start), _add(block.cols, -tile.cols.start))
