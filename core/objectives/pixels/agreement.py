"""Two modalities' answers for the same pixels, each a teacher of the other.

Shape legend: n = rows that have both, K = classes, H, W = pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step, Term, zero_like_graph
from core.objectives.pixels.losses import certainty, entangled, weighted_ce
from core.objectives.pixels.ramp import EpochRamp
from core.objectives.pixels.views import Pixels, PixelView


class PixelAgreement(Term):
    """sum v_2 CE(z_1, sg p_2) / sum v_2 + sum v_1 CE(z_2, sg p_1) / sum v_1 (CromSS, Liu et al. 2025).

    v = (1 - g) + g q': all pixels weigh the same at first; along the ramp g, how sure a teacher is, entangled with the
    other one. Over rows that have both modalities and pixels that both recorded; needs no labels.
    """

    def __init__(
        self, *, first: PixelView, second: PixelView, ramp: EpochRamp | None = None, name: str = "agreement"
    ) -> None:
        super().__init__()
        self.first_view, self.second_view = first, second
        self.ramp = EpochRamp() if ramp is None else ramp
        self.name = name

    def on_epoch(self, model: object, epoch: int) -> None:
        self.ramp.on_epoch(epoch)

    def forward(self, step: Step) -> dict[str, Tensor]:
        views = self.first_view(step), self.second_view(step)
        if views[0] is None or views[1] is None:
            return {"loss": step.zero()}
        a, b = views
        if a.main.shape[1:] != b.main.shape[1:]:
            raise ConfigError(
                f"term '{self.name}': logits of {tuple(a.main.shape[1:])} and {tuple(b.main.shape[1:])} (classes, "
                "rows, columns) cannot agree; give both modalities one grid and one list of classes"
            )
        in_a, in_b = torch.isin(a.rows, b.rows), torch.isin(b.rows, a.rows)  # rows ascend in both
        known_nHW = _recorded(a)[in_a] & _recorded(b)[in_b]
        if not known_nHW.any():
            return {"loss": step.zero() + zero_like_graph(a.main, b.main)}
        with torch.autocast(a.main.device.type, enabled=False):
            return {"loss": mutual(a.main[in_a], b.main[in_b], known_nHW.float(), self.ramp.value())}


def mutual(first_nKHW: Tensor, second_nKHW: Tensor, known_nHW: Tensor, ramp: float) -> Tensor:
    """The loss over pixels that are `known` (0 or 1)."""
    sure = certainty(first_nKHW), certainty(second_nKHW)
    weights = [
        known_nHW * ((1 - ramp) + ramp * entangled(own, other)) for own, other in (sure, sure[::-1])
    ]  # of the first, of the second as a teacher
    return weighted_ce(first_nKHW, second_nKHW.detach().softmax(1), weights[1]) + weighted_ce(
        second_nKHW, first_nKHW.detach().softmax(1), weights[0]
    )


def _recorded(pixels: Pixels) -> Tensor:
    if pixels.valid is not None:
        return pixels.valid.to(pixels.main.device)
    return torch.ones(pixels.main[:, 0].shape, dtype=torch.bool, device=pixels.main.device)
