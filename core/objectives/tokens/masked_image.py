"""Masked modelling of patches: predict the hidden ones of a series, an image or a volume from the visible ones.

MAE (He et al. 2022); M3AE (Chen et al. 2022) with `FromFusion(partner=text, layer=3)` as source.
Shape legend: V = rows, N = patches of the grid, K = visible ones, P = values of a patch, D = width of the tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn import SinCosPositions, blocks, init_transformer
from core.objectives.base import Step, Term
from core.objectives.tokens.grid_masks import GridMask, RandomMask, checked_ratio
from core.objectives.tokens.masking import MaskPlan
from core.objectives.tokens.patch_losses import NormPixelMSE, PatchLoss
from core.objectives.tokens.patches import OPEN_ENDED, grid_of, pad_slices, patchify, real_patches
from core.objectives.tokens.sources import FromEncoder, TokenSource
from core.types import ModalityInput, Tokens


class MaskedImageDecoder(nn.Module):
    """A small transformer from visible tokens to the values of every patch, fixed sine positions in 1D to 3D."""

    def __init__(
        self,
        *,
        input_width: int,
        patch: Sequence[int],
        grid: Sequence[int],
        channels: int,
        width: int = 384,
        depth: int = 4,
        heads: int = 6,
    ) -> None:
        """input_width: D of the tokens it reads. patch, grid: (T,), (H, W) or (S, H, W), patch in pixels, grid in
        patches; inputs of another size are fine. channels: of the image (times classes for `ClassCE`). width, depth,
        heads: of the decoder.
        Raises ConfigError when patch and grid differ in their number of axes."""
        super().__init__()
        if len(patch) != len(grid):
            raise ConfigError(f"MaskedImageDecoder: patch {list(patch)} and grid {list(grid)} differ in their axes")
        self.patch, self.channels, self.input_width = tuple(patch), channels, input_width
        self.embed = nn.Linear(input_width, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.positions = SinCosPositions(grid=grid, width=width)
        self.blocks = blocks(depth=depth, width=width, heads=heads)
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, math.prod(patch) * channels)
        init_transformer(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tokens, plan: MaskPlan, grid: Sequence[int], real_VN: Tensor | None) -> Tensor:
        """(V, N, P) predictions for all patches. tokens: prefix and the K visible ones. real: False = padding."""
        if tokens.x.shape[-1] != self.input_width:
            raise ConfigError(
                f"MaskedImageDecoder: input_width is {self.input_width}, but the tokens it reads have width "
                f"{tokens.x.shape[-1]}; set input_width to that"
            )
        x_VND = self.embed(tokens.x)
        prefix_VLD, visible_VKD = x_VND[:, : tokens.prefix], x_VND[:, tokens.prefix :]
        full_VND = plan.restore(visible_VKD, self.mask_token) + self.positions(grid).to(x_VND.dtype)
        x_VND = torch.cat([prefix_VLD, full_VND], dim=1)
        mask = None
        if real_VN is not None:
            mask = torch.cat([real_VN.new_ones(len(real_VN), tokens.prefix), real_VN], dim=1)
        for block in self.blocks:
            x_VND = block(x_VND, mask)
        return self.predict(self.norm(x_VND[:, tokens.prefix :]))


@dataclass(frozen=True, slots=True)
class HiddenPatches:
    """One draw of the task. target: (V, N, P) patch values. real: (V, N) bool or None."""

    inp: ModalityInput
    plan: MaskPlan
    target: Tensor
    grid: tuple[int, ...]
    real: Tensor | None


class MaskedImage(Term):
    """Mean error of hidden patches only: squares, of patches normalised by their own mean and unbiased variance.

    Constant zero predictions then cost (P - 1) / P on patches that are not constant. Nothing hidden, or no row: an
    exact 0 with a graph. Values: "loss".
    """

    def __init__(
        self,
        *,
        modality: str,
        decoder: MaskedImageDecoder,
        ratio: float = 0.75,
        source: TokenSource | None = None,
        mask: GridMask | None = None,
        patch_loss: PatchLoss | None = None,
        name: str | None = None,
    ) -> None:
        """ratio: share of patches that is hidden, in [0, 1). source: where the visible tokens are read, the encoder's
        last layer when None. mask: another rule of what is hidden, which then has its own ratio. patch_loss: how wrong
        a patch is, `NormPixelMSE` when None."""
        super().__init__()
        self.modality, self.decoder = modality, decoder
        self.mask = RandomMask(ratio=checked_ratio("MaskedImage", ratio)) if mask is None else mask
        self.patch_loss = NormPixelMSE() if patch_loss is None else patch_loss
        self.source = FromEncoder() if source is None else source
        self.name = f"masked_{modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        rows = self.source.rows(step, self.modality)
        if len(rows) == 0:
            return {"loss": step.zero()}
        task = self.hide(step.input(self.modality).rows(rows), step.generator)
        if not task.plan.hidden.any():
            return {"loss": step.zero()}
        tokens = self.source.tokens(step, self.modality, task.inp, task.plan.keep)
        return {"loss": self.error(tokens, task)}

    def hide(self, inp: ModalityInput, generator: torch.Generator) -> HiddenPatches:
        """Draw which patches of `inp` are hidden, and what they hold."""
        x, slice_mask = inp.x, inp.mask
        if len(self.decoder.patch) in OPEN_ENDED:
            x, slice_mask = pad_slices(x, slice_mask, self.decoder.patch[0])
        grid = grid_of(x.shape[2:], self.decoder.patch)
        real = None if slice_mask is None else real_patches(slice_mask, grid)
        plan = self.mask.draw(len(x), grid, generator=generator, real_VN=real).to(x.device)
        return HiddenPatches(inp, plan, patchify(x.detach(), self.decoder.patch), grid, real)

    def error(self, tokens: Tokens, task: HiddenPatches) -> Tensor:
        """Mean over hidden patches of their error, from the visible tokens."""
        predicted_VNX = self.decoder(tokens, task.plan, task.grid, task.real)
        error_VN, weight_VN = self.patch_loss(predicted_VNX, task.target)
        hidden = task.plan.hidden
        weight_n = weight_VN[hidden]
        return (error_VN[hidden] * weight_n).sum() / weight_n.sum().clamp_min(1)
