"""`python -m domains.molecules.properties --model RUN`: measured properties from a frozen encoder."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from core.files import write_atomic
from core.training.cli import guarded

SETS = ("solubility", "freesolv", "chembl_series")


def main() -> None:
    """Read the arguments and print one table per property set."""
    parser = argparse.ArgumentParser(prog="python -m domains.molecules.properties", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="run or saved model with a molecule encoder")
    parser.add_argument("--modality", default="graph", help="the modality that reads molecules")
    parser.add_argument("--sets", nargs="+", help=f"among: {', '.join(SETS)} (default: those installed)")
    parser.add_argument("--seeds", type=int, default=5, help="scaffold splits, and untrained encoders")
    parser.add_argument("--most", type=int, help="molecules of a set, the first ones (default: all)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    given = parser.parse_args()

    from domains.molecules.data.shipped import installed_sets
    from domains.molecules.properties.run import run

    sets = given.sets or installed_sets()
    left = [name for name in SETS if name not in sets]
    if not given.sets and left:
        print(f"not installed (extra molecule-sets): {', '.join(left)}", file=sys.stderr)
    figures = run(given.model, given.modality, sets, seeds=given.seeds, most=given.most)
    if given.out is not None:
        write_atomic(given.out, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(guarded(main, extra="molecules"))
