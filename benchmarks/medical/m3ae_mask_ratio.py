"""Hiding 75% of the patches of low-frequency images teaches more than hiding 15%, at equal steps.

M3AE (Chen et al. 2022) after MAE (He et al. 2022): where neighbours tell almost everything about a patch, a few hidden
ones are filled in without knowing what the image shows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.harness import Rows, image_input, one_hot_labels, probe_auroc, train
from benchmarks.medical.waves import NAMES, Waves, waves
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import OptimSettings
from core.training.setup import build_model, build_objective

METRIC = "macro_auroc"
RATIOS = {"15% hidden": 0.15, "75% hidden": 0.75}
PATCH, WIDTH = 8, 48


@dataclass(frozen=True, slots=True)
class Design:
    """fraction: of the training labels that the probe sees."""

    train_rows: int = 2000
    test_rows: int = 1000
    fraction: float = 0.1
    steps: int = 600
    batch_size: int = 64
    lr: float = 3e-3


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="m3ae_mask_ratio",
        claim=(__doc__ or "").split("\n")[0],
        source="M3AE, Chen et al. 2022 (MICCAI), mask ratio of images",
        data=f"{len(NAMES)} kinds of plane wave among smooth clutter, 32 px",
        simulated=True,
        rule=f"mean over {len(NAMES)} labels of AUROC, linear probe on frozen features, {design.fraction:.0%} labels",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={
            "design": asdict(design),
            "model": model_node(),
            "objectives": {arm: objective_nodes(ratio) for arm, ratio in RATIOS.items()},
        },
        comparisons=(Comparison(METRIC, "75% hidden", "15% hidden"),),
        notes=("Equal steps favour neither side in updates; hiding 75% also costs less time per step.",),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    """Both ratios and the untrained encoder, with the data, the weights and the batches of one seed."""
    rows, held_out = as_rows(waves(design.train_rows, seed=seed)), as_rows(waves(design.test_rows, seed=seed + 1000))
    found = {"random weights": _probe(build_model(model_node(), seed), rows, held_out, design)}
    for arm, ratio in RATIOS.items():
        model, objective = build_model(model_node(), seed), build_objective(objective_nodes(ratio), seed)
        optim = OptimSettings(lr=design.lr)
        train(model, objective, rows, steps=design.steps, batch_size=design.batch_size, optim=optim, seed=seed)
        found[arm] = _probe(model, rows, held_out, design)
    return found


def as_rows(found: Waves) -> Rows:
    return Rows({"image": image_input(found.images)}, one_hot_labels(NAMES, found.kind), {})


def model_node() -> dict[str, Any]:
    """One small vision transformer."""
    return {
        "class_path": "core.models.DualEncoder",
        "init_args": {
            "dim": 16,
            "encoders": {
                "picture": {
                    "class_path": "core.encoders.ImageTransformer",
                    "init_args": {
                        "image_size": 32, "patch": PATCH, "channels": 1, "width": WIDTH, "depth": 3, "heads": 3,
                    },
                },
            },
            "modalities": {"image": "picture"},
        },
    }  # fmt: skip


def objective_nodes(ratio: float) -> list[dict[str, Any]]:
    grid = [32 // PATCH] * 2
    decoder = {
        "input_width": WIDTH, "patch": [PATCH] * 2, "grid": grid, "channels": 1, "width": 32, "depth": 1, "heads": 2,
    }  # fmt: skip
    return [
        {
            "class_path": "core.objectives.MaskedImage",
            "init_args": {
                "modality": "image",
                "ratio": ratio,
                "decoder": {"class_path": "core.objectives.MaskedImageDecoder", "init_args": decoder},
            },
        }
    ]


def _probe(model: Any, rows: Rows, held_out: Rows, design: Design) -> dict[str, float]:
    return {METRIC: probe_auroc(model, rows, held_out, "image", fraction=design.fraction)[METRIC]}
