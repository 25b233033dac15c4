"""Adapters: from one modality's input to tokens with positions, without blocks of their own.

They let several modalities share one transformer (`core.fusion.JointTransformer`), as in MultiMAE and 4M.
Shape legend: V = rows, C = channels, N = tokens, T = ids of a row, D = width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.base import BlockContext, SteppableEncoder
from core.encoders.image import check_parts
from core.errors import ConfigError, DataError
from core.nn import MeanPool, PatchEmbed, Positions, SinCosPositions, init_transformer
from core.types import Encoded, ModalityInput, Tokens


class Adapter(SteppableEncoder):
    """An encoder of depth 0: `finish` follows `embed`. The pooled vector is the mean of the tokens."""

    depth = 0
    positions: Positions

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width, self.norm, self.pool = width, nn.Identity(), MeanPool()

    def attn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        raise ConfigError(f"{type(self).__name__} has no blocks")

    def ffn_part(self, i: int, h: Tensor, ctx: BlockContext) -> Tensor:
        raise ConfigError(f"{type(self).__name__} has no blocks")

    def finish(self, h: Tensor, ctx: BlockContext) -> Encoded:
        grid = ctx.grid if ctx.complete else None
        return Encoded(
            pooled=self.pool(h, ctx.mask, ctx.prefix),
            tokens=Tokens(x=h, mask=ctx.mask, grid=grid, prefix=ctx.prefix),
            layers=ctx.layers,
        )

    def place(self, grid: Sequence[int]) -> Tensor:
        return self.positions(grid)


class PatchAdapter(Adapter):
    """Series (V, C, T), images (V, C, H, W) or volumes (V, C, S, H, W) -> one token per patch.

    size: of the input that positions are made for. patch: sides in the same order; their number chooses the axes. The
    first axis of a series or a volume may have any length up to size[0]: it is filled up to a multiple of the patch,
    and positions count from its start; mask (V, T or S) says which steps are real. Other axes resample the positions.
    """

    def __init__(
        self,
        *,
        size: Sequence[int],
        patch: Sequence[int],
        channels: int,
        width: int,
        positions: Positions | None = None,
    ) -> None:
        super().__init__(width=width)
        if len(size) != len(patch) or any(p < 1 or n % p for n, p in zip(size, patch)):
            raise ConfigError(f"{type(self).__name__}: size {list(size)} must be multiples of patch {list(patch)}")
        grid = tuple(n // p for n, p in zip(size, patch))
        self.size, self.patch = tuple(size), tuple(patch)
        self.stem = PatchEmbed(patch=patch, channels=channels, width=width)
        self.positions = SinCosPositions(grid=grid, width=width) if positions is None else positions
        check_parts(type(self).__name__, self.stem, self.positions, self.patch, grid, width)

    @property
    def open_ended(self) -> bool:
        return len(self.patch) != 2

    def values(self, x: Tensor) -> Tensor:
        """What is cut into patches: (V, C, ...)."""
        return x

    def embed(self, inp: ModalityInput) -> Tokens:
        x, mask_VS = self.values(inp.x), inp.mask
        if self.open_ended:
            if x.shape[2] > self.size[0]:
                raise DataError(
                    f"{type(self).__name__} got {x.shape[2]} steps, it takes up to {self.size[0]}; raise size[0] or "
                    "let the processor crop"
                )
            missing = -x.shape[2] % self.patch[0]
            x = F.pad(x, (0, 0) * (x.ndim - 3) + (0, missing))
            mask_VS = None if mask_VS is None else F.pad(mask_VS, (0, missing))
        x_VND, grid = self.stem(x)
        mask_VN = None
        if mask_VS is not None:
            mask_VN = mask_VS.unflatten(1, (grid[0], -1)).any(2).repeat_interleave(math.prod(grid[1:]), dim=1)
        return Tokens(x=x_VND + self.place(grid).to(x_VND.dtype), mask=mask_VN, grid=grid)

    def place(self, grid: Sequence[int]) -> Tensor:
        if not self.open_ended:
            return self.positions(grid)
        return self.positions((self.size[0] // self.patch[0], *grid[1:]))[: math.prod(grid)]


class ClassPatchAdapter(PatchAdapter):
    """A map of class numbers (V, 1, ...) -> tokens: each number is embedded, then patches are cut (MultiMAE, semseg).

    classes: numbers 0 .. classes - 1; `ignore` and what lies outside embed to zeros. embedding: width of a class.
    """

    def __init__(
        self,
        *,
        size: Sequence[int],
        patch: Sequence[int],
        classes: int,
        width: int,
        embedding: int = 64,
        positions: Positions | None = None,
    ) -> None:
        super().__init__(size=size, patch=patch, channels=embedding, width=width, positions=positions)
        self.classes = classes
        self.embedding = nn.Embedding(classes, embedding)
        init_transformer(self.embedding)

    def values(self, x: Tensor) -> Tensor:
        ids = x[:, 0].long()
        known = (ids >= 0) & (ids < self.classes)
        rows = self.embedding(ids.clamp(0, self.classes - 1)) * known[..., None]
        return rows.movedim(-1, 1)


class TokenAdapter(Adapter):
    """Ids of discrete tokens -> tokens: text (V, T) or grids of codes (V, H, W), (V, S, H, W) (4M).

    grid: longest sequence, or the grid of the codes. A sequence may be shorter: positions count from its start. Other
    grids resample the positions. Raises DataError for a longer sequence.
    """

    def __init__(self, *, vocab_size: int, grid: Sequence[int], width: int, positions: Positions | None = None) -> None:
        super().__init__(width=width)
        self.vocab_size, self.grid = vocab_size, tuple(grid)
        self.token_embedding = nn.Embedding(vocab_size, width)
        init_transformer(self)
        self.positions = SinCosPositions(grid=grid, width=width) if positions is None else positions

    def embed(self, inp: ModalityInput) -> Tokens:
        grid = tuple(inp.x.shape[1:])
        if len(grid) != len(self.grid) or (len(grid) == 1 and grid[0] > self.grid[0]):
            raise DataError(f"TokenAdapter got ids of shape {grid} per row, it is made for up to {self.grid}")
        x_VND = self.token_embedding(inp.x.flatten(1))
        return Tokens(x=x_VND + self.place(grid).to(x_VND.dtype), mask=inp.mask, grid=grid)

    def place(self, grid: Sequence[int]) -> Tensor:
        return self.positions(self.grid)[: grid[0]] if len(self.grid) == 1 else self.positions(grid)
