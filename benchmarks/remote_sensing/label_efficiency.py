"""With 10% of the clean labels, a pretrained land-cover model beats the same network from scratch: S1, S2 and both.

Drives `pretrain --config multimae_labels` (unless a run is given with --run), which also learns from noisy labels, and
`finetune --config landcover` for every seed: each sensor alone and both, with pretrained and with fresh weights. A seed
decides pretraining, the label subset, fresh weights and batches; the arms of a seed share them. The model of both
sensors is also scored with S2 missing at test.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.commands import Launch, launch, pick
from benchmarks.remote_sensing._runs import finetuned, pretrained, size_of
from benchmarks.result import Comparison, Goal, Options, Result, per_seed
from core.errors import DataError
from core.evaluation.maps import map_difference

METRIC, GAIN = "mean_iou", "gain in mean_iou"
SENSORS = {"s1": "s1", "s2": "s2", "both": "[s1, s2]"}
ARMS = ("scratch", "pretrained")


@dataclass(frozen=True, slots=True)
class Design:
    """gain: what pretraining should add, in mean IoU."""

    label_fraction: float = 0.1
    gain: float = 0.03


def run(options: Options, design: Design | None = None, *, start: Launch = launch) -> Result:
    design, size = design or Design(), size_of(options)
    found, folders = [], []
    for seed in options.seeds:
        source = pretrained("multimae_labels", seed, options, size, start=start)
        values: dict[str, dict[str, float]] = {}
        where: dict[tuple[str, str], Path] = {}
        for sensor, modality in SENSORS.items():
            for arm in ARMS:
                words = ["--modality", modality, "--init", arm, "--label_fraction", str(design.label_fraction)]
                folder, summary = finetuned(
                    f"{sensor}-{arm}", "landcover", seed, source, options, size, words, start=start
                )
                where[sensor, arm] = folder
                values[f"{sensor}, {arm}"] = {METRIC: pick(summary, ["test/mean_iou"], folder)["test/mean_iou"]}
                if sensor == "both":
                    alone = pick(summary, ["test/s1/mean_iou"], folder)["test/s1/mean_iou"]
                    values[f"both, {arm}, S2 missing at test"] = {METRIC: alone}
            gain = values[f"{sensor}, pretrained"][METRIC] - values[f"{sensor}, scratch"][METRIC]
            values[f"{sensor}, pretrained - scratch"] = {GAIN: gain}
        found.append(values)
        folders.append(where)
    return Result(
        name="label_efficiency",
        claim=(__doc__ or "").split("\n")[0],
        source="the suite's own claim; MultiMAE, Bachmann et al. 2022",
        data="SyntheticScenes (simulated), clean labels of held-out places",
        simulated=True,
        rule="mean IoU over classes, pixels of all held-out maps counted together",
        seeds=options.seeds,
        values=per_seed(found),
        config={"design": asdict(design), "size": asdict(size), "run": str(options.run or "one for each seed")},
        comparisons=(
            *(Comparison(METRIC, f"{sensor}, pretrained", f"{sensor}, scratch") for sensor in SENSORS),
            Comparison(METRIC, "both, pretrained, S2 missing at test", "s1, scratch"),
        ),
        goals=tuple(Goal(GAIN, f"{sensor}, pretrained - scratch", design.gain) for sensor in SENSORS),
        notes=tuple(paired_notes(folders, options.seeds, size.bootstrap)),
    )


def paired_notes(folders: list[dict[tuple[str, str], Path]], seeds: tuple[int, ...], bootstrap: int) -> list[str]:
    """Differences on the same held-out places, with intervals that resample places: each seed, and their mean."""
    pairs = {f"{s}: pretrained - scratch": ((s, "pretrained", ""), (s, "scratch", "")) for s in SENSORS}
    pairs["both pretrained without S2 - s1 scratch"] = (("both", "pretrained", "s1"), ("s1", "scratch", ""))
    lines = []
    for title, (ours, theirs) in pairs.items():
        sides = [[counts_of(where[side[:2]], side[2]) for where in folders] for side in (ours, theirs)]
        (first_counts, groups) = sides[0][0]
        if any(not np.array_equal(groups, other) for side in sides for _, other in side):
            raise DataError(f"label_efficiency: {title}: the runs were scored on different maps")
        each = [
            f"seed {seed} {map_difference([a[0]], [b[0]], groups_N=groups, n_bootstrap=bootstrap)}"
            for seed, a, b in zip(seeds, *sides, strict=True)
        ]
        whole = map_difference(
            [a for a, _ in sides[0]], [b for b, _ in sides[1]], groups_N=groups, n_bootstrap=bootstrap
        )
        lines.append(
            f"{title}, paired over {len(set(groups.tolist()))} places ({len(first_counts)} maps): {whole}; "
            + ", ".join(each)
        )
    return lines


def counts_of(folder: Path, seen: str = "") -> tuple[np.ndarray, np.ndarray]:
    """(N, K, K) pixels of each held-out map and the place of each, as the run wrote them.

    seen: modalities that the model was shown, "s1+s2"; "" = all of the run.
    """
    path = folder / "test_maps.npz"
    try:
        with np.load(path, allow_pickle=False) as content:
            name = seen or str(content["all"])
            return content[f"counts {name}"], content[f"groups {name}"]
    except (OSError, KeyError, ValueError) as err:
        raise DataError(f"{path}: not the counts of held-out maps ({err}); delete the run and start again") from err
