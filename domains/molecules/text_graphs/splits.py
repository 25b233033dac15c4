"""Which nodes are trained on. Figures of one kind of split say nothing of another: its name is part of a score."""

from __future__ import annotations

from typing import Literal

import numpy as np

from core.data.layout import SPLITS
from core.errors import DataError
from domains.molecules.text_graphs.graph import UNLABELLED, Ints

Splits = Literal["random", "planetoid"]
PER_CLASS, VALIDATION, TEST = 20, 500, 1000  # Yang et al. 2016


def node_splits(label_N: Ints, *, kind: Splits, seed: int = 0) -> dict[str, Ints]:
    """Split -> sorted rows of labelled nodes, drawn by `seed`.

    random: 60 / 20 / 20 of them, what most papers with language models report. planetoid: 20 of each class, then 500
    and 1,000 of the others (their sizes; the public index files are another draw). Raises DataError when there are
    too few.
    """
    if kind not in ("random", "planetoid"):
        raise DataError(f"splits: there is no kind '{kind}'; valid: random, planetoid")
    order = np.random.default_rng(seed).permutation(np.flatnonzero(label_N != UNLABELLED))
    if kind == "random":
        cuts = [round(0.6 * len(order)), round(0.8 * len(order))]
        parts = np.split(order, cuts)
    else:
        label_R = label_N[order]
        before_R = np.zeros(len(order), np.int64)  # how many of its class come earlier
        for label in np.unique(label_R):
            mine = label_R == label
            before_R[mine] = np.arange(mine.sum())
        chosen = before_R < PER_CLASS
        rest = order[~chosen]
        if len(rest) < VALIDATION + TEST:
            raise DataError(
                f"splits: a planetoid split needs {VALIDATION + TEST} nodes beside {PER_CLASS} per class, there are "
                f"{len(rest)}; use the random one"
            )
        parts = [order[chosen], rest[:VALIDATION], rest[VALIDATION : VALIDATION + TEST]]
    return {name: np.sort(rows) for name, rows in zip(SPLITS, parts, strict=True)}
