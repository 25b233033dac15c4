"""What entity linking reaches without a model: how often an entity was meant before, how alike names and words are.

Shape legend: Q = mentions, G = entities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from domains.molecules.linking.layouts import EntityLinkingFolder
from domains.molecules.linking.sources import parts_of

Rows = Callable[[slice], Tensor]  # mentions of a block -> (q, G) scores
PRIOR_SHARE = 1e-3  # of the most frequent entity: it decides between equal names and nothing else
DECIMALS = 5  # cosines that differ by rounding are ties


def baselines(layout: EntityLinkingFolder, rows: Sequence[int], train: EntityLinkingFolder | None) -> dict[str, Rows]:
    """Name -> scores. rows: records of the layout that are asked about. train: where frequencies are counted.

    by_prior: mentions of the training split about each entity. by_name: cosine of TF-IDF of letter groups of mention
    and name. by_name_and_prior: the same, equal names told apart by frequency. by_words: cosine of TF-IDF of words,
    mention and sentence against name and description.
    """
    written = [parts_of(str(layout.record(i).sources["mention"])) for i in rows]
    entities = layout.kb.entities
    names = _cosines([title for _, title, _ in written], [e.name for e in entities], analyzer="char_wb", grams=(2, 4))
    words = _cosines(
        [f"{title} {text}" for _, title, text in written],
        [f"{e.name} {e.description}" for e in entities],
        analyzer="word",
        grams=(1, 1),
    )
    count_G = np.bincount([] if train is None else train.answers, minlength=len(entities)).astype(np.float32)
    prior_G = torch.from_numpy(count_G / max(float(count_G.max()), 1.0))
    return {
        "by_prior": lambda part: prior_G.expand(part.stop - part.start, -1),
        "by_name": names,
        "by_name_and_prior": lambda part: names(part) + PRIOR_SHARE * prior_G,
        "by_words": words,
    }


def _cosines(asked: Sequence[str], known: Sequence[str], *, analyzer: str, grams: tuple[int, int]) -> Rows:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer=analyzer, ngram_range=grams)
    try:
        known_GF = vectors.fit_transform(known)
    except ValueError:  # not one word among all of them
        return lambda part: torch.zeros(part.stop - part.start, len(known))
    asked_QF = vectors.transform(asked)

    def scores(part: slice) -> Tensor:
        found: NDArray[np.float64] = (asked_QF[part] @ known_GF.T).toarray()
        return torch.from_numpy(np.round(found, DECIMALS).astype(np.float32))

    return scores
