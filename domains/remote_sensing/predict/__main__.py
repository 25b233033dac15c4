"""`python -m domains.remote_sensing.predict`: a whole scene to a georeferenced map with a fine-tuned run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.training.cli import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)

    def work() -> None:
        from domains.remote_sensing.predict.run import run

        run(arguments)

    return guarded(work, extra="remote-sensing", after="finished strips are kept, the same command continues")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m domains.remote_sensing.predict",
        description=__doc__.partition(": ")[2] if __doc__ else None,
        epilog="Writes class_map.tif and confidence.tif (Cloud-Optimised GeoTIFF, on the grid of the inputs), "
        "areas.csv, quicklook.png and map.json. A run that was stopped is continued by the same command.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="RUN", help="folder of a finished fine-tuning run")
    add(
        "--inputs",
        nargs="+",
        required=True,
        metavar="[NAME=]PATH",
        help="rasters, or folders with one file per band; NAME is the model's modality, needed when it reads several",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the map")
    add("--window", type=int, default=0, metavar="PX", help="side of a window (default: what training saw, else 256)")
    add("--overlap", type=int, default=-1, metavar="PX", help="shared by neighbours (default: a quarter of the window)")
    add(
        "--margin",
        type=int,
        default=-1,
        metavar="PX",
        help="border of a window that a neighbour sees better (default: 8, or half of a smaller overlap)",
    )
    add("--batch_size", type=int, default=8, metavar="N", help="windows computed together (default: 8)")
    add(
        "--needs",
        choices=("all", "any"),
        default="all",
        help="map pixels that all rasters, or any, recorded (default: all)",
    )
    add("--accelerator", default="auto", help="auto, cpu, cuda, mps (default: auto)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: all cores. A stopped run keeps its number")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
