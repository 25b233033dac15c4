"""Targets that a frozen or a slower model gives: how close it finds each pair.

Shape legend: n = rows, m = columns (keys), E = width of the teacher's vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.contrast.similarity import unit
from core.objectives.contrast.targets.base import Ids, Sides, Target, view_rows
from core.objectives.contrast.targets.dense import ShareWeights, SoftmaxWeights
from core.objectives.contrast.targets.matches import Matches
from core.objectives.contrast.targets.weights import Finder, Part, SummedWeights, Weights
from core.objectives.contrast.tiles import Tile
from core.objectives.views import View, as_view


class TeacherPair(nn.Module):
    """How one teacher compares: cosine of its two views, divided by `temperature`."""

    def __init__(self, *, rows: str | View, keys: str | View, temperature: float = 0.01) -> None:
        """rows, keys: views of the term's first and second modality, usually `FromTeacher`. temperature: 0.01 is the
        multiplier 100 of MobileCLIP's teachers (v2: 1/70 and 1/60)."""
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"TeacherPair: temperature is {temperature}; give a value above 0, for instance 0.01")
        self.rows, self.keys, self.temperature = as_view(rows), as_view(keys), temperature


class TeacherSoftmax(Target):
    """softmax over columns of the teacher's cosine / T; over rows for the column direction. With several teachers the
    mean of their softmaxes, not the softmax of their mean (MobileCLIP, Vasu et al. 2024; CTP, Zhu et al. 2023).

    Each direction has a softmax of its own: the transposed one of rows does not sum to 1 over the rows of a column. No
    teacher matrix is stored; each teacher costs a product per tile and pass, and one more pass for its log-sum-exp.
    Teachers see through views that the term's modalities own, so every compared row must have them.
    """

    def __init__(self, *, teachers: Sequence[TeacherPair], without_self: bool = False) -> None:
        """without_self: entries of the same item count nowhere, neither here nor in the student's softmax (topology
        within one modality, where they are the diagonal of ones)."""
        super().__init__()
        if not teachers:
            raise ConfigError("TeacherSoftmax: no teachers given; list at least one TeacherPair")
        self.teachers, self.without_self = nn.ModuleList(teachers), without_self

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        pairs = [cast(TeacherPair, pair) for pair in self.teachers]
        of_a = {f"teacher{k}": unit(view_rows(step, pair.rows, batch_rows_n)) for k, pair in enumerate(pairs)}
        of_b = {f"teacher{k}": unit(view_rows(step, pair.keys, batch_rows_n)) for k, pair in enumerate(pairs)}
        return of_a, of_b

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        same = Matches(rows.item, cols.item)
        positives: Finder = _Nothing(rows.item) if self.without_self else same
        excluded = same if self.without_self else None
        sums = [
            SoftmaxWeights(
                rows.side(f"teacher{k}").to(dtype),
                cols.side(f"teacher{k}").to(dtype),
                1 / cast(TeacherPair, pair).temperature,
                positives,
                excluded,
            )
            for k, pair in enumerate(self.teachers)
        ]
        if len(sums) == 1:
            return sums[0]
        share_n, share_m = (t / len(sums) for t in (sums[0].row_total_n, sums[0].col_total_m))
        return SummedWeights([Part(w, share_n, share_m) for w in sums])


class KeySoftmax(Target):
    """softmax over columns of (teacher's row . column) / T where the columns are themselves a teacher's vectors, as in
    a momentum queue: ALBEF's and TCL's soft targets (Li et al. 2021, Yang et al. 2022), T = 0.07.
    """

    def __init__(self, *, rows: str | View, keys: str | View, temperature: float = 0.07) -> None:
        """rows, keys: what the teacher shows of the rows of a -> b and of b -> a."""
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"KeySoftmax: temperature is {temperature}; give a value above 0, for instance 0.07")
        self.rows, self.keys, self.temperature = as_view(rows), as_view(keys), temperature

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        return (
            {"teacher": unit(view_rows(step, self.rows, batch_rows_n))},
            {"teacher": unit(view_rows(step, self.keys, batch_rows_n))},
        )

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        if cols.x is None or cols.x.ndim != 2:
            raise ConfigError("KeySoftmax: the columns are no vectors; use it with keys that hold a teacher's vectors")
        match = Matches(rows.item, cols.item)
        return SoftmaxWeights(rows.side("teacher").to(dtype), cols.x.to(dtype), 1 / self.temperature, match)


class PrototypeSoft(Target):
    """softmax over prototypes k of (c_label(i) . c_k) / T: a row belongs to prototypes as far as its own one resembles
    them (ProtoCLIP, Chen et al. 2022, T = 0.01). Towards T = 0 this is `Equality` on the labels.

    The keys give both sides: "prototype" of a row is the vector of its own prototype, of a column its vector.
    """

    def __init__(self, *, temperature: float = 0.01) -> None:
        super().__init__()
        if temperature <= 0:
            raise ConfigError(
                f"PrototypeSoft: temperature is {temperature}; give a value above 0, or use Equality for hard labels"
            )
        self.temperature = temperature

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        own, every = (ids.side("prototype").to(dtype) for ids in (rows, cols))
        return SoftmaxWeights(own, every, 1 / self.temperature, Matches(rows.content, cols.content))


class IntraModal(Target):
    """W_ij = (1 + cos(q_i, q_j)) / 2 divided by the row's sum, q what a frozen model shows of one modality: every
    sample is a positive in part (CWCL, Srinivasa et al. 2023). For one direction only, with `OneHot` in the other: were
    all W equal, constant logits would be its minimum.

    Where all cosines are high (the cone of many models) W is nearly uniform: `centre` subtracts the mean of the columns
    first.
    """

    def __init__(self, *, view: str | View, centre: bool = False) -> None:
        super().__init__()
        self.view, self.centre = as_view(view), centre

    def sides(self, step: Step, batch_rows_n: Tensor) -> tuple[Sides, Sides]:
        own = {"frozen": unit(view_rows(step, self.view, batch_rows_n))}
        return own, own

    def weights(self, rows: Ids, cols: Ids, dtype: torch.dtype) -> Weights:
        q_rows, q_cols = (ids.side("frozen").to(dtype) for ids in (rows, cols))
        if self.centre:
            mean = q_cols.mean(0)
            q_rows, q_cols = unit(q_rows - mean), unit(q_cols - mean)
        return ShareWeights(q_rows, q_cols, Matches(rows.item, cols.item))


class _Nothing:
    """No entry of any tile."""

    def __init__(self, like: Tensor) -> None:
        self.empty = torch.zeros(0, dtype=torch.int64, device=like.device)

    def __call__(self, tile: Tile) -> tuple[Tensor, Tensor]:
        return self.empty, self.empty
