"""The pairwise contrastive term: similarity x keys x scale x target x divergence on the tiled kernel.

InfoNCE (van den Oord et al. 2018), its symmetric form (Radford et al. 2021) and the form with unequal directions
(Zhang et al. 2020) differ in arguments only.
Shape legend: B = rows of the batch, n = rows that hold both modalities, E = width of the shared space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import replace

import torch
from torch import Tensor

from core.errors import ConfigError, nearest
from core.objectives.base import Step, StepModel, Term
from core.objectives.contrast.divergence import Divergence, RowCE, Running
from core.objectives.contrast.kernel import TILE, term_weights, tiled_loss
from core.objectives.contrast.keys import GatheredKeys, Keys, Occasion, Problem
from core.objectives.contrast.matrix import Matrix
from core.objectives.contrast.scale import LogScale, Scale
from core.objectives.contrast.similarity import Cosine, Similarity
from core.objectives.contrast.targets import OneHot, Sides, Target
from core.objectives.views import View, Viewed, as_view


class Pair(Term):
    """Contrast between two modalities over the rows that hold both; a row that lacks one counts for nothing.

    Values: "loss" in nats (equal scores give ln n times the sum of `directions`); "accuracy", share of rows whose best
    positive column beats all others, ties lost; "gain", nats below the loss of equal scores; "positive", mean
    similarity of positive pairs; "scale" (and "bias"). With fewer than two pairs the loss is an exact 0 with a graph.
    """

    def __init__(
        self,
        *,
        rows: str | View,
        keys: str | View,
        target: Target | None = None,
        scale: Scale | None = None,
        directions: tuple[float, float] = (0.5, 0.5),
        similarity: Similarity | None = None,
        columns: Keys | None = None,
        divergence: Divergence | None = None,
        sample_weight: str | None = None,
        tile: tuple[int, int] = TILE,
        name: str | None = None,
    ) -> None:
        """rows, keys: what is compared; a modality's name stands for its embedding. target: which pairs belong together
        (one-hot). scale: learned logarithm from 1/0.07.
        directions: weights of rows -> keys and keys -> rows. similarity: cosine. columns: where keys come from (every
        process). divergence: cross entropy.
        sample_weight: entry of `Batch.labels` with a factor >= 0 per sample, unknown (nan) counting as 0: terms are
        averaged by it, those of columns by the weight of their own sample.
        tile: rows and columns of a tile, a matter of speed only.
        Raises ConfigError for directions that are negative or all zero, and for an empty tile."""
        super().__init__()
        if len(directions) != 2 or min(directions) < 0 or sum(directions) == 0:
            raise ConfigError(f"Pair: directions are {directions}; give two weights >= 0, for instance [0.5, 0.5]")
        if min(tile) < 1:
            raise ConfigError(f"Pair: tile is {tile}; give rows and columns of at least 1, for instance [2048, 4096]")
        self.row_view, self.key_view = as_view(rows), as_view(keys)
        self.target = OneHot() if target is None else target
        self.scale = LogScale() if scale is None else scale
        self.directions = (float(directions[0]), float(directions[1]))
        self.similarity = Cosine() if similarity is None else similarity
        self.columns = GatheredKeys() if columns is None else columns
        self.divergence = RowCE() if divergence is None else divergence
        self.sample_weight = sample_weight
        self.tile = (int(tile[0]), int(tile[1]))
        self.name = f"{self.row_view.modality}-{self.key_view.modality}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        a_rows, b_rows, batch_rows = step.paired_rows(self.row_view.modality, self.key_view.modality)
        if len(batch_rows) < self.columns.least and not self.columns.collective:
            return self._nothing(step)
        problems = self._problems(step, a_rows, b_rows, batch_rows)
        if not problems or (problems[0].pairs < 2 and not self.columns.collective):
            return self._nothing(step)
        solved = [self._solve(*part, step.index) for problem in problems for part in self._matrices(problem)]
        self._tell(step, batch_rows, [running for _, running in solved])
        return self._values([loss for loss, _ in solved], solved[0][1], problems[0].pairs)

    def on_epoch(self, model: StepModel, epoch: int) -> None:
        self.target.on_epoch(epoch)

    def after_step(self, model: StepModel, index: int) -> None:
        self.scale.clamp_()
        self.columns.after_step()

    def _problems(self, step: Step, a_rows_n: Tensor, b_rows_n: Tensor, batch_rows_n: Tensor) -> list[Problem]:
        """Terms of one step that compare the same views share the prepared vectors, and, where targets ask for nothing
        beyond the same content ids, what was gathered from other processes."""
        sides = (self.row_view.key, self.key_view.key, self.row_view.modality, self.key_view.modality)
        seen = (*sides, self.similarity.key)
        a = self._side(step, ("rows", *seen), self.row_view, a_rows_n, self.similarity.rows)
        b = self._side(step, ("keys", *seen), self.key_view, b_rows_n, self.similarity.keys)
        of_a, of_b = self._sides(step, batch_rows_n)

        def lay_out() -> list[Problem]:
            content_n = self._content(step, batch_rows_n).to(a.x.device)
            sided = replace(a, sides=of_a), replace(b, sides=of_b)
            return self.columns.problems(
                *sided, content_n, self.directions, Occasion(step, batch_rows_n, self.similarity)
            )

        if of_a or of_b:
            return lay_out()
        return step.memo(("problems", *seen, self.columns.key, self.target.key, self.directions), lay_out)

    def _side(
        self, step: Step, key: Hashable, view: View, rows_n: Tensor, prepare: Callable[[Viewed], Viewed]
    ) -> Viewed:
        if step.has(view.modality):
            return step.memo(key, lambda: prepare(view(step).rows(rows_n)))
        zero = step.zero()
        return Viewed(zero + zero.new_zeros(0, 0))

    def _sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        """What the target, and the average over samples, must know of the rows of both views."""
        of_a, of_b = self.target.sides(step, batch_rows_n)
        if self.sample_weight is not None:
            weight = {"weight": self._weight(step, self.sample_weight)[batch_rows_n]}
            of_a, of_b = {**of_a, **weight}, {**of_b, **weight}
        return of_a, of_b

    def _weight(self, step: Step, name: str) -> Tensor:
        if name not in step.batch.labels:
            raise ConfigError(
                f"term '{self.name}': the batch has no label '{name}' for sample_weight"
                f"{nearest(name, step.batch.labels)}"
            )
        return step.batch.labels[name].nan_to_num(0.0).clamp_min(0.0)

    def _tell(self, step: Step, batch_rows_n: Tensor, solved: list[Running]) -> None:
        """Let the target know how well each pair is told apart, for targets that learn from it."""
        found = [running.surprise() for running in solved]
        own = [x_n for x_n in found if x_n is not None and len(x_n) == len(batch_rows_n)]
        if own:
            self.target.observe(step, batch_rows_n, torch.stack(own).mean(0))

    def _content(self, step: Step, batch_rows_n: Tensor) -> Tensor:
        """(n,) content ids of the pairs; the row number where the target asks for none."""
        key = self.target.key
        if key is None:
            return batch_rows_n
        if key not in step.batch.keys:
            raise ConfigError(
                f"term '{self.name}': the batch has no key '{key}' for the target{nearest(key, step.batch.keys)}"
            )
        return step.batch.keys[key][batch_rows_n]

    def _matrices(self, problem: Problem) -> list[tuple[Problem, Matrix]]:
        """A directional similarity needs a matrix for each direction that carries a loss."""
        if not self.similarity.directional:
            return [(problem, problem.matrix(self.similarity))]
        parts = problem.by_direction()
        if len(parts) == 2:
            return list(zip(parts, self.similarity.both(problem.rows, problem.cols), strict=True))
        return [(part, part.matrix(self.similarity)) for part in parts]

    def _solve(self, problem: Problem, matrix: Matrix, index: int) -> tuple[Tensor, Running]:
        weights = problem.weights(self.target, matrix.like.dtype)
        terms = {"every_row": self.divergence.every_row, "everywhere": problem.everywhere}
        return tiled_loss(
            matrix,
            scale=self.scale.at(index),
            bias=self.scale.bias,
            weights=weights,
            divergence=self.divergence,
            row_weight_n=term_weights(
                weights.row_total_n, problem.row_share, problem.rows.sides.get("weight"), **terms
            ),
            col_weight_m=term_weights(
                weights.col_total_m, problem.col_share, problem.cols.sides.get("weight"), **terms
            ),
            tile=self.tile,
            everywhere=problem.everywhere,
        )

    def _values(self, losses: list[Tensor], running: Running, pairs: int) -> dict[str, Tensor]:
        loss = torch.stack(losses).sum()
        bias = 0.0 if self.scale.bias is None else self.scale.bias.detach()
        positive = (running.mean_positive() - bias) / self.scale.value().detach()
        return {
            "loss": loss,
            "accuracy": running.accuracy(),
            "gain": sum(self.directions) * math.log(max(pairs, 1)) - loss.detach(),
            "positive": positive,
            **self.scale.logs(),
        }

    def _nothing(self, step: Step) -> dict[str, Tensor]:
        return {"loss": step.zero()}
