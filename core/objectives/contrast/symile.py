"""Contrast of any number of modalities at once (Saporta et al. 2024, "Symile").

Pairs of modalities can be independent where three together are not (c = a XOR b); the multilinear inner product sees
what the pairs do not. The loss of an anchor bounds the total correlation: log(columns) - loss, in nats.
Shape legend: B = rows of the batch, V = rows where a modality is present, n = rows in use, M = modalities, E = width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.errors import ConfigError, nearest
from core.objectives.base import Step, StepModel, Term
from core.objectives.contrast.divergence import Divergence, RowCE, Running
from core.objectives.contrast.kernel import TILE, term_weights, tiled_loss
from core.objectives.contrast.scale import LogScale, Scale
from core.objectives.contrast.similarity import unit
from core.objectives.contrast.targets import Ids, OneHot
from core.objectives.contrast.tuples import PermutedKeys, TupleKeys, Tuples
from core.objectives.views.base import View, as_view


class Completion(nn.Module, ABC):
    """What becomes of samples that lack a modality."""

    @abstractmethod
    def complete(self, step: Step, views: Sequence[View]) -> tuple[list[Tensor], Tensor]:
        """(M tensors (n, E), the n rows of the batch they belong to)."""


class CompleteRows(Completion):
    """Only samples that hold every modality."""

    def complete(self, step: Step, views: Sequence[View]) -> tuple[list[Tensor], Tensor]:
        whole_B = torch.ones(len(step.batch), dtype=torch.bool)
        for view in views:
            whole_B = whole_B & (step.batch.present[view.modality].cpu() if step.has(view.modality) else False)
        (rows_n,) = whole_B.nonzero(as_tuple=True)
        if len(rows_n) == 0:
            zero = step.zero()
            return [zero + zero.new_zeros(0, 0) for _ in views], rows_n
        out = []
        for view in views:
            position_B = step.batch.present[view.modality].long().cumsum(0) - 1
            out.append(view(step).x[position_B[rows_n.to(position_B.device)]])
        return out, rows_n.to(out[0].device)


class Placeholders(Completion):
    """Every sample that holds at least one of the modalities; a trained vector stands for each that it lacks.

    heads: modality -> entry of `model.heads`, a `core.models.Placeholder`. A modality that is not named must be
    present in every sample.
    """

    def __init__(self, *, heads: Mapping[str, str]) -> None:
        super().__init__()
        self.heads = dict(heads)

    def complete(self, step: Step, views: Sequence[View]) -> tuple[list[Tensor], Tensor]:
        nothing_B = torch.zeros(len(step.batch), dtype=torch.bool)
        present = [step.batch.present[v.modality].cpu() if step.has(v.modality) else nothing_B for v in views]
        (rows_n,) = torch.stack(present).any(0).nonzero(as_tuple=True)
        return [self._fill(step, v, has_B[rows_n]) for v, has_B in zip(views, present, strict=True)], rows_n

    def _fill(self, step: Step, view: View, has_n: Tensor) -> Tensor:
        if bool(has_n.all()) and len(has_n) > 0:
            return view(step).x
        if view.modality not in self.heads:
            raise ConfigError(
                f"Placeholders: {int((~has_n).sum())} samples lack '{view.modality}', which has no head"
                f"{nearest(view.modality, self.heads)}"
            )
        vector_E = step.head(self.heads[view.modality])()
        if not bool(has_n.any()):
            return vector_E.expand(len(has_n), -1)
        x_VE = view(step).x
        position_n = (has_n.long().cumsum(0) - 1).clamp_min(0).to(x_VE.device)
        return torch.where(has_n.to(x_VE.device)[:, None], x_VE[position_n], vector_E.to(x_VE.dtype))


class Symile(Term):
    """Mean over the anchor modalities of the cross entropy of scale * <anchor, others of a tuple>, in nats.

    Values: "loss"; "accuracy", share of anchors, of the first modality, whose own tuple beats all others, ties lost;
    "gain", nats below the loss of equal scores, a lower bound of the total correlation; "positive", mean multilinear
    inner product of true tuples; "scale". With two modalities and `PermutedKeys` this is the symmetric InfoNCE.
    Fewer than two samples give an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[str | View],
        columns: TupleKeys | None = None,
        scale: Scale | None = None,
        missing: Completion | None = None,
        rescale: bool = False,
        key: str | None = None,
        divergence: Divergence | None = None,
        tile: tuple[int, int] = TILE,
        name: str | None = None,
    ) -> None:
        """modalities: two or more; a modality's name stands for its embedding. columns: which tuples are negatives
        (`PermutedKeys`). scale: learned logarithm from 1/0.07 without an upper limit: independent unit vectors have
        products of size E^(-(M-1)/2), which a limit of 100 would starve. missing: `CompleteRows`. rescale: multiply
        the products by E^((M-2)/2), which gives them the size that they have for M = 2. key: entry of `Batch.keys` that
        says which samples have equal content; their tuples are no negatives of each other.
        Raises ConfigError for fewer than two modalities."""
        super().__init__()
        views = [as_view(m) for m in modalities]
        if len(views) < 2:
            raise ConfigError(f"Symile: modalities has {len(views)} entries; give at least two")
        if min(tile) < 1:
            raise ConfigError(f"Symile: tile is {tile}; give rows and columns of at least 1, for instance [2048, 4096]")
        self.views = nn.ModuleList(views)
        self.columns = PermutedKeys() if columns is None else columns
        self.scale = LogScale(minimum=1e-4, maximum=None) if scale is None else scale
        self.missing = CompleteRows() if missing is None else missing
        self.rescale, self.key = rescale, key
        self.divergence = RowCE() if divergence is None else divergence
        self.tile = (int(tile[0]), int(tile[1]))
        self.name = "-".join(view.modality for view in views) if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        views: list[View] = list(self.views)  # type: ignore[arg-type]
        sides, rows_n = self.missing.complete(step, views)
        if len(rows_n) < 2 and not self.columns.collective:
            return {"loss": step.zero()}
        sides = [unit(x) for x in sides]
        if len({x.shape[1] for x in sides}) > 1:
            raise ConfigError(f"term '{self.name}': widths are {[x.shape[1] for x in sides]}; they must be equal")
        rows = self.columns.gather(sides, self._content(step, rows_n))
        if len(rows.every_content) < 2:
            return {"loss": step.zero()}
        generator = self.columns.shared(step.generator, sides[0].device)
        factor = rows.every[0].shape[1] ** ((len(views) - 2) / 2) if self.rescale else 1.0
        solved = [
            self._solve(anchor, factor, rows.everywhere, step.index) for anchor in self.columns.tuples(rows, generator)
        ]
        loss = torch.stack([loss for loss, _, _ in solved]).sum()
        _, running, columns = solved[0]
        bias = 0.0 if self.scale.bias is None else self.scale.bias.detach()
        return {
            "loss": loss,
            "accuracy": running.accuracy(),
            "gain": math.log(columns) - loss.detach(),
            "positive": (running.mean_positive() - bias) / (self.scale.value().detach() * factor),
            **self.scale.logs(),
        }

    def after_step(self, model: StepModel, index: int) -> None:
        self.scale.clamp_()

    def _content(self, step: Step, rows_n: Tensor) -> Tensor | None:
        """(n,) content ids, None where every sample is its own."""
        if self.key is None:
            return None
        if self.key not in step.batch.keys:
            raise ConfigError(
                f"term '{self.name}': the batch has no key '{self.key}'{nearest(self.key, step.batch.keys)}"
            )
        key_B = step.batch.keys[self.key]
        return key_B[rows_n.to(key_B.device)]

    def _solve(self, anchor: Tuples, factor: float, everywhere: bool, index: int) -> tuple[Tensor, Running, int]:
        columns = anchor.matrix.shape[1]
        item_m = torch.arange(columns, device=anchor.positive_n.device)
        ids = Ids(anchor.positive_n, anchor.positive_n), Ids(item_m, item_m)
        weights = OneHot().weights(*ids, anchor.matrix.like.dtype)
        weights.excluded = anchor.excluded
        loss, running = tiled_loss(
            anchor.matrix,
            scale=self.scale.at(index) * factor,
            bias=self.scale.bias,
            weights=weights,
            divergence=self.divergence,
            row_weight_n=term_weights(
                weights.row_total_n,
                1 / len(self.views),
                every_row=self.divergence.every_row,
                everywhere=everywhere,
            ),
            col_weight_m=None,
            tile=self.tile,
            everywhere=everywhere,
        )
        return loss, running, columns
