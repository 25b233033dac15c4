"""Retrieval examples for a report, from embeddings. Shape legend: Q = queries, G = gallery rows, E = width."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from core.evaluation.ranking import Keys, key_codes, ranks, top_k
from core.evaluation.scores import Vectors
from core.report.content import Answer, Item, RetrievalExample


def retrieval_examples(
    queries_QE: Vectors,
    gallery_GE: Vectors,
    query_keys_Q: Keys,
    gallery_keys_G: Keys,
    *,
    query_item: Callable[[int], Item],
    gallery_item: Callable[[int], Item],
    rows: Sequence[int],
    k: int = 5,
) -> list[RetrievalExample]:
    """The best k answers of chosen queries.

    query_item, gallery_item: row number -> what to show (called for the rows that are shown alone). rows: which
    queries to show; choose them without looking at the result, or say how they were chosen.
    """
    index = torch.as_tensor(list(rows), dtype=torch.int64)
    key_Q, key_G = key_codes(query_keys_Q, gallery_keys_G)
    chosen = torch.as_tensor(queries_QE)[index]
    score, found = top_k(chosen, gallery_GE, k=k)
    rank = ranks(chosen, gallery_GE, key_Q[index], key_G).rank
    return [
        RetrievalExample(
            query=query_item(row),
            answers=[
                Answer(gallery_item(int(g)), float(s), bool(key_G[g] == key_Q[row]))
                for s, g in zip(score[i], found[i], strict=True)
            ],
            rank=None if np.isnan(rank[i]) else float(rank[i]),
            pool=len(key_G),
        )
        for i, row in enumerate(rows)
    ]
