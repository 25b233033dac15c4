"""Results as a table on screen, as results.json and as report.html."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.result import Result
from core.evaluation.bootstrap import Interval
from core.files import write_atomic
from core.report import Report, environment

COLUMNS = ("entry", "metric", "contender", "baseline", "difference", "95% interval", "verdict")
VERDICT_RULE = (
    "Each seed runs all arms on the same data, first weights and order of batches, and gives one paired difference. "
    "Reproduced: the mean difference lies on the claimed side of zero by more than one standard deviation of the "
    "differences. The interval is Student's t over seeds; with three seeds it is 2.48 deviations wide to each side, so "
    "that a reproduced effect may well have an interval that holds zero."
)


def comparison_rows(results: Sequence[Result]) -> list[list[str]]:
    """One row per claim: comparisons first, then goals."""
    rows = []
    for result in results:
        for claim, effect in zip(result.comparisons, result.effects, strict=True):
            sides = (f"{name} {result.spread(name, claim.metric)}" for name in (claim.contender, claim.baseline))
            rows.append(
                [result.name, claim.metric, *sides, _signed(effect.difference.mean, effect.difference.std),
                 _interval(effect.difference.low, effect.difference.high), effect.verdict]
            )  # fmt: skip
        for goal in result.goals:
            reached = result.spread(goal.arm, goal.metric)
            rows.append(
                [result.name, goal.metric, f"{goal.arm} {reached}", f"goal {goal.at_least:g}",
                 f"{reached.mean - goal.at_least:+.3f}", _interval(reached.low, reached.high, signed=False),
                 "reached" if result.reached(goal) else "not reached"]
            )  # fmt: skip
    return rows


def show(results: Sequence[Result]) -> None:
    """The table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console, table = Console(), Table(*COLUMNS, title="mean ± standard deviation over seeds")
    for row in comparison_rows(results):
        table.add_row(*row)
    console.print(table)
    for result in results:
        simulated = ", SIMULATED data" if result.simulated else ""
        console.print(
            f"{result.name}: {len(result.seeds)} seeds, {result.cpu_s:.0f} s CPU, {result.wall_s:.0f} s{simulated}"
        )


def write(suite: str, results: Sequence[Result], folder: Path) -> tuple[Path, Path]:
    """results.json and report.html, each replaced in one step; returns both paths."""
    facts = environment()
    as_json, page = folder / "results.json", folder / "report.html"
    whole = {"suite": suite, "environment": facts, "entries": {r.name: entry_values(r) for r in results}}
    write_atomic(as_json, json.dumps(_finite(whole), indent=1) + "\n")
    report(suite, results, facts).write(page)
    return as_json, page


def entry_values(result: Result) -> dict[str, Any]:
    """All of a result as plain values."""
    claims = [
        {**asdict(claim), **asdict(effect)} for claim, effect in zip(result.comparisons, result.effects, strict=True)
    ]
    goals = [
        {**asdict(g), "reached": result.reached(g), "measured": asdict(result.spread(g.arm, g.metric))}
        for g in result.goals
    ]
    plain = {name: getattr(result, name) for name in (
        "claim", "source", "data", "simulated", "rule", "seeds", "values", "config", "notes", "cpu_s", "wall_s"
    )}  # fmt: skip
    return {**plain, "comparisons": claims, "goals": goals}


def report(suite: str, results: Sequence[Result], facts: dict[str, str]) -> Report:
    simulated = [r.name for r in results if r.simulated]
    page = Report(
        title=f"Benchmarks: {suite}",
        subtitle=f"{len(results)} entries",
        banner=f"SIMULATED DATA in {', '.join(simulated)}: it says nothing about real data" if simulated else "",
    )
    page.add_table("Claims", COLUMNS, comparison_rows(results), note=VERDICT_RULE)
    for result in results:
        page.add_text(
            result.name,
            result.claim,
            f"Source: {result.source}. Data: {result.data}{' (simulated)' if result.simulated else ''}. "
            f"Measured: {result.rule}.",
            *result.notes,
        )
        effects = {
            f"{c.contender} over {c.baseline}, {c.metric}": Interval(
                e.difference.mean, e.difference.low, e.difference.high, e.difference.level
            )
            for c, e in zip(result.comparisons, result.effects, strict=True)
        }
        if effects:
            ends = [abs(v) for i in effects.values() for v in (i.value, i.low, i.high) if math.isfinite(v)]
            end = max(ends) * 1.1 or 1.0
            page.add_intervals(
                f"{result.name}: paired differences", effects, chance=0.0, limits=(-end, end), sort=False,
                remarks={
                    name: e.verdict for name, e in zip(effects, result.effects, strict=True)
                },
            )  # fmt: skip
        rows = [
            [arm, metric, str(result.spread(arm, metric)), *values]
            for arm, metrics in result.values.items()
            for metric, values in metrics.items()
        ]
        page.add_table(
            f"{result.name}: every seed", ["arm", "metric", "mean ± std", *(f"seed {s}" for s in result.seeds)], rows,
            note=f"{result.cpu_s:.0f} s of processor time, {result.wall_s:.0f} s by the clock.",
        )  # fmt: skip
    page.add_facts("Environment", facts)
    configs = {result.name: result.config for result in results}
    page.add_config(json.dumps(configs, indent=1))
    return page


def _signed(mean: float, std: float) -> str:
    return f"{mean:+.3f}" if math.isnan(std) else f"{mean:+.3f} ± {std:.3f}"


def _interval(low: float, high: float, *, signed: bool = True) -> str:
    if math.isnan(low):
        return "–"
    return f"[{low:+.3f}, {high:+.3f}]" if signed else f"[{low:.3f}, {high:.3f}]"


def _finite(value: Any) -> Any:
    """The value as JSON holds it: what is not finite becomes null, tuples become lists."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
