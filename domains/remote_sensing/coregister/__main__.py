"""`python -m domains.remote_sensing.coregister`: one raster onto the grid of another, by what both show."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.training.cli import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)

    def work() -> None:
        from domains.remote_sensing.coregister.run import run

        run(arguments)

    return guarded(work, extra="remote-sensing")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m domains.remote_sensing.coregister",
        description=__doc__.partition(": ")[2] if __doc__ else None,
        epilog="Writes OUT.tif (Cloud-Optimised GeoTIFF on the grid of the reference, type and nodata of the moving "
        "raster), OUT.json (shift in pixels and metres, residual, inliers) and OUT.png. When the rasters do not tell "
        "how they lie to each other, nothing is written and the exit code is 1.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("moving", type=Path, metavar="MOVING.tif", help="the raster to be corrected")
    add("--to", type=Path, required=True, metavar="REFERENCE.tif", help="the raster whose position is right")
    add("--out", type=Path, required=True, metavar="OUT.tif", help="what is written")
    add(
        "--checkpoint",
        type=Path,
        default=None,
        metavar="RUN",
        help="run of `pretrain --config matchanything`, or a local folder of transformers' EfficientLoFTR weights; "
        "without it phase correlation of gradients is used, which needs no training",
    )
    add(
        "--model",
        choices=("shift", "similarity", "affine"),
        default="affine",
        help="of the correction (default: affine)",
    )
    add("--moving_bands", nargs="+", default=[], metavar="BAND", help="to be matched, name or number (default: all)")
    add("--reference_bands", nargs="+", default=[], metavar="BAND", help="the same of the reference")
    add(
        "--window",
        type=int,
        default=0,
        metavar="PX",
        help="side of a window, a multiple of 32 (default: what the matcher is for, else 256)",
    )
    add("--windows", type=int, default=36, metavar="N", help="windows looked at in each level (default: 36)")
    add("--levels", type=float, nargs="+", default=[4.0, 1.0], metavar="FACTOR", help="coarse to fine (default: 4 1)")
    add("--threshold", type=float, default=2.0, metavar="PX", help="residual of a match that agrees (default: 2)")
    add("--coarse", type=float, default=0.2, metavar="P", help="least probability of a match (default: 0.2)")
    add(
        "--interpolation",
        choices=("auto", "nearest", "bilinear", "cubic"),
        default="auto",
        help="of the output (auto: bilinear; nearest for a raster with a palette)",
    )
    add("--seed", type=int, default=0, help="of the choice of windows and of the fit (default: 0)")
    add("--accelerator", default="auto", help="auto, cpu, cuda, mps (default: auto)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: all cores")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
