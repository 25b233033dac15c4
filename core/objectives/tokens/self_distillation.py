"""Self-distillation without labels: a student's views predict what a teacher sees in other views, or in hidden patches.

DINO (Caron et al. 2021), iBOT (Zhou et al. 2022), as TIPS (Maninis et al. 2024) uses them.
Shape legend: V = rows that hold a view, n = rows that hold two, N = patches, M = hidden patches of all rows,
K = prototypes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.distillation import DistillationHead
from core.objectives.base import Step, StepModel, Term
from core.objectives.tokens.centre import Centre
from core.objectives.tokens.ramp import Ramp, as_ramp
from core.objectives.tokens.sources import tokens_of
from core.objectives.tokens.token_masking import TokenMasking
from core.objectives.tokens.vocabulary import Classes, SoftTarget, soft_cross_entropy
from core.objectives.views import View, Viewed


class Pooled(View):
    """(V, D) pooled vector of the clean forward, before any projection."""

    def __init__(self, *, modality: str) -> None:
        super().__init__()
        self.modality = modality

    def forward(self, step: Step) -> Viewed:
        return Viewed(step.encoded(self.modality).pooled)


class Distillation(Term):
    """What both terms share: head, teacher, temperatures and the centre of the teacher's logits.

    The centre moves after each training step, over all processes; it is part of the term's state.
    """

    def __init__(
        self,
        *,
        teacher: str,
        head: str,
        prototypes: int,
        student_temperature: float,
        teacher_temperature: float | Ramp,
        centre_momentum: float,
        name: str,
    ) -> None:
        super().__init__()
        self.teacher_temperature = as_ramp(teacher_temperature)
        lowest = min(student_temperature, self.teacher_temperature.start, self.teacher_temperature.end)
        if lowest <= 0:
            raise ConfigError(f"{type(self).__name__}: a temperature is {lowest}; give values above 0")
        self.teacher, self.head_name, self.name = teacher, head, name
        self.student_temperature = student_temperature
        self.centre = Centre(prototypes=prototypes, momentum=centre_momentum)

    def after_step(self, model: StepModel, index: int) -> None:
        self.centre.update()

    def distillation_head(self, step: Step) -> DistillationHead:
        found = step.head(self.head_name)
        if not isinstance(found, DistillationHead):
            raise ConfigError(
                f"term '{self.name}': model.heads.{self.head_name} is a {type(found).__name__}, expected a "
                "DistillationHead"
            )
        if found.prototypes != len(self.centre.value):
            raise ConfigError(
                f"term '{self.name}': prototypes is {len(self.centre.value)}, model.heads.{self.head_name} has "
                f"{found.prototypes}; give both the same number"
            )
        return found

    def cross_entropy(self, step: Step, student_x: Tensor, student: Classes, teacher_x: Tensor, its: Classes) -> Tensor:
        """(M,) cross entropy of the student's distribution under the teacher's, centred and sharpened."""
        soft = SoftTarget(teacher_x, its, self.centre.value, self.teacher_temperature.at(step.index))
        return soft_cross_entropy(student_x, student, soft, temperature=self.student_temperature).loss

    def values(self, step: Step, loss: Tensor) -> dict[str, Tensor]:
        return {"loss": loss, "temperature": loss.new_tensor(self.teacher_temperature.at(step.index))}


class SelfDistillation(Distillation):
    """Mean over pairs (q, v), q seen by the teacher, v another view seen by the student, of H(teacher q, student v).

    In nats; a student that prefers no prototype costs ln K. Views of one modality are one view, and never paired with
    themselves. Values: "loss", "temperature".
    """

    def __init__(
        self,
        *,
        teacher: str,
        head: str,
        prototypes: int,
        teacher_views: Sequence[str | View],
        student_views: Sequence[str | View],
        student_temperature: float = 0.1,
        teacher_temperature: float | Ramp = 0.04,
        centre_momentum: float = 0.9,
        name: str = "self_distillation",
    ) -> None:
        """teacher: its name. head: name of a `DistillationHead` among the model's heads. prototypes: of that head.
        teacher_views: global views; student_views: all views, global and local. A modality's name stands for its
        pooled vector. teacher_temperature: a number, or a `Ramp`. Raises ConfigError when no two views differ."""
        super().__init__(
            teacher=teacher,
            head=head,
            prototypes=prototypes,
            student_temperature=student_temperature,
            teacher_temperature=teacher_temperature,
            centre_momentum=centre_momentum,
            name=name,
        )
        self.teacher_views = nn.ModuleList(_view(view) for view in teacher_views)
        self.student_views = nn.ModuleList(_view(view) for view in student_views)
        if not list(self._pairs()):
            raise ConfigError("SelfDistillation: no student view differs from a teacher view; give two modalities")

    def _pairs(self) -> list[tuple[View, View]]:
        pairs = ((q, v) for q in self.teacher_views for v in self.student_views)
        return [(q, v) for q, v in pairs if q.modality != v.modality]  # type: ignore[misc]

    def forward(self, step: Step) -> dict[str, Tensor]:
        head, teacher = self.distillation_head(step), step.teacher(self.teacher)
        with torch.no_grad():
            its_head = self.distillation_head(teacher)
            its = Classes(its_head.weight())
            targets = {
                id(q): its_head.states(q(teacher).x)
                for q in self.teacher_views
                if step.has(q.modality)  # type: ignore[arg-type]
            }
        student = {id(v): head.states(v(step).x) for v in self.student_views if step.has(v.modality)}  # type: ignore[arg-type]
        own, losses = Classes(head.weight()), []
        for q, v in self._pairs():
            q_rows, v_rows, _ = step.paired_rows(q.modality, v.modality)
            if len(q_rows):
                losses.append(self.cross_entropy(step, student[id(v)][v_rows], own, targets[id(q)][q_rows], its).mean())
        if self.training and targets:
            self.centre.observe(torch.cat(list(targets.values())), its)
        return self.values(step, torch.stack(losses).mean()) if losses else {"loss": step.zero()}


class MaskedSelfDistillation(Distillation):
    """H(teacher, student) of hidden patches of the same view: the teacher sees the whole view, the student mask tokens.

    Mean over the hidden patches of a row, then over rows (a row without any counts as 0), then over views; in nats.
    Nothing hidden: an exact 0 with a graph. Values: "loss", "temperature".
    """

    def __init__(
        self,
        *,
        teacher: str,
        head: str,
        prototypes: int,
        views: Sequence[str],
        masking: TokenMasking,
        student_temperature: float = 0.1,
        teacher_temperature: float | Ramp = 0.04,
        centre_momentum: float = 0.9,
        name: str = "masked_self_distillation",
    ) -> None:
        """views: modalities, the global views. masking: what is hidden. Others: `SelfDistillation`."""
        super().__init__(
            teacher=teacher,
            head=head,
            prototypes=prototypes,
            student_temperature=student_temperature,
            teacher_temperature=teacher_temperature,
            centre_momentum=centre_momentum,
            name=name,
        )
        if not views:
            raise ConfigError("MaskedSelfDistillation: views is empty; name one modality at least")
        self.views, self.masking = list(views), masking

    def forward(self, step: Step) -> dict[str, Tensor]:
        losses = [self._of(step, modality) for modality in self.views if step.has(modality)]
        if not losses:
            return {"loss": step.zero()}
        return self.values(step, torch.stack(losses).mean() + step.zero())

    def _of(self, step: Step, modality: str) -> Tensor:
        head, teacher = self.distillation_head(step), step.teacher(self.teacher)
        encoded, hidden_VN = self.masking(step, modality)
        seen, clean = tokens_of(encoded, modality), tokens_of(teacher.encoded(modality), modality)
        with torch.no_grad():
            its_head = self.distillation_head(teacher)
            its = Classes(its_head.weight())
            its_VNE = its_head.states(clean.x[:, clean.prefix :])
            if self.training:
                real = its_VNE.flatten(0, 1) if clean.mask is None else its_VNE[clean.mask[:, clean.prefix :]]
                self.centre.observe(real, its)
        row_M = hidden_VN.nonzero(as_tuple=True)[0]
        x_ME = head.states(seen.x[:, seen.prefix :][hidden_VN])
        loss_M = self.cross_entropy(step, x_ME, Classes(head.weight()), its_VNE[hidden_VN], its)
        total_V = loss_M.new_zeros(len(hidden_VN)).index_add(0, row_M, loss_M)
        return (total_V / hidden_VN.sum(1).clamp_min(1)).mean()


def _view(view: str | View) -> View:
    return Pooled(modality=view) if isinstance(view, str) else view
