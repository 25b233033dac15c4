"""Time and peak memory of one forward and backward pass of each pairwise objective, beside what one would use instead.

Each measurement is a fresh process, as in `contrastive`: imports, inputs in memory, a small warm-up, then the pass.
Memory is the peak above the inputs. A peer that would not fit in what is free is left out and said so.

    python -m benchmarks speed --suite objectives --batches 1024 4096
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.speed._process import MIB, in_fresh_process, peak, resident
from core.errors import HeptadError

MODULE = "benchmarks.speed.objectives"
NAMES = ("infonce", "siglip", "soft", "symile", "ntxent", "filip")
WARM_UP, SHARE_OF_FREE = 64, 0.8


def measure(name: str, side: str, batch: int, dim: int, threads: int) -> dict[str, float]:
    """One forward and backward pass in this process, which must be fresh."""
    import torch

    from benchmarks.speed._losses import CASES

    torch.set_num_threads(threads)
    case = CASES[name]
    loss_fn = case.sides[side]()
    small = 4 if name == "filip" else WARM_UP
    loss_fn(case.inputs(small, dim, torch.float32)).backward()  # thread pools and libraries load here
    inputs = case.inputs(batch, dim, torch.float32)
    before = resident()
    start, cpu_start = time.perf_counter(), time.process_time()
    loss = loss_fn(inputs)
    loss.backward()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    assert inputs[0].grad is not None
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": (peak() - before) / MIB,
        "loss": loss.item(),
        "grad_norm": inputs[0].grad.norm().item(),
    }


def agreement(name: str, batch: int, dim: int) -> dict[str, float]:
    """Largest absolute difference of loss and gradients of vectors between the sides, in both precisions."""
    import torch

    from benchmarks.speed._losses import CASES

    case, out = CASES[name], {}
    for precision, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        found = []
        for make in case.sides.values():
            inputs = case.inputs(batch, dim, dtype)
            loss = make()(inputs)
            loss.backward()
            found.append([loss.detach(), *(x.grad for x in inputs if x.grad is not None and x.ndim > 1)])
        first, *others = found
        out[precision] = max((x - y).abs().max().item() for other in others for x, y in zip(first, other, strict=True))
    return out


def fits(name: str, side: str, batch: int) -> str | None:
    """Why a side cannot be measured here, or None."""
    import psutil

    from benchmarks.speed._losses import CASES

    if side == "heptad":
        return None
    need = 4 * CASES[name].matrices(batch)
    free = psutil.virtual_memory().available
    if need > SHARE_OF_FREE * free:
        return f"would need about {need / 2**30:.0f} GiB, {free / 2**30:.0f} GiB are free"
    try:
        CASES[name].sides[side]()
    except HeptadError as err:
        return str(err)
    return None


def compare(name: str, batch: int, dim: int, threads: int, repeats: int) -> dict[str, Any]:
    """The sides of one objective at one size, in turns."""
    from benchmarks.speed._losses import CASES

    size = ["--batches", str(batch), "--dim", str(dim), "--threads", str(threads), "--only", name]
    reasons = {side: fits(name, side, batch) for side in CASES[name].sides}
    runs: dict[str, list[dict[str, float]]] = {side: [] for side, reason in reasons.items() if reason is None}
    for repeat in range(repeats):
        for side in list(runs) if repeat % 2 == 0 else list(runs)[::-1]:
            runs[side].append(in_fresh_process(MODULE, ["--measure", side, *size], threads))
            print(f"  {name} {batch} {side}: {runs[side][-1]['seconds']:.2f} s", file=sys.stderr, flush=True)
    sides: dict[str, Any] = {side: _summary(found) for side, found in runs.items()}
    sides |= {side: {"left_out": reason} for side, reason in reasons.items() if reason is not None}
    return {"objective": name, "about": CASES[name].about, "batch": batch, "sides": sides, "runs": runs}


def _summary(runs: list[dict[str, float]]) -> dict[str, float]:
    seconds = [run["seconds"] for run in runs]
    return {
        "seconds_median": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "cpu_seconds_median": statistics.median(run["cpu_seconds"] for run in runs),
        "peak_mib": max(run["peak_mib"] for run in runs),
        "loss": runs[0]["loss"],
        "grad_norm": runs[0]["grad_norm"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """One line per objective, size and side; times of a peer also as a multiple of this suite's."""
    lines = [f"{'objective':<9} {'pairs':>6}  {'side':<9} {'median s':>9} {'times':>6} {'peak MiB':>9}  loss"]
    for row in rows:
        ours = row["sides"]["heptad"]["seconds_median"]
        for side, r in row["sides"].items():
            head = f"{row['objective']:<9} {row['batch']:>6}  {side:<9}"
            if "left_out" in r:
                lines.append(f"{head} not measured: {r['left_out']}")
                continue
            lines.append(
                f"{head} {r['seconds_median']:9.2f} {r['seconds_median'] / ours:6.2f} {r['peak_mib']:9.0f}  "
                f"{r['loss']:.6f}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.objectives", description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="objectives (default: all)")
    parser.add_argument(
        "--batches", nargs="+", type=int, default=[1024, 4096, 16384, 65536], help="pairs (default 1024 to 65536)"
    )
    parser.add_argument(
        "--token-batches", nargs="+", type=int, default=[64, 256], help="pairs of token sequences (default 64 256)"
    )
    parser.add_argument("--dim", type=int, default=512, help="width of the vectors, tokens half of it (default 512)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads per process (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side (default 3)")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/speed-objectives.json"), help="JSON file")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        print(json.dumps(measure(args.only[0], args.measure, args.batches[0], args.dim, args.threads)))
        return
    rows = [
        compare(name, batch, args.dim // 2 if name == "filip" else args.dim, args.threads, args.repeats)
        for name in args.only
        for batch in (args.token_batches if name == "filip" else args.batches)
    ]
    result = {
        "dim": args.dim,
        "threads": args.threads,
        "repeats": args.repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "rows": rows,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(rows))
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
