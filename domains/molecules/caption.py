"""`python -m domains.molecules.caption --model RUN SMILES ...`: descriptions told by a fine-tuned language model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.training.cli import guarded


def main() -> None:
    """Read the arguments, print `SMILES<TAB>text` for each molecule; one that is refused is named on stderr."""
    parser = argparse.ArgumentParser(prog="python -m domains.molecules.caption", description=__doc__)
    parser.add_argument("smiles", nargs="+", metavar="SMILES", help="molecules")
    parser.add_argument("--model", type=Path, required=True, help="run of finetune --config caption")
    parser.add_argument("--ask", default="Description: ", help="words behind a molecule, as in training")
    parser.add_argument("--beams", type=int, default=5, help="beams")
    parser.add_argument("--length", type=int, default=170, help="most tokens told")
    given = parser.parse_args()

    from domains.molecules.language.use import Teller

    teller = Teller.of(given.model)
    for smiles, text in teller.captions(given.smiles, ask=given.ask, beams=given.beams, length=given.length):
        if isinstance(text, str):
            print(f"{smiles}\t{text}", flush=True)
        else:
            print(f"refused: {text}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(guarded(main, extra="molecules"))
