"""Retrieval by text beyond right and wrong, and in each language, as figures of a pretrained model.

Shape legend: N = rows of the split, n = rows that hold what is compared, E = width of the shared space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation import LanguageConsistency, RetrievalScores, cosine_scores, language_consistency
from core.evaluation.graded import GradedScores, Relevance, graded_scores
from core.evaluation.retrieval import retrieval_scores
from core.training.features import Features

MIN_ROWS = 4
KS = (10, 100)  # cut-offs of nDCG


@dataclass(slots=True)
class LanguageFigures:
    """One image modality. retrieval[direction][language]: rows that hold the image and all languages, so that pools and
    chance are equal. consistency[direction]: how a row's rank differs between languages."""

    retrieval: dict[str, dict[str, RetrievalScores]] = field(default_factory=dict)
    consistency: dict[str, LanguageConsistency] = field(default_factory=dict)

    def flat(self) -> dict[str, float]:
        """`<direction>/<language>/R@5`, `<direction>/MRV`, ..."""
        out: dict[str, float] = {}
        for direction, by_language in self.retrieval.items():
            for language, scores in by_language.items():
                out |= {f"{direction}/{language}/{k}": v for k, v in scores.flat().items()}
            out |= {f"{direction}/{k}": v for k, v in self.consistency[direction].flat().items()}
        return out


def language_figures(
    found: Features, image: str, texts: Mapping[str, str], *, split: str, n_bootstrap: int, seed: int
) -> LanguageFigures | None:
    """Both directions of retrieval between an image and each of `texts` (language -> modality); None when fewer than
    `MIN_ROWS` rows hold all of them. Only rows of one pool compare languages, so others are left out."""
    if any(modality not in found.rows for modality in (image, *texts.values())):
        return None
    rows = found.rows[image]
    for modality in texts.values():
        rows = np.intersect1d(rows, found.rows[modality], assume_unique=True)
    if len(rows) < MIN_ROWS:
        return None
    common: dict[str, Any] = {"groups_Q": found.groups[rows], "split": split, "n_bootstrap": n_bootstrap, "seed": seed}
    image_nE, result = vectors_of(found, image, rows), LanguageFigures()
    for language, modality in texts.items():
        text_nE = vectors_of(found, modality, rows)
        keys_n = found.keys.get(modality, np.arange(len(found.ids)))[rows]
        for direction, q, g in (("image_to_text", image_nE, text_nE), ("text_to_image", text_nE, image_nE)):
            scores = retrieval_scores(q, g, keys_n, keys_n, **common)
            result.retrieval.setdefault(direction, {})[language] = scores
    for direction, by_language in result.retrieval.items():
        result.consistency[direction] = language_consistency(
            {language: scores.rank for language, scores in by_language.items()},
            groups_N=found.groups[rows], n_bootstrap=n_bootstrap, seed=seed,
        )  # fmt: skip
    return result


def graded_figures(
    found: Features, image: str, text: str, relevance: Relevance, *, split: str, n_bootstrap: int, seed: int
) -> dict[str, GradedScores]:
    """nDCG of both directions by the labels of the rows: {"s2_to_text": ..., "text_to_s2": ...}; empty when the split
    holds too few pairs, or no labels that would make one row worth more than another."""
    if image not in found.rows or text not in found.rows:
        return {}
    of_image, of_text, rows = found.paired(image, text)
    if len(rows) < MIN_ROWS or not found.label_names:
        return {}
    a, b = found.vectors[image][of_image], found.vectors[text][of_text]
    labels, out = found.labels[rows], {}
    for name, q, g in ((f"{image}_to_{text}", a, b), (f"{text}_to_{image}", b, a)):
        try:
            out[name] = graded_scores(
                cosine_scores(q, g), labels, labels, relevance=relevance, ks=KS, groups_Q=found.groups[rows],
                split=split, n_bootstrap=n_bootstrap, seed=seed,
            )  # fmt: skip
        except DataError:  # no row has any label
            return {}
    return out


def vectors_of(found: Features, modality: str, rows: NDArray[np.int64]) -> torch.Tensor:
    """(n, E) vectors of these rows of the split, all of which hold the modality."""
    return torch.from_numpy(found.vectors[modality][np.searchsorted(found.rows[modality], rows)])
