"""The default pretraining reaches its headline figures with every seed, and its probe beats the untrained encoder's.

Drives `python -m domains.medical.pretrain` for every seed and collects what summary.json says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.commands import Launch, launch, pick, run_command
from benchmarks.result import Comparison, Goal, Options, Result, per_seed

RECALL = ("test/retrieval/image_to_text/R@5", "test/retrieval/text_to_image/R@5")
OVER_CHANCE = ("image to text R@5 / chance", "text to image R@5 / chance")
ZERO_SHOT = "test/zero_shot/macro_auroc"
PROBE, UNTRAINED = "test/probe_10pct/macro_auroc", "test/probe_10pct_untrained/macro_auroc"
COST = ("wall_s", "train_wall_s", "peak_rss_mb", "samples_per_s")
TRAINED_ARM, UNTRAINED_ARM, AUROC = "pretrained", "untrained", "probe with 10% labels, macro AUROC"


GAIN = "probe gain over untrained"


def run(options: Options, *, start: Launch = launch) -> Result:
    summaries = [
        run_command(
            "medical",
            "pretrain",
            ["--seed", str(seed), *options.overrides],
            options.folder / f"seed{seed}",
            start=start,
        )
        for seed in options.seeds
    ]
    return Result(
        name="pretraining_seeds",
        claim=(__doc__ or "").split("\n")[0],
        source="the suite's own claim for its default system",
        data=f"{summaries[0].get('data', '')}, held-out studies",
        simulated=bool(summaries[0].get("data_simulated")),
        rule="figures of summary.json of the held-out split",
        seeds=options.seeds,
        values=per_seed(
            [
                figures(summary, options.folder / f"seed{seed}")
                for seed, summary in zip(options.seeds, summaries, strict=True)
            ]
        ),
        config={"overrides": list(options.overrides)},
        comparisons=(Comparison(AUROC, TRAINED_ARM, UNTRAINED_ARM),),
        goals=(
            *(Goal(name, TRAINED_ARM, 12.0) for name in OVER_CHANCE),
            Goal(ZERO_SHOT, TRAINED_ARM, 0.80),
            Goal(GAIN, TRAINED_ARM, 0.08),
        ),
    )


def figures(summary: Mapping[str, Any], folder: Path) -> dict[str, dict[str, float]]:
    """Headline figures of one run, by arm: the run itself, and its own untrained encoder."""
    chance = tuple(f"{name}_chance" for name in RECALL)
    found = pick(summary, (*RECALL, *chance, ZERO_SHOT, PROBE, UNTRAINED, *COST), folder)
    over = {name: found[r] / found[c] for name, r, c in zip(OVER_CHANCE, RECALL, chance, strict=True)}
    kept = {name: found[name] for name in (*RECALL, ZERO_SHOT, *COST)}
    return {
        TRAINED_ARM: {AUROC: found[PROBE], GAIN: found[PROBE] - found[UNTRAINED], **over, **kept},
        UNTRAINED_ARM: {AUROC: found[UNTRAINED]},
    }
