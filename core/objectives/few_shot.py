"""Episodes in which a hypernetwork has to write a projector for an encoder that it has not seen (SEMI, 2025).

Shape legend: n = rows with item and text, S = support pairs, Q = queries, D, E = width of items and of the space.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.models.hyper_projector import Projector, ProjectorHypernet, random_rotation
from core.objectives.base import Step, StepModel, Term
from core.objectives.contrast.scale import LogScale, Scale


class Episode(Term):
    """One modality of a step, turned at random, is split into pairs to learn from and queries to be scored on.

    Each step draws a modality among `modalities`, its support, its queries, and with `rotate` an orthogonal matrix that
    both are multiplied by: distances stay, coordinates do not, so that every step shows another encoder (isometric
    augmentation). The hypernetwork and the modality's projection give the projector; `score` says how good it is.
    Encoders are to be frozen, their vectors carry no gradient here. Fewer than `least` rows: an exact zero.
    """

    least = 4

    def __init__(
        self,
        *,
        modalities: Sequence[str],
        text: str,
        hypernet: str = "hypernet",
        support: int = 32,
        rotate: bool = True,
    ) -> None:
        """hypernet: entry of `model.heads`, a `core.models.ProjectorHypernet`. support: most pairs, half of the rows at
        most. The modalities share a `core.models.Projector` as projection."""
        super().__init__()
        if not modalities or support < 1:
            raise ConfigError(f"{type(self).__name__}: modalities {list(modalities)}, support {support}; give some")
        self.modalities, self.text = tuple(modalities), text
        self.hypernet, self.support, self.rotate = hypernet, support, rotate

    @abstractmethod
    def score(self, step: Step, projected_QE: Tensor, text_rows_Q: Tensor, batch_rows_Q: Tensor) -> dict[str, Tensor]:
        """What the queries' vectors are worth. text_rows: of the text modality's V. batch_rows: of the batch."""

    def forward(self, step: Step) -> dict[str, Tensor]:
        there = [m for m in self.modalities if len(step.paired_rows(m, self.text)[2]) >= self.least]
        if not there:
            return {"loss": step.zero()}
        modality = there[int(torch.randint(len(there), (1,), generator=step.generator))]
        item_rows, text_rows, batch_rows = step.paired_rows(modality, self.text)
        order = torch.randperm(len(batch_rows), generator=step.generator)
        count = min(self.support, len(order) // 2)
        support, queries = order[:count], order[count:]
        item_nD = F.normalize(step.encoded(modality).pooled.detach().float()[item_rows], dim=-1)
        if self.rotate:
            item_nD = item_nD @ random_rotation(item_nD.shape[1], step.generator).to(item_nD)
        text_nE = step.embedding(self.text).detach()[text_rows]
        projector, hypernet = self._parts(step, modality)
        changes = hypernet(item_nD[support], text_nE[support])
        projected_QE = projector(item_nD[queries], changes)
        return self.score(step, projected_QE, text_rows[queries], batch_rows[queries])

    def _parts(self, step: Step, modality: str) -> tuple[Projector, ProjectorHypernet]:
        hypernet = step.head(self.hypernet)
        projector = step.model.projections[modality]  # type: ignore[attr-defined]
        if not isinstance(hypernet, ProjectorHypernet) or not isinstance(projector, Projector):
            raise ConfigError(
                f"term '{self.name}': model.heads.{self.hypernet} is a {type(hypernet).__name__} and the projection of "
                f"'{modality}' a {type(projector).__name__}; expected a ProjectorHypernet and a Projector"
            )
        return projector, hypernet


class FewShotAlignment(Episode):
    """Queries find their texts among those of all queries: symmetric InfoNCE; equal texts are all right.

    An episode has tens of queries, so that their matrix is made whole. SEMI tells the text word by word through a
    frozen language model; here the space of a text encoder stands in for it.
    """

    name = "few_shot"

    def __init__(
        self,
        *,
        modalities: Sequence[str],
        text: str,
        hypernet: str = "hypernet",
        support: int = 32,
        rotate: bool = True,
        scale: Scale | None = None,
    ) -> None:
        super().__init__(modalities=modalities, text=text, hypernet=hypernet, support=support, rotate=rotate)
        self.scale = LogScale() if scale is None else scale

    def score(self, step: Step, projected_QE: Tensor, text_rows_Q: Tensor, batch_rows_Q: Tensor) -> dict[str, Tensor]:
        text_QE = step.embedding(self.text).detach()[text_rows_Q].float()
        ids_Q = step.batch.keys.get(self.text, torch.arange(len(step.batch)))[batch_rows_Q].to(text_QE.device)
        loss, accuracy = matched(projected_QE, text_QE, ids_Q, self.scale.at(step.index))
        return {"loss": loss, "accuracy": accuracy}

    def after_step(self, model: StepModel, index: int) -> None:
        self.scale.clamp_()


def matched(a_QE: Tensor, b_QE: Tensor, ids_Q: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """(mean of both directions' cross-entropies, share of rows whose nearest is right); equal ids share the target."""
    a_QE, b_QE = (F.normalize(x.float(), dim=-1) for x in (a_QE, b_QE))
    logits_QQ = scale.to(a_QE) * a_QE @ b_QE.T
    same_QQ = (ids_Q[:, None] == ids_Q[None]).to(logits_QQ)
    target_QQ = same_QQ / same_QQ.sum(1, keepdim=True)
    loss = (F.cross_entropy(logits_QQ, target_QQ) + F.cross_entropy(logits_QQ.T, target_QQ)) / 2
    right_Q = same_QQ.gather(1, logits_QQ.argmax(1, keepdim=True))
    return loss, right_Q.mean()
