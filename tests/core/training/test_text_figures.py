"""Retrieval per language and by worth, on vectors whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from core.training.features import Features
from core.training.text_figures import graded_figures, language_figures

COMMON = {"split": "test", "n_bootstrap": 5, "seed": 0}


def features(rows=8, second=(1, 3, 4, 6, 7), labels=True):
    """Image row i is the unit vector e_i; the first language says the same, the second answers with the next row."""
    e = np.eye(rows, dtype=np.float32)
    second = np.array(second)
    found = Features(
        [str(i) for i in range(rows)], np.arange(rows) // 2, ("a", "b") if labels else (),
        np.stack([np.arange(rows) % 2, np.ones(rows)], 1).astype(float) if labels else np.zeros((rows, 0)),
    )  # fmt: skip
    found.vectors = {"image": e, "en": e, "de": np.roll(e[second], 1, axis=0)}
    found.rows = {"image": np.arange(rows), "en": np.arange(rows), "de": second}
    return found


def test_languages_are_compared_on_rows_that_have_all_of_them():
    figures = language_figures(features(), "image", {"en": "en", "de": "de"}, **COMMON)
    assert figures is not None
    both = figures.retrieval["text_to_image"]
    assert both["en"].pool_size == both["de"].pool_size == 5
    assert both["en"].chance_recall[1] == both["de"].chance_recall[1] == pytest.approx(1 / 5)
    assert (both["en"].recall[1].value, both["de"].recall[1].value) == (1, 0)
    assert np.array_equal(both["en"].rank, np.ones(5))
    flat = figures.flat()
    assert flat["text_to_image/en/R@1"] == 1
    assert flat["text_to_image/R@1_spread"] == 1
    assert flat["image_to_text/MRV"] > 0


def test_too_few_rows_give_no_figure():
    few = features(second=(1, 3, 4))
    assert language_figures(few, "image", {"en": "en", "de": "de"}, **COMMON) is None
    assert language_figures(few, "image", {"en": "en", "fr": "fr"}, **COMMON) is None


def test_worth_is_that_of_shared_labels():
    figures = graded_figures(features(), "image", "en", "shared", **COMMON)
    assert set(figures) == {"image_to_en", "en_to_image"}
    scores = figures["en_to_image"]
    assert 0 < scores.ndcg[10].value <= 1
    # row 0 has label b alone, and every row is worth 1: any order is perfect
    assert scores.each[10][0] == pytest.approx(1)
    assert graded_figures(features(labels=False), "image", "en", "shared", **COMMON) == {}
    assert graded_figures(features(), "radar", "en", "shared", **COMMON) == {}
