"""The tiled contrastive kernel beside open_clip's ClipLoss: time and peak memory of one forward and backward pass.

Each measurement is a fresh process: imports, features in memory, a small warm-up, then the pass. The two sides
alternate, so that whatever else the machine does hits both. Memory is the peak above the features in memory.

    python -m benchmarks.speed.contrastive --batch 16384 --dim 512 --repeats 5
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed._process import MIB, in_fresh_process, peak, resident
from core.errors import HeptadError, missing_extra

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

SIDES = ("heptad", "open_clip")
SCALE = 14.2857
MODULE = "benchmarks.speed.contrastive"


def tiled(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of unit features on the kernel of this suite."""
    import torch

    from core.objectives.contrast.divergence import RowCE
    from core.objectives.contrast.kernel import term_weights, tiled_loss
    from core.objectives.contrast.matrix import DotMatrix
    from core.objectives.contrast.targets import Ids, OneHot

    item = torch.arange(len(a))
    weights = OneHot().weights(Ids(item, item), Ids(item, item), a.dtype)
    loss, _ = tiled_loss(
        DotMatrix(a, b),
        scale=scale,
        weights=weights,
        divergence=RowCE(),
        row_weight_n=term_weights(weights.row_total_n, 0.5),
        col_weight_m=term_weights(weights.col_total_m, 0.5),
    )
    return loss


def load(side: str) -> Loss:
    """The loss of one side. Raises ConfigError when open_clip is not installed."""
    if side == "heptad":
        return tiled
    try:
        from open_clip.loss import ClipLoss
    except ImportError as err:
        raise missing_extra("open_clip", "dev") from err
    loss: Loss = ClipLoss()
    return loss


def features(batch: int, dim: int, dtype: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Two correlated sets of unit vectors and a scale, all of which want a gradient."""
    import torch
    from torch.nn.functional import normalize

    rng = torch.Generator().manual_seed(0)
    a = normalize(torch.randn(batch, dim, generator=rng, dtype=dtype), dim=-1)
    b = normalize(torch.randn(batch, dim, generator=rng, dtype=dtype), dim=-1).add_(a, alpha=0.5)
    b = normalize(b, dim=-1)
    return a.requires_grad_(), b.requires_grad_(), torch.tensor(SCALE, dtype=dtype, requires_grad=True)


def measure(side: str, batch: int, dim: int, threads: int) -> dict[str, float]:
    """One forward and backward pass in this process, which must be fresh: the peak of a process never falls."""
    import torch

    torch.set_num_threads(threads)
    loss_fn = load(side)
    loss_fn(*features(256, dim, torch.float32)).backward()  # thread pools and libraries load here
    a, b, scale = features(batch, dim, torch.float32)
    before = resident()
    start, cpu_start = time.perf_counter(), time.process_time()
    loss = loss_fn(a, b, scale)
    loss.backward()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    assert a.grad is not None
    assert scale.grad is not None
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": (peak() - before) / MIB,
        "loss": loss.item(),
        "grad_norm": a.grad.norm().item(),
        "scale_grad": scale.grad.item(),
    }


def agreement(batch: int, dim: int) -> dict[str, float]:
    """Largest absolute difference of loss and gradients between the two sides, in both precisions."""
    import torch

    out = {}
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        found = []
        for side in SIDES:
            inputs = features(batch, dim, dtype)
            loss = load(side)(*inputs)
            loss.backward()
            found.append([loss.detach(), *(x.grad for x in inputs if x.grad is not None)])
        out[name] = max((x - y).abs().max().item() for x, y in zip(*found, strict=True))
    return out


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    seconds = [run["seconds"] for run in runs]
    return {
        "seconds_median": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "cpu_seconds_median": statistics.median(run["cpu_seconds"] for run in runs),
        "peak_mib": max(run["peak_mib"] for run in runs),
        "loss": runs[0]["loss"],
        "grad_norm": runs[0]["grad_norm"],
        "scale_grad": runs[0]["scale_grad"],
    }


def compare(batch: int, dim: int, threads: int, repeats: int) -> dict[str, Any]:
    """Alternate the two sides `repeats` times; figures per side and their ratios."""
    size = ["--batch", str(batch), "--dim", str(dim), "--threads", str(threads)]
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for repeat in range(repeats):
        for side in SIDES if repeat % 2 == 0 else SIDES[::-1]:
            runs[side].append(in_fresh_process(MODULE, ["--measure", side, *size], threads))
            print(f"  {side:>10}: {runs[side][-1]['seconds']:.2f} s", file=sys.stderr, flush=True)
    ours, theirs = (summary(runs[side]) for side in SIDES)
    paired = [t["seconds"] / o["seconds"] for o, t in zip(*(runs[side] for side in SIDES), strict=True)]
    return {
        "batch": batch,
        "dim": dim,
        "threads": threads,
        "repeats": repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "heptad": ours,
        "open_clip": theirs,
        "speedup_median": statistics.median(paired),
        "speedup_min": min(paired),
        "memory_ratio": ours["peak_mib"] / theirs["peak_mib"],
        "largest_difference": in_fresh_process(
            MODULE, ["--measure", "agreement", "--batch", "1000", "--dim", str(dim)], threads
        ),
        "runs": runs,
    }


def table(result: dict[str, Any]) -> str:
    lines = [
        f"symmetric InfoNCE, forward and backward, {result['batch']} x {result['dim']} float32, "
        f"{result['threads']} threads, {result['repeats']} alternating runs",
        f"{'':>10}  {'median s':>9} {'min s':>9} {'max s':>9} {'CPU s':>9} {'peak MiB':>9}  loss",
    ]
    for side in SIDES:
        r = result[side]
        lines.append(
            f"{side:>10}  {r['seconds_median']:9.2f} {r['seconds_min']:9.2f} {r['seconds_max']:9.2f} "
            f"{r['cpu_seconds_median']:9.2f} {r['peak_mib']:9.0f}  {r['loss']:.7f}"
        )
    difference = result["largest_difference"]
    return "\n".join(
        [
            *lines,
            f"{result['speedup_median']:.2f} times as fast (at least {result['speedup_min']:.2f} in any pair of runs), "
            f"peak memory {result['memory_ratio']:.3f} of open_clip's",
            f"largest difference of loss and gradients at 1000 rows: {difference['float32']:.1e} in float32, "
            f"{difference['float64']:.1e} in float64",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.contrastive", description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=16384, help="rows (default 16384)")
    parser.add_argument("--dim", type=int, default=512, help="width of the features (default 512)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads per process (default: all)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each side (default 5)")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/speed-contrastive.json"), help="JSON file")
    parser.add_argument("--measure", choices=[*SIDES, "agreement"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        if args.measure == "agreement":
            print(json.dumps(agreement(args.batch, args.dim)))
        elif args.measure is not None:
            print(json.dumps(measure(args.measure, args.batch, args.dim, args.threads)))
        else:
            result = compare(args.batch, args.dim, args.threads, args.repeats)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
            print(table(result))
            print(f"written to {args.out}")
    except HeptadError as err:
        raise SystemExit(f"error: {err}") from None


if __name__ == "__main__":
    main()
