"""With 10% of the labels, a pretrained encoder beats one from scratch: tags, one class per tile, and change.

Drives `finetune` with the configs multilabel (as BigEarthNet), scene_class (as EuroSAT) and change for every seed.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.commands import Launch, launch, pick
from benchmarks.remote_sensing._runs import finetuned, pretrained, size_of
from benchmarks.result import Comparison, Options, Result, per_seed

# config -> the figure that decides, and what is shown beside it
TASKS = {
    "multilabel": ("test/macro_map", "test/micro_map", "test/macro_f1", "test/micro_f1"),
    "scene_class": ("test/average_accuracy", "test/accuracy", "test/macro_f1"),
    "change": ("test/iou/changed", "test/f1/changed"),
}
ARMS = ("scratch", "pretrained")
FRACTION = 0.1


def run(options: Options, *, start: Launch = launch) -> Result:
    size = size_of(options)
    found = []
    for seed in options.seeds:
        source = pretrained("multimae_labels", seed, options, size, start=start)
        values: dict[str, dict[str, float]] = {arm: {} for arm in ARMS}
        for task, figures in TASKS.items():
            for arm in ARMS:
                words = ["--init", arm, "--label_fraction", str(FRACTION)]
                folder, summary = finetuned(f"{task}-{arm}", task, seed, source, options, size, words, start=start)
                picked = pick(summary, figures, folder)
                values[arm] |= {f"{task} {name.removeprefix('test/')}": value for name, value in picked.items()}
        found.append(values)
    decisive = [f"{task} {figures[0].removeprefix('test/')}" for task, figures in TASKS.items()]
    config: dict[str, Any] = {"size": asdict(size), "label_fraction": FRACTION, "run": str(options.run or "per seed")}
    return Result(
        name="classification",
        claim=(__doc__ or "").split("\n")[0],
        source="the suite's own claim; tasks after BigEarthNet, EuroSAT and FC-Siam (Daudt et al. 2018)",
        data="SyntheticScenes and SyntheticChanges (simulated), held-out places",
        simulated=True,
        rule="macro mAP; average accuracy; IoU of changed pixels",
        seeds=options.seeds,
        values=per_seed(found),
        config=config,
        comparisons=tuple(Comparison(metric, "pretrained", "scratch") for metric in decisive),
    )
