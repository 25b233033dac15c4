"""Decoding masked images from a middle fusion layer leaves the last better at matching than decoding from the last.

M3AE (Chen et al. 2022): masked text, masked image and image-text matching over a co-attention fusion of the two.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

import torch

from benchmarks.harness import Rows, train
from benchmarks.medical.convirt_probe import VOCABULARY, as_rows
from benchmarks.medical.shapes import POSITIONS, SHAPES, pictures
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import OptimSettings
from core.data.text import TextProcessor
from core.models.dual_encoder import DualEncoder
from core.objectives import Matching, Objective, Step, StepModel, Term
from core.training.setup import build_model, build_objective

METRIC = "matching accuracy"
DEPTH, MIDDLE, WIDTH, PATCH = 2, 1, 48, 8
LAYERS = {"decoded from the last layer": -1, "decoded from the middle": MIDDLE}
ROUNDS = 3  # draws of false pairs over the held-out rows


@dataclass(frozen=True, slots=True)
class Design:
    train_rows: int = 1600
    test_rows: int = 640
    noise: float = 0.05
    steps: int = 400
    batch_size: int = 32
    lr: float = 2e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    middle, last = reversed(LAYERS)
    return Result(
        name="m3ae_middle_layer",
        claim=(__doc__ or "").split("\n")[0],
        source="M3AE, Chen et al. 2022 (MICCAI), image decoded from co-attention layer 3 of 6",
        data=f"{len(SHAPES)} shapes x {len(POSITIONS)} positions, 32 px, template sentences",
        simulated=True,
        rule="accuracy of the matching head on held-out pairs, half of them false (chance 0.5)",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={
            "design": asdict(design),
            "model": model_node(),
            "objectives": {arm: objective_nodes(layer) for arm, layer in LAYERS.items()},
        },
        comparisons=(Comparison(METRIC, middle, last),),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    """Both arms with the data, the weights and the batches of one seed."""
    fit, test = (
        pictures(count, seed=seed + shift, noise=design.noise)
        for count, shift in ((design.train_rows, 0), (design.test_rows, 1000))
    )
    words = TextProcessor(vocab_size=VOCABULARY, max_length=32)
    words.fit(fit.sentences)
    rows, held_out = as_rows(fit, words), as_rows(test, words)
    found = {}
    for arm, layer in LAYERS.items():
        model, objective = build_model(model_node(), seed), build_objective(objective_nodes(layer), seed)
        optim = OptimSettings(lr=design.lr)
        train(model, objective, rows, steps=design.steps, batch_size=design.batch_size, optim=optim, seed=seed)
        found[arm] = held_out_values(model, objective, held_out, seed=seed, batch_size=design.batch_size)
    return found


@torch.no_grad()
def held_out_values(
    model: DualEncoder, objective: Objective, rows: Rows, *, seed: int, batch_size: int
) -> dict[str, float]:
    """Mean over held-out batches of the matching accuracy, of its loss and of the masked-image error."""
    model.eval()
    objective.eval()
    matching = next(term for term in objective.terms.values() if isinstance(term, Matching))
    masked = cast(Term, objective.terms["masked_image"])
    accuracy, loss, error = [], [], []
    for turn in range(ROUNDS):
        for index, batch in enumerate(rows.batches(batch_size)):
            generator = torch.Generator().manual_seed((seed * ROUNDS + turn) * 100_000 + index)
            step = Step(model=cast(StepModel, model), batch=batch, index=index, generator=generator)
            values = matching(step)
            accuracy.append(float(values["accuracy"]))
            loss.append(float(values["loss"]))
            error.append(float(masked(step)["loss"]))
    names = (METRIC, "matching loss", "masked image error")
    return {name: sum(found) / len(found) for name, found in zip(names, (accuracy, loss, error), strict=True)}


def model_node() -> dict[str, Any]:
    """M3AE with small encoders: two co-attention layers where the paper has six."""
    return {
        "class_path": "core.models.DualEncoder",
        "init_args": {
            "dim": 32,
            "encoders": {
                "picture": {
                    "class_path": "core.encoders.ImageTransformer",
                    "init_args": {
                        "image_size": 32, "patch": PATCH, "channels": 1, "width": WIDTH, "depth": 1, "heads": 3,
                    },
                },
                "sentence": {
                    "class_path": "core.encoders.TextTransformer",
                    "init_args": {
                        "vocab_size": VOCABULARY, "max_length": 32, "width": WIDTH, "depth": 1, "heads": 3, "prefix": 1,
                    },
                },
            },
            "modalities": {"image": "picture", "text": "sentence"},
            "fusion": {
                "class_path": "core.fusion.CoAttention",
                "init_args": {
                    "width": WIDTH, "depth": DEPTH, "heads": 3, "inputs": {"image": WIDTH, "text": WIDTH},
                    "dropout": 0.0,
                },
            },
        },
    }  # fmt: skip


def objective_nodes(layer: int) -> list[dict[str, Any]]:
    """The paper's three terms with equal weights; layer: of the fusion, from which masked images are decoded."""

    def source(partner: str, at: int) -> dict[str, Any]:
        return {"class_path": "core.objectives.FromFusion", "init_args": {"partner": partner, "layer": at}}

    grid = [32 // PATCH] * 2
    decoder = {
        "input_width": WIDTH, "patch": [PATCH] * 2, "grid": grid, "channels": 1, "width": 32, "depth": 1, "heads": 2,
    }  # fmt: skip
    return [
        {
            "class_path": "core.objectives.MaskedText",
            "init_args": {
                "modality": "text", "width": WIDTH, "vocab_size": VOCABULARY, "ratio": 0.15,
                "source": source("image", -1),
            },
        },
        {
            "class_path": "core.objectives.MaskedImage",
            "init_args": {
                "modality": "image",
                "ratio": 0.75,
                "source": source("text", layer),
                "decoder": {"class_path": "core.objectives.MaskedImageDecoder", "init_args": decoder},
            },
        },
        {
            "class_path": "core.objectives.Matching",
            "init_args": {"first": "image", "second": "text", "width": 2 * WIDTH, "keys": ["sample", "kind"]},
        },
    ]  # fmt: skip
