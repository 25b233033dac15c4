"""`python -m domains.remote_sensing.search`: the rasters of a folder that fit a text, with a pretrained run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.training.cli import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)

    def work() -> None:
        from domains.remote_sensing.search.run import run

        run(arguments)

    return guarded(work, extra="remote-sensing")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m domains.remote_sensing.search",
        description=__doc__.partition(": ")[2] if __doc__ else None,
        epilog="Prints the best rasters with place and date. With --out also results.geojson (outlines, WGS 84), "
        "results.csv and report.html with pictures. Vectors are kept: a second search reads new files only.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("query", nargs="+", help="what to look for, in words; several queries, each in quotes, are answered in turn")
    add("--model", type=Path, required=True, metavar="RUN", help="run of a system with images and text, e.g. closp")
    add("--archive", type=Path, nargs="+", required=True, metavar="DIR", help="folders of rasters, or single files")
    add("--k", type=int, default=10, metavar="N", help="results of each query (default: 10)")
    add("--modality", default="", help="s1, s2 or rgb: results of one sensor only")
    add("--text", default="", help="text modality of the model that reads the queries (default: its first)")
    add("--bbox", type=float, nargs=4, metavar=("WEST", "SOUTH", "EAST", "NORTH"), help="degrees; touches this box")
    add("--date_from", default="", metavar="DATE", help="acquired on this day or later, 2020-04-17")
    add("--date_to", default="", metavar="DATE", help="acquired on this day or before")
    add("--out", type=Path, metavar="DIR", help="folder of the result files")
    add("--index", type=Path, metavar="FILE", help="where vectors are kept (default: in the cache folder)")
    add("--batch_size", type=int, default=16, metavar="N", help="rasters encoded together (default: 16)")
    add("--accelerator", default="auto", help="auto, cpu, cuda, mps (default: auto)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: all cores")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
