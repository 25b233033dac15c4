"""Zero-shot labels from prompts: an ensemble of positive and negative phrasings per label.

Shape legend: N = images, L = labels, P = phrasings of a prompt, E = embedding width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError, DataError
from core.evaluation.classification import macro_auroc
from core.evaluation.scores import Vectors, unit_rows


@dataclass(frozen=True, slots=True)
class PromptPair:
    """Embeddings of the phrasings that affirm a label, and of those that deny it: (P, E) each, P may differ."""

    positive: Tensor
    negative: Tensor


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """score: (N, L) cosine to the positive prompt minus cosine to the negative one, in [-2, 2]. probability: (N, L)
    softmax over the two, of the scaled cosines. names: the labels, in column order."""

    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptVariance:
    """Macro AUROC of every single phrasing, their mean and standard deviation (ddof 1), beside the ensemble's."""

    per_phrasing: tuple[float, ...]
    mean: float
    std: float
    ensemble: float


def prompt_prototype(embeddings_PE: Vectors) -> Tensor:
    """The ensemble of P phrasings: mean of the unit vectors, made unit again, float64 (E,).

    Source: Radford et al. 2021, section 3.1.4.

    Raises DataError when there is no phrasing, or when they cancel out.
    """
    unit_PE = unit_rows(embeddings_PE, "prompts")
    if not len(unit_PE):
        raise DataError("zero-shot: a prompt has no phrasing; give at least one")
    mean_E = unit_PE.mean(dim=0)
    if float(mean_E.norm()) < 1e-9:
        raise DataError(
            "zero-shot: the phrasings of a prompt cancel out; their embeddings point in opposite directions"
        )
    return F.normalize(mean_E, dim=0)


def zero_shot_scores(image_NE: Vectors, prompts: Mapping[str, PromptPair], *, scale: float = 100.0) -> ZeroShot:
    """Score every image for every label: s = cos(image, positive) - cos(image, negative).

    scale: what cosines are multiplied by before the softmax over {positive, negative}, that is the model's
    1 / temperature; it changes probabilities and calibration, never the order of scores.
    Swapping the prompts of a label turns its score into -s and its probability into 1 - p.
    """
    if not prompts:
        raise ConfigError("zero-shot: no labels; give a pair of prompts per label")
    if scale <= 0:
        raise ConfigError(f"zero-shot: scale is {scale}; give 1 / temperature, a value above 0")
    image_NE = unit_rows(image_NE, "images")
    axis_LE = torch.stack([prompt_prototype(p.positive) - prompt_prototype(p.negative) for p in prompts.values()])
    score_NL = image_NE @ axis_LE.T
    return ZeroShot(score_NL.numpy(), torch.sigmoid(scale * score_NL).numpy(), tuple(prompts))


def prompt_variance(
    image_NE: Vectors, prompts: Mapping[str, PromptPair], labels_NL: NDArray[np.floating]
) -> PromptVariance:
    """How much the wording matters: score with the p-th phrasing of every label alone, for each p.

    labels_NL: columns in the order of `prompts`. Raises ConfigError when labels differ in their number of phrasings.
    """
    counts = {len(x_PE) for p in prompts.values() for x_PE in (p.positive, p.negative)}
    if len(counts) != 1:
        raise ConfigError(
            f"zero-shot: labels have {sorted(counts)} phrasings; their spread needs the same number for all"
        )
    single = []
    for i in range(counts.pop()):
        one = {name: PromptPair(p.positive[i : i + 1], p.negative[i : i + 1]) for name, p in prompts.items()}
        single.append(macro_auroc(zero_shot_scores(image_NE, one).score, labels_NL))
    std = float(np.std(single, ddof=1)) if len(single) > 1 else 0.0
    ensemble = macro_auroc(zero_shot_scores(image_NE, prompts).score, labels_NL)
    return PromptVariance(tuple(single), float(np.mean(single)), std, ensemble)
