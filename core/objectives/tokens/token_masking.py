"""A forward in which hidden patches are replaced by a mask token, not dropped (BEiT, Bao et al. 2022; iBOT).

Shape legend: V = rows in which the modality is present, N = tokens of the grid, D = width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.encoders.base import BlockContext, BlockHook
from core.errors import ConfigError
from core.models.distillation import MaskToken
from core.objectives.base import Step
from core.objectives.tokens.grid_masks import BlockMask, GridMask
from core.objectives.tokens.joint_tokens import steppable
from core.objectives.views import View, Viewed
from core.types import Encoded


class MaskedForward(NamedTuple):
    """hidden: (V, N) bool, the grid tokens that the encoder saw as mask tokens."""

    encoded: Encoded
    hidden: Tensor


class TokenMasking(nn.Module):
    """Which tokens of a view are replaced, and by what. Equally named maskings share their forwards in a step."""

    def __init__(self, *, token: str, mask: GridMask | None = None, name: str = "masked") -> None:
        """token: name of a `MaskToken` among the model's heads. mask: `BlockMask` when None."""
        super().__init__()
        self.token, self.name = token, name
        self.mask = BlockMask() if mask is None else mask

    def forward(self, step: Step, modality: str) -> MaskedForward:
        """Called only when `step.has(modality)`."""
        return step.memo(("token_masking", self.name, modality), lambda: self._run(step, modality))

    def _run(self, step: Step, modality: str) -> MaskedForward:
        token, who = step.head(self.token), f"the masked view of '{modality}'"
        if not isinstance(token, MaskToken):
            raise ConfigError(f"{who}: model.heads.{self.token} is a {type(token).__name__}, expected a MaskToken")
        encoder = steppable(step, modality, who)
        drawn: list[Tensor] = []

        def replace(h_VND: Tensor, ctx: BlockContext) -> Tensor:
            if ctx.grid is None:
                raise ConfigError(f"{who}: the encoder's tokens lie on no grid")
            real_VN = None if ctx.mask is None else ctx.mask[:, ctx.prefix :]
            plan = self.mask.draw(len(h_VND), ctx.grid, generator=step.generator, real_VN=real_VN)
            hidden_VN = plan.hidden.to(h_VND.device)
            drawn.append(hidden_VN)
            filler_ND = token(encoder.place(ctx.grid)).to(h_VND.dtype)
            body_VND = torch.where(hidden_VN[..., None], filler_ND, h_VND[:, ctx.prefix :])
            return torch.cat([h_VND[:, : ctx.prefix], body_VND], dim=1)

        encoded = step.model.encode(modality, step.input(modality), hooks=[BlockHook(0, "pre", replace)])
        return MaskedForward(encoded, drawn[0])


class MaskedPooled(View):
    """(V, D) pooled vector of the forward with mask tokens: what iBOT's student shows of a global view."""

    def __init__(self, *, modality: str, masking: TokenMasking) -> None:
        super().__init__()
        self.modality, self.masking = modality, masking

    def forward(self, step: Step) -> Viewed:
        return Viewed(self.masking(step, self.modality).encoded.pooled)
