"""Contrastive pretraining on images and sentences beats random weights in a linear probe with 1% of the labels.

ConVIRT (Zhang et al. 2020): one convolutional and one text encoder, two projections, InfoNCE with unequal directions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.harness import Rows, image_input, one_hot_labels, probe_auroc, text_input, train
from benchmarks.medical.shapes import POSITIONS, SHAPES, Pictures, pictures
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import OptimSettings
from core.data.text import TextProcessor
from core.training.setup import build_model, build_objective

METRIC = "macro_auroc"
VOCABULARY = 400  # upper bound of the tokenizer, rows of the embedding


@dataclass(frozen=True, slots=True)
class Design:
    """fraction: of the training labels that the probe sees, 32 of 3200."""

    train_rows: int = 3200
    test_rows: int = 1000
    fraction: float = 0.01
    steps: int = 400
    batch_size: int = 64
    lr: float = 2e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="convirt_probe",
        claim=(__doc__ or "").split("\n")[0],
        source="ConVIRT, Zhang et al. 2020 (MLHC 2022), linear classification at 1% labels",
        data=f"{len(SHAPES)} shapes x {len(POSITIONS)} positions, 32 px, template sentences",
        simulated=True,
        rule="mean over 12 labels of AUROC, linear probe on frozen features",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design), "model": model_node(), "objectives": objective_nodes()},
        comparisons=(Comparison(METRIC, "pretrained", "random weights"),),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    """Both arms with the data, the weights and the label subsets of one seed."""
    fit, test = pictures(design.train_rows, seed=seed), pictures(design.test_rows, seed=seed + 1000)
    words = TextProcessor(vocab_size=VOCABULARY, max_length=32)
    words.fit(fit.sentences)
    rows, held_out = as_rows(fit, words), as_rows(test, words)
    model = build_model(model_node(), seed)
    figures = {"random weights": _probe(model, rows, held_out, design)}
    objective = build_objective(objective_nodes(), seed)
    optim = OptimSettings(lr=design.lr, weight_decay=1e-6)
    train(model, objective, rows, steps=design.steps, batch_size=design.batch_size, optim=optim, seed=seed)
    return {**figures, "pretrained": _probe(model, rows, held_out, design)}


def as_rows(found: Pictures, words: TextProcessor) -> Rows:
    """Images, sentences, one label per shape and position; keys: `text` equal sentences, `kind` equal meaning."""
    text = text_input(found.sentences, words)
    labels = one_hot_labels(list(SHAPES), found.shape) | one_hot_labels(list(POSITIONS), found.position)
    keys = {"text": text.extra["text_id"], "kind": torch.from_numpy(found.kind)}
    return Rows({"image": image_input(found.images), "text": text}, labels, keys)


def model_node() -> dict[str, Any]:
    """ConVIRT with small encoders."""
    return {
        "class_path": "core.models.DualEncoder",
        "init_args": {
            "dim": 64,
            "encoders": {
                "picture": {
                    "class_path": "core.encoders.ConvNet",
                    "init_args": {
                        "name": "resnet18",
                        "channels": 1,
                        "options": {
                            "layers": [1, 1, 1, 1], "channels": [16, 32, 64, 128], "stem_type": "deep", "stem_width": 8,
                        },
                    },
                },
                "sentence": {
                    "class_path": "core.encoders.TextTransformer",
                    "init_args": {
                        "vocab_size": VOCABULARY, "max_length": 32, "width": 32, "depth": 1, "heads": 2, "prefix": 1,
                        "pool": {"class_path": "core.nn.MaxPool"},
                    },
                },
            },
            "modalities": {"image": "picture", "text": "sentence"},
            "projections": {
                "image": {"class_path": "core.models.MLPProjection", "init_args": {"width": 128, "dim": 64}},
                "text": {"class_path": "core.models.MLPProjection", "init_args": {"width": 32, "dim": 64}},
            },
        },
    }  # fmt: skip


def objective_nodes() -> list[dict[str, Any]]:
    """The paper's loss: temperature 0.1, three quarters of the weight from image to text."""
    return [
        {
            "class_path": "core.objectives.Pair",
            "init_args": {
                "rows": "image",
                "keys": "text",
                "directions": [0.75, 0.25],
                "target": {"class_path": "core.objectives.MaskedDuplicates", "init_args": {"key": "text"}},
                "scale": {"class_path": "core.objectives.FixedScale", "init_args": {"temperature": 0.1}},
            },
        }
    ]


def _probe(model: Any, rows: Rows, held_out: Rows, design: Design) -> dict[str, float]:
    found = probe_auroc(model, rows, held_out, "image", fraction=design.fraction)
    return {METRIC: found[METRIC]} | {
        f"auroc over {what}": sum(found[name] for name in names) / len(names)
        for what, names in (("shapes", list(SHAPES)), ("positions", list(POSITIONS)))
    }
