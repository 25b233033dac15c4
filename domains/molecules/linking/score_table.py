"""Scores of all mentions and all entities, in memory or on disk, and the best of them.

Shape legend: K = kinds of scores, Q = mentions, G = entities.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHOWN = 5
IN_MEMORY = 2**30  # bytes of scores that are kept in memory; more go to a temporary file


@dataclass(frozen=True, slots=True)
class Linked:
    """Of one measurement. index (Q,): records. top (Q, 5): best entities, best first; score: theirs. rank (Q,), ties
    by the realistic rank."""

    index: list[int]
    top: NDArray[np.int64]
    score: NDArray[np.float32]
    rank: NDArray[np.float64]


@contextmanager
def score_table(kinds: int, rows: int, cols: int) -> Iterator[NDArray[np.float32]]:
    """An empty (K, Q, G) float32 table, in memory or, when large, in a temporary file that is removed."""
    if 4 * kinds * rows * cols <= IN_MEMORY:
        yield np.empty((kinds, rows, cols), np.float32)
        return
    with tempfile.TemporaryDirectory(prefix="linking_scores_") as folder:
        table = np.memmap(Path(folder) / "scores", dtype=np.float32, mode="w+", shape=(kinds, rows, cols))
        yield table
        del table


def linked(score_QG: NDArray[np.float32], index: Sequence[int], answers_Q: NDArray[np.int64]) -> Linked:
    """What a report shows, one mention at a time."""
    k = min(SHOWN, score_QG.shape[1])
    tops, scores, ranks = [], [], []
    for row_G, answer in zip(score_QG, answers_Q, strict=True):
        top = np.argsort(-np.asarray(row_G), kind="stable")[:k]
        tops.append(top)
        scores.append(row_G[top])
        ranks.append(1 + (row_G > row_G[answer]).sum() + ((row_G == row_G[answer]).sum() - 1) / 2)
    return Linked(list(index), np.stack(tops), np.stack(scores), np.array(ranks))
