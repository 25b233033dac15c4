"""Features drift slowly once training has warmed up, which is what lets a memory of old batches (XBM) serve as keys.

The same inputs are embedded at intervals of a run at a constant rate, so that it is not the schedule that slows them
down; the cosine of their vectors one interval apart is compared between the start and after the warm-up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor

from benchmarks.harness import Rows
from benchmarks.objectives.latents import latent_pairs
from benchmarks.objectives.towers import Node, node, rows, towers, trained, vectors
from benchmarks.result import Comparison, Options, Result, per_seed
from core.models.dual_encoder import DualEncoder

START, WARM, END = "from the start", "after warm-up", "at the end"
METRIC = "cosine one interval apart"


@dataclass(frozen=True, slots=True)
class Design:
    """interval: steps between the features that are compared. warm_up: steps before the memory would be used. Both are
    1000 in the paper's long runs."""

    train_rows: int = 2000
    test_rows: int = 500
    features: int = 32
    latent: int = 12
    noise: float = 0.2
    hidden: int = 128
    dim: int = 24
    interval: int = 100
    warm_up: int = 200
    steps: int = 600
    batch_size: int = 64
    lr: float = 1e-3


class Snapshots(L.Callback):
    """Vectors of `data` at the given steps, by step."""

    def __init__(self, data: Rows, steps: set[int]) -> None:
        self.data, self.steps = data, steps
        self.at: dict[int, Tensor] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._take(0, pl_module.model)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        self._take(trainer.global_step, pl_module.model)

    def _take(self, step: int, model: DualEncoder) -> None:
        if step in self.steps:
            self.at[step] = torch.as_tensor(vectors(model, self.data, ["image"]).vectors["image"]).clone()


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="xbm_drift",
        claim=(__doc__ or "").split("\n")[0],
        source="XBM (Wang et al. 2020), the slow drift of figure 3",
        data="noisy images of one latent in two modalities",
        simulated=True,
        rule=f"mean cosine of a held-out image's vectors {design.interval} steps apart, from step 0, {design.warm_up} "
        f"and {design.steps - design.interval}; InfoNCE at a constant rate",
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design), "model": model(design), "objectives": terms()},
        comparisons=(Comparison(METRIC, WARM, START), Comparison(METRIC, END, WARM)),
    )


def one_seed(seed: int, design: Design) -> dict[str, dict[str, float]]:
    known, held_out = latent_pairs(
        (design.train_rows, design.test_rows), seed=seed, latent=design.latent, features=design.features,
        noise=design.noise,
    )  # fmt: skip
    firsts = {START: 0, WARM: design.warm_up, END: design.steps - design.interval}
    taken = Snapshots(
        rows({"image": held_out["image"]}), {s + d for s in firsts.values() for d in (0, design.interval)}
    )
    trained(
        model(design), terms(), rows(known), seed=seed, steps=design.steps, batch_size=design.batch_size, lr=design.lr,
        schedule="constant", callbacks=[taken],
    )  # fmt: skip
    return {
        arm: {METRIC: float((taken.at[first] * taken.at[first + design.interval]).sum(1).mean())}
        for arm, first in firsts.items()
    }


def model(design: Design) -> Node:
    return towers(dict.fromkeys(("image", "text"), design.features), dim=design.dim, widths=[design.hidden])


def terms() -> list[Node]:
    return [node("Pair", rows="image", keys="text", scale=node("FixedScale", temperature=0.07))]
