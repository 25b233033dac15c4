"""A whole scene of 12 bands is mapped within 2 GB beyond the model, and no pixel has a wrong validity.

The measurement is that of `python -m benchmarks speed --suite scene_map`; without --full the scene is
2,048 pixels wide.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.result import Goal, Options, Result
from benchmarks.speed._process import in_fresh_process
from benchmarks.speed.scene_map import LIMIT_MIB, MODULE

SIDE, SIDE_FULL = 2048, 10_980


def run(options: Options) -> Result:
    side = SIDE_FULL if options.full else SIDE
    options.folder.mkdir(parents=True, exist_ok=True)
    threads = os.cpu_count() or 1
    with TemporaryDirectory(dir=options.folder) as scratch:
        scene, out = Path(scratch) / "scene.tif", Path(scratch) / "map"
        in_fresh_process(MODULE, ["--write", str(scene), "--side", str(side)], threads)
        found = in_fresh_process(MODULE, ["--measure", str(scene), str(out), "--threads", str(threads)], threads)
    values = {
        "MiB left of the limit": LIMIT_MIB - found["peak_mib"],
        "share of pixels with the right validity": 1 - found["wrong_pixels"] / side**2,
        "CPU seconds": found["cpu_seconds"],
    }
    return Result(
        name="whole_scene",
        claim=(__doc__ or "").split("\n")[0],
        source="the suite's own claim",
        data=f"simulated scene of {side} x {side} x 12, small network",
        simulated=True,
        rule=f"peak above the process with its model, limit {LIMIT_MIB} MiB; the file's validity pixel for pixel",
        seeds=options.seeds,
        values={"map": {name: (value,) * len(options.seeds) for name, value in values.items()}},
        config={"side": side, "threads": threads},
        goals=(
            Goal("MiB left of the limit", "map", 0.0),
            Goal("share of pixels with the right validity", "map", 1.0),
        ),
        notes=("measured once; seeds play no part",),
    )
