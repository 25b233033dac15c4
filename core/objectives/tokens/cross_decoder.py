"""The decoder of one task of MultiMAE (Bachmann et al. 2022): its patches ask, the joint tokens answer.

Shape legend: B = rows, N = patches of the task's grid, T = joint tokens, G = global tokens, C = width of the joint
tokens, D = width of the decoder, X = predicted values of a patch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.nn import CrossBlock, SinCosPositions, blocks, init_transformer
from core.objectives.tokens.joint_tokens import Joint
from core.objectives.tokens.patch_losses import PatchLoss, PixelMSE


class PatchTask(nn.Module):
    """What is predicted of `modality`, by which decoder, and how errors count.

    The queries are a mask token at hidden patches and the joint token itself at visible ones; both, and the context,
    are marked with their modality and, where the grids have the same number of axes, their position. One
    cross-attention block, then `depth` blocks among the queries.
    """

    def __init__(
        self,
        *,
        modality: str,
        inputs: list[str],
        input_width: int,
        patch: Sequence[int],
        grid: Sequence[int],
        channels: int,
        patch_loss: PatchLoss | None = None,
        width: int = 256,
        depth: int = 2,
        heads: int = 8,
    ) -> None:
        """inputs: modalities of the joint transformer. input_width: its width. patch, grid, channels: of the
        modality; inputs of another size are fine. patch_loss: `PixelMSE` when None. width, depth, heads: of the
        decoder. Raises ConfigError when patch and grid differ in their axes or `modality` is not among the inputs."""
        super().__init__()
        if len(patch) != len(grid):
            raise ConfigError(f"PatchTask: patch {list(patch)} and grid {list(grid)} differ in their axes")
        if modality not in inputs:
            raise ConfigError(f"PatchTask: modality '{modality}' is not among its inputs {inputs}")
        self.modality, self.inputs, self.patch, self.input_width = modality, list(inputs), tuple(patch), input_width
        self.patch_loss = PixelMSE() if patch_loss is None else patch_loss
        self.embed = nn.Linear(input_width, width)
        self.kinds = nn.Embedding(len(inputs), width)
        self.positions = SinCosPositions(grid=grid, width=width)
        self.read = CrossBlock(width=width, heads=heads)
        self.blocks = blocks(depth=depth, width=width, heads=heads)
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, self.patch_loss.outputs(math.prod(patch) * channels))
        init_transformer(self)
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))

    def forward(self, joint: Joint, grids: Mapping[str, tuple[int, ...]], real_BN: Tensor) -> Tensor:
        """(B, N, X) predictions for every patch. grids: of the joint parts. real: (B, N) bool, False = padding."""
        if joint.x.shape[-1] != self.input_width:
            raise ConfigError(
                f"PatchTask '{self.modality}': input_width is {self.input_width}, but the joint tokens have width "
                f"{joint.x.shape[-1]}"
            )
        marks = {name: self._marks(name, grids[name], joint.x.dtype) for name in joint.parts}
        table_PD = torch.cat([marks[name] for name in joint.parts])
        first = torch.tensor([0, *(len(mark_ND) for mark_ND in marks.values())]).cumsum(0)[:-1].to(joint.kind.device)
        context_BTD = self.embed(joint.x) + table_PD[first[joint.kind] + joint.place]
        context_BTD = torch.cat([context_BTD, self.embed(joint.global_)], dim=1)
        seen_BT = torch.cat([joint.real, joint.real.new_ones(joint.global_.shape[:2])], dim=1)
        x_BND = self._queries(joint, math.prod(grids[self.modality])) + marks[self.modality]
        x_BND = self.read(x_BND, context_BTD, seen_BT)
        mask_BN = None if bool(real_BN.all()) else real_BN
        for block in self.blocks:
            x_BND = block(x_BND, mask_BN)
        return self.predict(self.norm(x_BND))

    def _queries(self, joint: Joint, count: int) -> Tensor:
        """(B, N, D): visible tokens of the task at their places, the mask token elsewhere."""
        own = joint.parts[self.modality]
        x_BKD = self.embed(own.x)
        full_BND = self.mask_token.to(x_BKD.dtype).expand(len(x_BKD), count + 1, -1)
        place_BK = own.place.masked_fill(~own.real, count)  # fillers go to a place that is cut off
        return full_BND.scatter(1, place_BK[..., None].expand_as(x_BKD), x_BKD)[:, :count]

    def _marks(self, name: str, grid: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """(N, D): embedding of the modality, and its positions."""
        kind_D = self.kinds.weight[self.inputs.index(name)]
        if len(grid) != len(self.positions.grid):
            return kind_D.to(dtype).expand(math.prod(grid), -1)
        return (kind_D + self.positions(grid)).to(dtype)
