"""What the command does: a matcher, or the baseline, handed to `coregister`."""

from __future__ import annotations

import argparse
from typing import Any

from core.config.schema import TrainerSettings
from core.training.precision import resolve
from domains.remote_sensing.coregister.job import QUICK_LOOK, REPORT, coregister
from domains.remote_sensing.coregister.voters import MatcherVoter, PhaseVoter, Voter
from domains.remote_sensing.coregister.windows import Settings
from domains.remote_sensing.registration.checkpoint import load_matcher

WINDOW = 256  # side for phase correlation, pixels


def run(arguments: argparse.Namespace) -> None:
    """Register the rasters and say what came out."""
    compute = resolve(TrainerSettings(accelerator=arguments.accelerator, threads=max(0, arguments.threads)))
    voter: Voter = PhaseVoter()
    side = WINDOW
    if arguments.checkpoint is not None:
        matcher = load_matcher(arguments.checkpoint).to(compute.device)
        voter, side = MatcherVoter(matcher, coarse=arguments.coarse), matcher.side
    settings = Settings(
        model=arguments.model, window=arguments.window or side, windows=arguments.windows,
        levels=tuple(sorted(arguments.levels, reverse=True)), threshold=arguments.threshold, seed=arguments.seed,
    )  # fmt: skip
    report = coregister(
        arguments.moving, arguments.to, arguments.out, voter, moving_bands=arguments.moving_bands,
        reference_bands=arguments.reference_bands, settings=settings, interpolation=arguments.interpolation,
    )  # fmt: skip
    _show(report, arguments)


def _show(report: dict[str, Any], arguments: argparse.Namespace) -> None:
    columns, rows = report["shift_px"]
    print(
        f"\nshift      {columns:+.2f} columns, {rows:+.2f} rows: {report['east_m']:+.2f} m east, "
        f"{report['north_m']:+.2f} m north\n"
        f"residual   {report['rms_px']:.2f} px, {report['rms_m']:.2f} m, of {report['inliers']} of "
        f"{report['matches']} matches ({report['method']})\n"
        f"written    {arguments.out}\nreport     {arguments.out.with_suffix(REPORT)}\n"
        f"quick-look {arguments.out.with_suffix(QUICK_LOOK)}",
        flush=True,
    )
    for note in report["notes"]:
        print(f"note: {note}", flush=True)
