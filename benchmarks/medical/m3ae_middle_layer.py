"""Decoding masked images from a middle fusion layer leaves the last better at matching than decoding from the last.

M3AE (Chen et al. 2022): masked text and image (jointly, as in the paper) and image-text matching over a co-attention
fusion. A short contrastive training of the encoders stands in for the paper's pretrained CLIP and RoBERTa.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import nn

from benchmarks.harness import Rows, train
from benchmarks.medical.convirt_probe import VOCABULARY, as_rows
from benchmarks.medical.shapes import POSITIONS, SHAPES, pictures
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import OptimSettings
from core.data.text import TextProcessor
from core.models.dual_encoder import DualEncoder
from core.objectives import Objective, Step, StepModel
from core.training.setup import build_model, build_objective

METRIC = "matching accuracy"
DEPTH, MIDDLE, WIDTH, PATCH = 2, 1, 48, 8
LAYERS = {"decoded from the last layer": -1, "decoded from the middle": MIDDLE}
LOGGED = {
    METRIC: "matching_image_text/accuracy",
    "matching loss": "matching_image_text/loss",
    "masked image error": "masked_image_text/image",
}
ROUNDS = 2  # draws of false pairs over the held-out rows


@dataclass(frozen=True, slots=True)
class Design:
    """first_*: the contrastive training of the encoders, which both arms start from."""

    train_rows: int = 1600
    test_rows: int = 640
    noise: float = 0.05
    first_steps: int = 300
    first_batch_size: int = 64
    first_lr: float = 2e-3
    steps: int = 160
    batch_size: int = 48
    lr: float = 1e-3


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
    start = aligned_encoders(rows, design, seed)
    optim = OptimSettings(lr=design.lr)
    found = {}
    for arm, layer in LAYERS.items():
        model, objective = copy.deepcopy(start), build_objective(objective_nodes(layer), seed)
        train(model, objective, rows, steps=design.steps, batch_size=design.batch_size, optim=optim, seed=seed)
        found[arm] = held_out_values(model, objective, held_out, seed=seed, batch_size=design.batch_size)
    return found


def aligned_encoders(rows: Rows, design: Design, seed: int) -> DualEncoder:
    """The model that both arms start from: encoders trained by contrast, a fresh fusion.

    The fusion starts from Xavier's uniform weights. The suite's deviation of 0.02 is that of models 768 wide; at a
    width of 48 it is so small that matching stays at ln 2 for hundreds of steps, whatever images are decoded from.
    """
    model, objective = build_model(model_node(), seed), build_objective(contrast_nodes(), seed)
    optim, size = OptimSettings(lr=design.first_lr), design.first_batch_size
    train(model, objective, rows, steps=design.first_steps, batch_size=size, optim=optim, seed=seed)
    assert model.fusion is not None
    generator = torch.Generator().manual_seed(seed)
    for part in model.fusion.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight, generator=generator)
    return model


@torch.no_grad()
def held_out_values(
    model: DualEncoder, objective: Objective, rows: Rows, *, seed: int, batch_size: int
) -> dict[str, float]:
    """Mean over held-out batches of the matching accuracy, of its loss and of the masked-image error."""
    model.eval()
    objective.eval()
    figures = []
    for turn in range(ROUNDS):
        for index, batch in enumerate(rows.batches(batch_size)):
            generator = torch.Generator().manual_seed((seed * ROUNDS + turn) * 100_000 + index)
            step = Step(model=cast(StepModel, model), batch=batch, index=index, generator=generator)
            logs = objective(step)[1]
            figures.append([float(logs[name]) for name in LOGGED.values()])
    return {name: sum(column) / len(column) for name, column in zip(LOGGED, zip(*figures, strict=True), strict=True)}


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
                        "image_size": 32, "patch": PATCH, "channels": 1, "width": WIDTH, "depth": 2, "heads": 3,
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


def contrast_nodes() -> list[dict[str, Any]]:
    """What stands in for the paper's pretrained encoders (CLIP and RoBERTa)."""
    scale = {"class_path": "core.objectives.FixedScale", "init_args": {"temperature": 0.1}}
    target = {"class_path": "core.objectives.Equality", "init_args": {"key": "kind"}}
    init_args = {"rows": "image", "keys": "text", "target": target, "scale": scale}
    return [{"class_path": "core.objectives.Pair", "init_args": init_args}]


def objective_nodes(layer: int) -> list[dict[str, Any]]:
    """The paper's three terms with equal weights; layer: of the fusion, from which masked images are decoded."""
    grid = [32 // PATCH] * 2
    decoder = {
        "input_width": WIDTH, "patch": [PATCH] * 2, "grid": grid, "channels": 1, "width": 32, "depth": 1, "heads": 2,
    }  # fmt: skip
    image = {
        "modality": "image",
        "ratio": 0.75,
        "source": _source("text", layer),
        "decoder": {"class_path": "core.objectives.MaskedImageDecoder", "init_args": decoder},
    }
    text = {
        "modality": "text", "width": WIDTH, "vocab_size": VOCABULARY, "ratio": 0.15, "source": _source("image", -1),
    }  # fmt: skip
    return [
        {
            "class_path": "core.objectives.JointMasked",
            "init_args": {
                "image": {"class_path": "core.objectives.MaskedImage", "init_args": image},
                "text": {"class_path": "core.objectives.MaskedText", "init_args": text},
            },
        },
        {
            "class_path": "core.objectives.Matching",
            "init_args": {"first": "image", "second": "text", "width": 2 * WIDTH, "keys": ["sample", "kind"]},
        },
    ]


def _source(partner: str, layer: int) -> dict[str, Any]:
    return {"class_path": "core.objectives.FromFusion", "init_args": {"partner": partner, "layer": layer}}
