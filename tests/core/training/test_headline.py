"""The first figures of a run are about its own modalities."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.errors import CheckpointError
from core.evaluation.classification import macro_auprc, macro_auroc
from core.training import checkpoint
from core.training.reporting import directions, headline

FIGURES = {"test/retrieval/image_to_text/R@5": 0.25, "test/retrieval/text_to_image/R@5": 0.5}


def test_lines_name_the_modalities_of_the_run():
    lines = headline(FIGURES | {"modality/image": "graph", "modality/text": "description"})
    assert [line.split()[:4] for line in lines] == [
        ["graph", "->", "description", "R@5"],
        ["description", "->", "graph", "R@5"],
    ]


@pytest.mark.parametrize("known", [{}, {"modality/image": "", "modality/text": ""}])
def test_a_stored_run_without_names_reads_as_it_did(known):
    assert [line.split()[0] for line in headline(FIGURES | known)] == ["image", "text"]
    assert directions(known) == {"image_to_text": ("image", "text"), "text_to_image": ("text", "image")}


def saved(folder, module, step, best):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    checkpoint.save(folder, step=step, module=module, optimizer=optimizer, facts={}, keep=best,
                    progress={"best": {"step": best, "value": 1.0}})  # fmt: skip


def test_the_weights_of_the_best_step_are_taken(tmp_path):
    module = nn.Linear(2, 1)
    for step in (1, 2, 3, 4):
        nn.init.constant_(module.weight, float(step))
        saved(tmp_path, module, step, best=2 if step >= 2 else None)
    assert checkpoint.take_best(tmp_path, module) == 2
    assert (module.weight == 2).all()
    with pytest.raises(CheckpointError, match="no checkpoint of step 1"):
        checkpoint.load_step(tmp_path, 1)  # two are kept, and the best
    (tmp_path / "step-00000002" / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoint.take_best(tmp_path, module)


def test_without_a_validation_the_weights_stay(tmp_path):
    module = nn.Linear(2, 1)
    saved(tmp_path, module, 1, best=None)
    nn.init.constant_(module.weight, 7.0)
    assert checkpoint.take_best(tmp_path, module) is None
    assert (module.weight == 7).all()


def test_a_label_that_no_row_has_is_left_out_of_the_mean():
    import numpy as np

    score = np.array([[0.9, 0.5], [0.1, 0.5], [0.8, 0.1]])
    label = np.array([[1.0, np.nan], [0.0, np.nan], [0.0, np.nan]])
    assert macro_auroc(score, label) == 1.0
    assert macro_auprc(score, label) == 1.0
    assert np.isnan(macro_auprc(score[:, 1:], label[:, 1:]))


def test_a_label_without_a_known_row_has_no_average_precision():
    import numpy as np

    from core.evaluation.classification import RankedLabel
    from core.evaluation.multilabel import multilabel_scores

    none = RankedLabel(np.array([0.3, 0.7]), np.array([np.nan, np.nan]))
    assert np.isnan(none.auroc(np.ones((3, 2)))).all()
    assert np.isnan(none.auprc(np.ones((3, 2)))).all()
    score = np.array([[0.9, 0.2], [0.1, 0.6]])
    scores = multilabel_scores(score, np.array([[1.0, np.nan], [0.0, np.nan]]), n_bootstrap=2)
    assert scores["macro_map"].value == 1.0
