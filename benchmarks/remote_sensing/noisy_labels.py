"""CromSS learns more from noisy label maps than training on them as they are, and believes the better labels.

Both arms have the towers, the scenes, the first weights, the batches and the number of steps of their seed; they differ
in the objective alone: that of the packaged system against cross-entropy + Dice on the noisy labels. A seed learns from
places of its own, and is scored on places of its own. Shape legend: B = rows, K = classes, H, W = pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.harness import train_on
from benchmarks.result import Comparison, Options, Result, per_seed
from core.config.schema import DataSettings, OptimSettings
from core.config.tree import Tree, find_system, load_system
from core.data.datamodule import DataModule
from core.data.layout import Layout
from core.errors import ConfigError
from core.evaluation.maps import confusion, iou
from core.models.dual_encoder import DualEncoder
from core.objectives import Objective, PixelLabels, Step
from core.objectives.base import StepModel
from core.training import setup
from core.training.cli import CONFIGS
from core.types import Batch

CROMSS, PLAIN = "CromSS", "plain"
CLEAN, NOISY = "clean", "dw"
BOTH = "both"
WRONG = "wrong labels"
Found = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Design:
    """places: simulated ones of a seed, four dates each: every seed takes the next ones of the embedded data set, of
    which layout_args may ask for another. Steps, batches and learning rate are those of both arms."""

    train_places: int = 60
    test_places: int = 20
    layout_args: dict[str, Any] = field(default_factory=dict)
    steps: int = 150
    batch_size: int = 16
    lr: float = 2e-3
    system: str = "cromss"


def run(options: Options, design: Design | None = None) -> Result:
    design = Design() if design is None else design
    return Result(
        name="noisy_labels",
        claim=(__doc__ or "").split("\n")[0],
        source="CromSS (Liu et al. 2025)",
        data=f"SyntheticScenes, {design.train_places} places x 4 dates with simulated Dynamic-World-like label noise",
        simulated=True,
        rule=(
            f"mean IoU over the classes that occur, clean labels of {design.test_places} held-out places x 4 dates; "
            "both: the mean of the sensors' probabilities. Wrong labels: share among the training pixels with "
            "selection weight 1 (believed) and among the others"
        ),
        seeds=options.seeds,
        values=per_seed([one_seed(seed, design) for seed in options.seeds]),
        config={"design": asdict(design), "system": system(design), "objectives": {PLAIN: plain_terms(design)}},
        comparisons=(
            *(Comparison(f"mIoU {name}", CROMSS, PLAIN) for name in (BOTH, "s1", "s2")),
            *(Comparison(WRONG, f"believed {name}", f"rest {name}", "lower") for name in ("s1", "s2")),
        ),
    )


def one_seed(seed: int, design: Design) -> Found:
    data = scenes(design, seed)
    found: Found = {}
    for arm in (CROMSS, PLAIN):
        terms = system(design)["objectives"] if arm == CROMSS else plain_terms(design)
        model, objective = setup.build_model(system(design)["model"], seed), setup.build_objective(terms, seed)
        train_on(
            model, objective, data.train_loader, steps=design.steps,
            optim=OptimSettings(lr=design.lr, weight_decay=system(design).get("optim", {}).get("weight_decay", 0.05)),
            seed=seed,
        )  # fmt: skip
        model.eval()
        found[arm] = scores(model, objective, data)
        if arm == CROMSS:
            found |= believed(model, objective, data)
    return found


def system(design: Design) -> Tree:
    """The packaged system."""
    return load_system(find_system(design.system, CONFIGS / "remote_sensing" / "pretrain"))


def plain_terms(design: Design) -> list[Tree]:
    """The system's label terms without what it knows about noise, and no term besides them."""
    kept = []
    for term in system(design)["objectives"]:
        if term["class_path"].endswith(".PixelLabels"):
            arguments = {k: v for k, v in term["init_args"].items() if k not in ("smoothing", "selection")}
            kept.append({**term, "init_args": arguments})
    return kept


def scenes(design: Design, seed: int) -> DataModule:
    """A seed's places, with noisy and clean labels; read when first asked for."""
    settings = DataSettings(batch_size=design.batch_size, layout_args=design.layout_args)
    layouts = setup.build_layouts("remote_sensing", settings)
    objective = setup.build_objective(system(design)["objectives"], seed)
    data = DataModule(
        layouts, setup.build_processors(system(design)["data"]["processors"]), settings, seed=seed,
        masks=tuple(dict.fromkeys((*objective.masks, CLEAN))), mask_of=("s1", "s2"),
    )  # fmt: skip
    data.fit_processors()
    for split, count in (("train", design.train_places), ("test", design.test_places)):
        data.indices[split] = share_of(layouts[split], seed, count)
    return data


def share_of(layout: Layout, seed: int, count: int) -> list[int]:
    """Records of the `count` places that are a seed's; seeds take turns, and begin again when there are no more."""
    groups = [layout.record(index).group for index in range(len(layout))]
    places = list(dict.fromkeys(groups))
    turns = len(places) // count
    if turns == 0:
        raise ConfigError(f"noisy_labels: {count} places of a seed, the split has {len(places)}")
    own = set(places[seed % turns * count : (seed % turns + 1) * count])
    return [index for index, group in enumerate(groups) if group in own]


@torch.no_grad()
def scores(model: DualEncoder, objective: Objective, data: DataModule) -> dict[str, float]:
    """Mean IoU on the clean labels of the test places, from each sensor and from both."""
    total: dict[str, NDArray[np.int64]] = {}
    for batch in data.eval_loader("test"):
        probability = {name: p.softmax(1) for name, p in logits(model, objective, batch).items()}
        for name, p_BKHW in {**probability, BOTH: torch.stack(list(probability.values())).mean(0)}.items():
            counts = confusion(p_BKHW.argmax(1).numpy(), batch.masks[CLEAN].numpy(), p_BKHW.shape[1])
            total[name] = total.get(name, 0) + counts
    return {f"mIoU {name}": float(np.nanmean(iou(counts.astype(float)))) for name, counts in total.items()}


@torch.no_grad()
def believed(model: DualEncoder, objective: Objective, data: DataModule) -> Found:
    """Share of wrong labels among the training pixels that the final selection believes, and among the others."""
    right: dict[str, list[Tensor]] = {}
    for batch in data.eval_loader("train"):
        step = seen(model, batch)
        wrong_BHW = batch.masks[NOISY] != batch.masks[CLEAN]
        for term in label_terms(objective):
            pixels = term.view(step)
            assert pixels is not None
            assert term.selection is not None
            full_BHW = term.selection(step, pixels, batch.masks[NOISY]) >= 1
            for name, chosen in ((f"believed {term.view.name}", full_BHW), (f"rest {term.view.name}", ~full_BHW)):
                right.setdefault(name, []).append(wrong_BHW[chosen])
    return {name: {WRONG: float(torch.cat(parts).float().mean())} for name, parts in right.items()}


def logits(model: DualEncoder, objective: Objective, batch: Batch) -> dict[str, Tensor]:
    """Sensor -> (B, K, H, W); every simulated row has both."""
    step = seen(model, batch)
    found = {term.view.name: term.view(step) for term in label_terms(objective)}
    return {name: pixels.main for name, pixels in found.items() if pixels is not None}


def seen(model: DualEncoder, batch: Batch) -> Step:
    return Step(model=cast(StepModel, model), batch=batch, index=0, generator=torch.Generator())


def label_terms(objective: Objective) -> list[PixelLabels]:
    return [term for term in objective.terms.values() if isinstance(term, PixelLabels)]
