"""Two towers learn from labels that their source models agree on, and from each other (SUMMIT, Simons et al. 2023).

Shape legend: V = rows with both modalities, K = classes, D = width of features, H, W = pixels, P = pixels of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.pseudo.certainty import UNKNOWN
from core.objectives.pseudo.labellers import Guess, PseudoLabeller
from core.types import ModalityInput

if TYPE_CHECKING:
    from core.models.towers import TowerSegmenter, TowerView


class CrossModalAdaptation(Term):
    """sum over the modalities of CE(logits_m, pseudo-label) + mimic * KL(p_other || mimic head_m).

    The labels come from the source models, a teacher that stays as it was when training began, seen through a labeller
    that has learned from the whole target: the same labels at every visit, up to the augmentation, which both see. p of
    the other tower carries no gradient. CE is a mean over labelled pixels, KL over all that were recorded (extra
    `valid`, where inputs have it). No label of the data is read. Only rows with both modalities are used.
    """

    name = "adaptation"

    def __init__(
        self, *, modalities: Sequence[str], labeller: PseudoLabeller, mimic: float = 0.1, teacher: str = "source"
    ) -> None:
        """modalities: two. mimic: lambda of the paper (0.1 or 0.01 there)."""
        super().__init__()
        if len(modalities) != 2:
            raise ConfigError(f"CrossModalAdaptation: two modalities teach each other, not {list(modalities)}")
        if mimic < 0:
            raise ConfigError(f"CrossModalAdaptation: mimic is {mimic}; give a weight from 0 on")
        self.modalities, self.labeller, self.mimic, self.teacher = tuple(modalities), labeller, mimic, teacher

    def forward(self, step: Step) -> dict[str, Tensor]:
        first, second = self.modalities
        of_first, of_second, _ = step.paired_rows(first, second)
        if len(of_first) == 0:
            return {"loss": step.zero()}
        inputs = {first: step.input(first).rows(of_first), second: step.input(second).rows(of_second)}
        source: TowerSegmenter = step.teacher(self.teacher).model.head  # type: ignore[attr-defined]
        valid_VHW = recorded(inputs)
        views = source.views(inputs, self.modalities)
        size = views[first].logits.shape[-2:]
        label_VHW = self.labeller([guess(views[name]) for name in self.modalities]).unflatten(0, (-1, *size))
        if valid_VHW is not None:
            label_VHW = label_VHW.masked_fill(~valid_VHW, UNKNOWN)
        return self.losses(step, inputs, label_VHW, valid_VHW)

    def losses(
        self, step: Step, inputs: Mapping[str, ModalityInput], label_VHW: Tensor, valid_VHW: Tensor | None
    ) -> dict[str, Tensor]:
        """The loss of the student for given labels (-1 = none)."""
        head = cast("TowerSegmenter", step.model.head)  # type: ignore[attr-defined]
        views = head.views(inputs, self.modalities)
        labelled = (label_VHW != UNKNOWN).sum()
        total = step.zero()
        out: dict[str, Tensor] = {}
        for name, other in zip(self.modalities, reversed(self.modalities)):
            ce = F.cross_entropy(views[name].logits, label_VHW, ignore_index=UNKNOWN, reduction="sum")
            out[f"ce_{name}"] = ce / labelled.clamp_min(1)
            p_VKHW = views[other].logits.detach().softmax(1)
            kl_VHW = F.kl_div(views[name].mimic.log_softmax(1), p_VKHW, reduction="none").sum(1)
            if valid_VHW is None:
                out[f"kl_{name}"] = kl_VHW.mean()
            else:
                out[f"kl_{name}"] = (kl_VHW * valid_VHW).sum() / valid_VHW.sum().clamp_min(1)
            total = total + out[f"ce_{name}"] + self.mimic * out[f"kl_{name}"]
        return {"loss": total, "labelled": labelled / label_VHW.numel(), **out}


def guess(view: TowerView) -> Guess:
    """A tower's view as points."""
    return Guess(
        probability_PK=view.logits.softmax(1).movedim(1, -1).flatten(0, 2),
        feature_PD=view.features.movedim(1, -1).flatten(0, 2),
    )


def recorded(inputs: Mapping[str, ModalityInput]) -> Tensor | None:
    """(V, H, W) which pixels every input recorded; None when none of them says, or grids differ."""
    found = [inp.extra["valid"] for inp in inputs.values() if "valid" in inp.extra]
    if not found or len({tuple(v.shape) for v in found}) != 1:
        return None
    valid = found[0]
    for other in found[1:]:
        valid = valid & other
    return valid
