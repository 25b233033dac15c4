"""Scores of queries against a gallery, made block by block, so that no Q x G matrix is ever kept.

Shape legend: Q = queries, G = gallery rows, E = embedding width, q = queries of one block, K = best rows kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ConfigError, DataError

Vectors = Tensor | NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Scores:
    """Higher is better. shape: (Q, G). block: rows (a slice of the queries) -> their scores (q, G).

    similarity: what the numbers are, for a protocol.
    """

    shape: tuple[int, int]
    block: Callable[[slice], Tensor]
    similarity: str = "given"

    def blocks(self, chunk: int) -> Iterator[tuple[slice, Tensor]]:
        """(rows, scores (q, G) float64) of `chunk` queries after the other. Raises DataError for nan or a wrong shape,
        ConfigError for a chunk below 1."""
        queries, gallery = self.shape
        if chunk < 1:
            raise ConfigError(f"scores: chunk is {chunk}; give the number of queries to compare at once, at least 1")
        for start in range(0, queries, chunk):
            rows = slice(start, min(start + chunk, queries))
            score_qG = self.block(rows)
            if score_qG.shape != (rows.stop - start, gallery):
                raise DataError(
                    f"scores: a block has shape {tuple(score_qG.shape)}, expected {(rows.stop - start, gallery)}"
                )
            if bool(torch.isnan(score_qG).any()):
                raise DataError(f"scores: nan among the scores of queries {start} to {rows.stop - 1}; check the model")
            yield rows, score_qG.detach().to(torch.float64)


def unit_rows(x_NE: Vectors, name: str) -> Tensor:
    """Rows scaled to length 1, float64 on the CPU (N, E); a zero row stays zero. Raises DataError for nan or inf."""
    x_NE = torch.as_tensor(x_NE).detach().to("cpu", torch.float64)
    if x_NE.ndim != 2:
        raise DataError(f"{name}: shape is {tuple(x_NE.shape)}; give one embedding per row, (rows, width)")
    bad = int((~torch.isfinite(x_NE)).any(dim=1).sum())
    if bad:
        raise DataError(f"{name}: {bad} of {len(x_NE)} embeddings hold nan or inf; check the encoder or the inputs")
    return torch.nn.functional.normalize(x_NE, dim=1)


def cosine_scores(queries_QE: Vectors, gallery_GE: Vectors) -> Scores:
    """Cosines of two sets of embeddings of any float dtype, which need not be normalised; compared in float64.

    Raises DataError for nan embeddings, shapes that do not fit or an empty side.
    """
    q_QE, g_GE = unit_rows(queries_QE, "queries"), unit_rows(gallery_GE, "gallery")
    if not len(q_QE) or not len(g_GE):
        raise DataError(f"ranking: {len(q_QE)} queries and {len(g_GE)} gallery rows; both need at least one")
    if q_QE.shape[1] != g_GE.shape[1]:
        raise DataError(
            f"ranking: queries are {q_QE.shape[1]} wide, the gallery {g_GE.shape[1]}; embed both with one model"
        )
    return Scores((len(q_QE), len(g_GE)), lambda rows: q_QE[rows] @ g_GE.T, "cosine")


def given_scores(score_QG: Vectors, *, similarity: str = "given") -> Scores:
    """Scores that some other model made, (Q, G)."""
    held_QG = torch.as_tensor(score_QG).detach()
    if held_QG.ndim != 2 or not held_QG.numel():
        raise DataError(f"scores: shape is {tuple(held_QG.shape)}; give (queries, gallery rows), both at least 1")
    return Scores((held_QG.shape[0], held_QG.shape[1]), lambda rows: held_QG[rows], similarity)


def top_k_of(
    scores: Scores, *, k: int, chunk: int = 512, exclude_QG: Tensor | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k best gallery rows of each query, best first: scores and row numbers, (Q, K) with K = min(k, G).

    Raises ConfigError for k below 1.
    """
    if k < 1:
        raise ConfigError(f"top k: k is {k}; ask for at least 1 gallery row")
    queries, gallery = scores.shape
    k = min(k, gallery)
    score_QK, index_QK = np.empty((queries, k)), np.empty((queries, k), dtype=np.int64)
    for rows, score_qG in scores.blocks(chunk):
        if exclude_QG is not None:
            score_qG = score_qG.masked_fill(exclude_QG[rows].to(score_qG.device), -torch.inf)
        found = score_qG.topk(k, dim=1)
        score_QK[rows], index_QK[rows] = found.values.cpu().numpy(), found.indices.cpu().numpy()
    return score_QK, index_QK
