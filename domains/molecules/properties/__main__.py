"""`python -m domains.molecules.properties --model RUN`: measured properties from a frozen encoder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from core.files import write_atomic
from core.training.cli import guarded

SETS = ("solubility", "freesolv", "chembl_series")


def main() -> None:
    """Read the arguments and print one table per property set."""
    parser = argparse.ArgumentParser(prog="python -m domains.molecules.properties", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="run or saved model with a molecule encoder")
    parser.add_argument("--modality", default="graph", help="the modality that reads molecules")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help=f"among: {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=5, help="scaffold splits, and untrained encoders")
    parser.add_argument("--most", type=int, help="molecules of a set, the first ones (default: all)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    given = parser.parse_args()

    from domains.molecules.properties.run import run

    figures = run(given.model, given.modality, given.sets, seeds=given.seeds, most=given.most)
    if given.out is not None:
        write_atomic(given.out, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(guarded(main, extra="molecules"))
