"""Labels beside the contrast: identities and tags, read by heads that belong to the model.

Shape legend: V = rows in which a modality is present, n = rows with a label, K = classes, D = width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError, nearest
from core.objectives.base import Step, Term
from core.objectives.contrast.matrix import computed_in
from core.objectives.contrast.similarity import unit
from core.objectives.reduction import process_mean
from core.objectives.views import View, as_view


def label_rows(step: Step, modality: str, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """(rows of V with at least one known label, their (n, names) labels; nan = unknown). Raises ConfigError for a label
    that the batch does not have."""
    for name in names:
        if name not in step.batch.labels:
            raise ConfigError(f"the batch has no label '{name}'{nearest(name, step.batch.labels)}")
    if not step.has(modality):
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, len(names))
    labels_VK = torch.stack([step.batch.labels[name][step.batch.present[modality]] for name in names], dim=1)
    (rows_n,) = labels_VK.isfinite().any(1).nonzero(as_tuple=True)
    return rows_n, labels_VK[rows_n]


class IdentityCE(Term):
    """Cross entropy of a label from each view through one shared classifier, mean over views (the ID loss of IRRA,
    Jiang and Ye 2023). A row without the label, or without the view, counts for nothing."""

    def __init__(
        self, *, views: Sequence[str | View], head: str, label: str = "identity", name: str = "identity"
    ) -> None:
        """head: name in `model.heads` of a linear layer from the views' width to K. label: entry of `Batch.labels` with
        whole numbers 0 to K - 1."""
        super().__init__()
        if not views:
            raise ConfigError("IdentityCE: no views given; list at least one")
        self.views = nn.ModuleList([as_view(view) for view in views])
        self.head, self.label, self.name = head, label, name

    def forward(self, step: Step) -> dict[str, Tensor]:
        parts, hits = [], []
        for view in (cast(View, v) for v in self.views):
            rows_n, labels_n1 = label_rows(step, view.modality, [self.label])
            if len(rows_n) == 0:
                zero = step.zero()
                parts.append(zero + process_mean(zero.detach().new_zeros(0)))
                continue
            y_n = labels_n1[:, 0].long()
            logits_nK = computed_in(self._logits(step, view, rows_n))
            if int(y_n.min()) < 0 or int(y_n.max()) >= logits_nK.shape[1]:
                raise ConfigError(
                    f"term '{self.name}': label '{self.label}' goes from {int(y_n.min())} to {int(y_n.max())}, the "
                    f"head '{self.head}' has {logits_nK.shape[1]} classes; labels have to be 0 to classes - 1"
                )
            parts.append(process_mean(F.cross_entropy(logits_nK, y_n, reduction="none")))
            hits.append((logits_nK.argmax(1) == y_n).float().mean())
        values = {"loss": torch.stack(parts).mean()}
        return values | {"accuracy": torch.stack(hits).mean().detach()} if hits else values

    def _logits(self, step: Step, view: View, rows_n: Tensor) -> Tensor:
        return cast(Tensor, step.head(self.head)(view(step).x[rows_n]))


class ProjectionCE(Term):
    """Classification of each side's projection onto the other: x' = (x . z) z with z the partner's unit vector, logits
    from class weights of length 1, the two directions added up (CMPC, Zhang and Lu 2018)."""

    def __init__(
        self, *, rows: str | View, keys: str | View, head: str, label: str = "identity", name: str | None = None
    ) -> None:
        """head: name in `model.heads` of a linear layer; its weight (K, E) is used, its bias is not."""
        super().__init__()
        self.row_view, self.key_view, self.head, self.label = as_view(rows), as_view(keys), head, label
        self.name = f"projection-{self.row_view.modality}-{self.key_view.modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        a_rows, b_rows, batch_rows = step.paired_rows(self.row_view.modality, self.key_view.modality)
        known_n = label_rows(step, self.row_view.modality, [self.label])[0]
        y_n = step.batch.labels[self.label][batch_rows]
        keep_n = y_n.isfinite().nonzero(as_tuple=True)[0]
        if len(known_n) == 0 or len(keep_n) == 0:
            zero = step.zero()
            return {"loss": zero + process_mean(zero.detach().new_zeros(0))}
        a = computed_in(self.row_view(step).x[a_rows[keep_n]])
        b = computed_in(self.key_view(step).x[b_rows[keep_n]])
        weight_KE = unit(cast(nn.Linear, step.head(self.head)).weight)
        loss_n = a.new_zeros(len(keep_n))
        for x, onto in ((a, unit(b)), (b, unit(a))):
            projected_nE = (x * onto).sum(1, keepdim=True) * onto
            loss_n = loss_n + F.cross_entropy(projected_nE @ weight_KE.T, y_n[keep_n].long(), reduction="none")
        return {"loss": process_mean(loss_n)}


class TagBCE(Term):
    """Multi-label classification: binary cross entropy of each tag, mean over the known tags of a row, then over rows
    (the tag head of HQ-CLIP, Wei et al. 2025; weights unconfirmed)."""

    def __init__(self, *, view: str | View, head: str, labels: Sequence[str], name: str | None = None) -> None:
        """head: name in `model.heads`, from the view's width to one logit per tag. labels: entries of `Batch.labels`
        with 0, 1, a share in between, or nan for unknown."""
        super().__init__()
        if not labels:
            raise ConfigError("TagBCE: no labels given; list the tags in the order of the head's outputs")
        self.view, self.head, self.labels = as_view(view), head, list(labels)
        self.name = f"tags-{self.view.modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        rows_n, labels_nK = label_rows(step, self.view.modality, self.labels)
        if len(rows_n) == 0:
            zero = step.zero()
            return {"loss": zero + process_mean(zero.detach().new_zeros(0))}
        logits_nK = computed_in(step.head(self.head)(self.view(step).x[rows_n]))
        if logits_nK.shape[1] != len(self.labels):
            raise ConfigError(
                f"term '{self.name}': {len(self.labels)} labels, but the head '{self.head}' gives "
                f"{logits_nK.shape[1]} logits; list one label per output"
            )
        known_nK = labels_nK.isfinite()
        each_nK = F.binary_cross_entropy_with_logits(
            logits_nK, labels_nK.nan_to_num(0.0).to(logits_nK.dtype), reduction="none"
        )
        return {"loss": process_mean((each_nK * known_nK).sum(1) / known_nK.sum(1))}
