"""CLOSP finds held-out scenes by a sentence far above chance, in optical and in radar images.

Drives `pretrain --config closp` for every seed; its own evaluation ranks held-out images for captions.
"""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.commands import Launch, launch, pick, run_command
from benchmarks.remote_sensing._runs import DOMAIN, common, size_of
from benchmarks.result import Comparison, Options, Result, per_seed

FIGURES = ("R@5", "R@5_chance")
DIRECTION = "test/retrieval/text_to_image"


def run(options: Options, *, start: Launch = launch) -> Result:
    size = size_of(options)
    found = []
    for seed in options.seeds:
        values: dict[str, dict[str, float]] = {"closp": {}, "chance": {}}
        for image in ("s2", "s1"):
            folder = options.folder.absolute() / f"closp-{image}-seed{seed}"
            words = ["--config", "closp", "--seed", str(seed), "--evaluation.image", image, *options.overrides]
            summary = run_command(DOMAIN, "pretrain", [*words, *common(size, size.pretrain_steps)], folder, start=start)
            picked = pick(summary, [f"{DIRECTION}/{name}" for name in FIGURES], folder)
            values["closp"][f"{image} R@5"] = picked[f"{DIRECTION}/R@5"]
            values["chance"][f"{image} R@5"] = picked[f"{DIRECTION}/R@5_chance"]
        found.append(values)
    return Result(
        name="retrieval",
        claim=(__doc__ or "").split("\n")[0],
        source="CLOSP (2025), text to image",
        data="SyntheticScenes (simulated), captions of held-out places",
        simulated=True,
        rule="R@5: a caption's own image, or one with the same caption, is among the first five",
        seeds=options.seeds,
        values=per_seed(found),
        config={"size": asdict(size)},
        comparisons=tuple(Comparison(f"{image} R@5", "closp", "chance") for image in ("s2", "s1")),
    )
