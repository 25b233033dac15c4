"""Data of a simulated federation, in memory: shards of clients and the public set, and batches of both.

Shape legend: n = rows of a shard, B = rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from core.errors import ConfigError
from core.federated.terms import PUBLIC
from core.training.module import seed_of
from core.types import Batch, ModalityInput


@dataclass(frozen=True, slots=True)
class Shard:
    """inputs[modality]: what its encoder takes, (n, ...), with mask and extra. labels[name]: (n,) float, nan unknown.

    Raises ConfigError when the modalities have different numbers of rows."""

    inputs: Mapping[str, ModalityInput]
    labels: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = {name: len(inp) for name, inp in self.inputs.items()}
        counts |= {name: len(label_n) for name, label_n in self.labels.items()}
        if not self.inputs or len(set(counts.values())) != 1 or not len(self):
            raise ConfigError(f"shard: rows by modality and label are {counts}; give the same number, at least one")

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


def public_name(modality: str) -> str:
    """How a client's model calls public rows of a modality: their own name, so that its own terms do not read them."""
    return f"public_{modality}"


def mixed_batch(private: Shard | None, rows_n: Tensor, public: Shard | None, items_m: Tensor) -> Batch:
    """Private rows, then public ones under `public_name`, keys[PUBLIC] their items and -1 for private rows."""
    n, m = (0 if private is None else len(rows_n)), (0 if public is None else len(items_m))
    own_B = torch.arange(n + m) < n
    inputs: dict[str, ModalityInput] = {}
    present: dict[str, Tensor] = {}
    labels: dict[str, Tensor] = {}
    if private is not None:
        for name, inp in private.inputs.items():
            inputs[name], present[name] = inp.rows(rows_n), own_B
        for name, label_n in private.labels.items():
            labels[name] = torch.cat([label_n[rows_n].float(), torch.full((m,), torch.nan)])
    if public is not None:
        for name, inp in public.inputs.items():
            inputs[public_name(name)], present[public_name(name)] = inp.rows(items_m), ~own_B
    item_B = torch.cat([torch.full((n,), -1), items_m[:m]])
    row_B = torch.cat([rows_n[:n], items_m[:m]])
    ids = [f"{'own' if i < n else 'public'}-{int(row)}" for i, row in enumerate(row_B)]
    return Batch(ids, inputs, present, labels, keys={"sample": torch.arange(n + m), PUBLIC: item_B})


class _Steps(IterableDataset[Batch]):
    """Batches of steps `start` to `total`, each a function of (seed, step)."""

    def __init__(self, private: Shard | None, public: Shard | None, batch: int, seed: int, start: int, total: int):
        self.private, self.public, self.batch = private, public, batch
        self.seed, self.start, self.total = seed, start, total

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.start, self.total):
            generator = torch.Generator().manual_seed(seed_of(self.seed, step))
            rows, items = (
                torch.zeros(0, dtype=torch.int64)
                if shard is None
                else torch.randperm(len(shard), generator=generator)[: self.batch]
                for shard in (self.private, self.public)
            )
            yield mixed_batch(self.private, rows, self.public, items)


def loader(
    private: Shard | None, public: Shard | None, *, batch: int, seed: int, start: int = 0, total: int
) -> DataLoader[Batch]:
    """`batch` private and `batch` public rows per step, drawn without repetition within a step."""
    return DataLoader(_Steps(private, public, batch, seed, start, total), batch_size=None)
