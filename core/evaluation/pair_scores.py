"""Scores of similarities that are no cosine of two vectors: token-wise, query-wise and multilinear ones.

Shape legend: Q = queries, G = gallery rows, q = queries of one block, C = classes, E = width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import ConfigError, DataError
from core.evaluation.scores import Scores
from core.objectives.contrast.matrix import dense
from core.objectives.contrast.multilinear import product
from core.objectives.contrast.similarity import Similarity, unit
from core.objectives.views import Viewed


@torch.no_grad()
def pair_scores(similarity: Similarity, queries: Viewed, gallery: Viewed) -> Scores:
    """The similarity that a model was trained with, for `retrieval_of` and `top_k_of`. A directional one is that of
    queries to gallery. Token similarities are made in small blocks, so that beside the scores of the queries at work
    the memory does not grow with Q or G."""
    rows, keys = similarity.rows(queries), similarity.keys(gallery)

    @torch.no_grad()
    def block(part: slice) -> Tensor:
        index_q = torch.arange(part.start, part.stop, device=rows.x.device)
        return dense(similarity.matrix(rows.rows(index_q), keys))

    return Scores((len(rows.x), len(keys.x)), block, type(similarity).__name__)


@torch.no_grad()
def prompt_scores(
    similarity: Similarity, samples: Viewed, prompts: Viewed, *, classes: int, scale: float | None = None
) -> Tensor:
    """(Q, C) zero-shot scores with several prompts per class, prompts of a class one behind the other.

    Token sequences of prompts cannot be averaged as vectors are, so similarities are (Yao et al. 2022). scale: average
    softmax(scale * similarity) over classes instead (Gu et al. 2022, "Wukong"); rows then sum to 1.
    Raises DataError when the prompts are no multiple of the classes, ConfigError for a scale that is not positive.
    """
    if classes < 1 or len(prompts.x) == 0 or len(prompts.x) % classes:
        raise DataError(f"prompt_scores: {len(prompts.x)} prompts for {classes} classes; give every class as many")
    if scale is not None and scale <= 0:
        raise ConfigError(f"prompt_scores: scale is {scale}; give a positive number or None")
    score_QG = pair_scores(similarity, samples, prompts).block(slice(0, len(samples.x)))
    score_QCP = score_QG.unflatten(1, (classes, -1))
    return score_QCP.mean(2) if scale is None else (scale * score_QCP).softmax(1).mean(2)


@torch.no_grad()
def multilinear_scores(queries: Sequence[Tensor], candidates_GE: Tensor) -> Scores:
    """Multilinear inner products of unit vectors: sum_d q_d r_d ... x_d for the query modalities q, r, ..., each
    (Q, E), and candidate x (Saporta et al. 2024). A learned scale changes no ranking. DataError without a query."""
    if not queries:
        raise DataError("multilinear_scores: no query modality is given")
    joint_QE, x_GE = product([unit(q_QE.detach()) for q_QE in queries]), unit(candidates_GE.detach())
    return Scores((len(joint_QE), len(x_GE)), lambda part: joint_QE[part] @ x_GE.T, "multilinear inner product")
