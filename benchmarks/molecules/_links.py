"""A packaged system of links trained on a layout in memory, and its filtered figures on the test split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Rows, train
from core.config.schema import OptimSettings
from core.config.tree import load_system
from core.data.layout import Layout
from core.evaluation.answers import AnswerScores, answer_scores
from core.training.cli import CONFIGS
from core.training.setup import build_model, build_objective, build_processors
from core.types import ModalityInput
from domains.molecules.kg import LinkEncoder, TripleProcessor
from domains.molecules.kg.ranking import both_ends, joined

SPLITS = ("train", "val", "test")


def system(name: str) -> dict[str, Any]:
    """The configuration tree of a packaged system."""
    return load_system(CONFIGS / "molecules" / "pretrain" / f"{name}.yaml")


def ranked_after_training(
    tree: Mapping[str, Any],
    layouts: Mapping[str, Layout],
    *,
    seed: int,
    steps: int,
    batch_size: int,
    optim: OptimSettings,
    split: str = "test",
) -> AnswerScores:
    """Train the system `tree` on the layouts' training split and rank both ends of the triples of `split`."""
    processor = build_processors(tree["data"]["processors"])["triple"]
    assert isinstance(processor, TripleProcessor)
    processor.read_tables(layouts["train"].tables)
    processor.fit(record.sources["triple"] for record in layouts["train"])
    triples = {
        split: np.stack([processor.load(record.sources["triple"])["triple"] for record in layouts[split]])
        for split in SPLITS
    }
    model, objective = build_model(tree["model"], seed), build_objective(tree["objectives"], seed)
    model.take({"triple": processor})
    rows = Rows({"triple": ModalityInput(torch.from_numpy(triples["train"]))}, {}, {})
    train(model, objective, rows, steps=steps, batch_size=batch_size, optim=optim, seed=seed)
    encoder = model.encoder_of("triple").eval()
    assert isinstance(encoder, LinkEncoder)
    assert encoder.graph is not None
    known = np.concatenate(list(triples.values()))
    return answer_scores(joined(both_ends(encoder, encoder.graph, triples[split], known)), n_bootstrap=1)
