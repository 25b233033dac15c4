"""Batches of training triples, cut from an array of ids.

A graph has millions of triples of three numbers each: a Python object per triple and step would cost more than the
model does. The batches are those that the records would give, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from core.data.collate import stable_id
from core.data.layout import Draws, TrainingPlan
from core.data.sampler import StepSampler
from core.types import Batch, ModalityInput
from domains.molecules.kg.processor import TripleProcessor
from domains.molecules.kg.triples import Triple


def triple_draws(triples: Sequence[Triple], prefix: str, processor: TripleProcessor, plan: TrainingPlan) -> Draws:
    """prefix: with its number after it, the id of a record."""
    numbers_N = np.arange(len(triples)) if plan.indices is None else np.asarray(plan.indices, np.int64)
    ids_N3 = np.stack([processor.names.ids(triples[i]) for i in numbers_N.tolist()])
    sampler = StepSampler(
        len(ids_N3),
        batch_size=plan.batch_size,
        total=plan.total,
        seed=plan.seed,
        start=plan.start,
        rank=plan.rank,
        world=plan.world,
    )
    return Draws(_Rows(), sampler, _Cut(ids_N3, numbers_N, prefix))


class _Rows(Dataset[int]):
    """Items of a batch as they are: (epoch, row) -> row."""

    def __getitem__(self, item: tuple[int, int]) -> int:
        return item[1]

    def __getitems__(self, items: list[tuple[int, int]]) -> list[int]:
        return [row for _, row in items]


class _Cut:
    """Rows -> Batch; picklable."""

    def __init__(self, ids_N3: np.ndarray, numbers_N: np.ndarray, prefix: str) -> None:
        self.triples_N3, self.numbers_N = torch.from_numpy(ids_N3), torch.from_numpy(numbers_N)
        self.names = [f"{prefix}{i}" for i in numbers_N.tolist()]
        self.groups_N = torch.tensor([stable_id(name) for name in self.names], dtype=torch.int64)

    def __call__(self, rows: list[int]) -> Batch:
        at = torch.tensor(rows, dtype=torch.int64)
        return Batch(
            [self.names[row] for row in rows],
            {"triple": ModalityInput(self.triples_N3[at])},
            {"triple": torch.ones(len(rows), dtype=torch.bool)},
            {},
            {"sample": self.numbers_N[at], "group": self.groups_N[at]},
        )
