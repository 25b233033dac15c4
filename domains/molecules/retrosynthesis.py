"""`python -m domains.molecules.retrosynthesis --model RUN`: reactants of a product, told or picked from a file.

With --candidates FILE each line is `product<TAB>reactants`; the reactants of a product are ordered by log-probability.
Without it, products are given as words and reactants are told by beam search.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.errors import ConfigError
from core.training.cli import guarded


def main() -> None:
    """Read the arguments, print `product<TAB>rank<TAB>reactants<TAB>log-probability`."""
    parser = argparse.ArgumentParser(prog="python -m domains.molecules.retrosynthesis", description=__doc__)
    parser.add_argument("products", nargs="*", metavar="SMILES", help="products whose reactants are told")
    parser.add_argument("--model", type=Path, required=True, help="run of finetune --config retrosynthesis")
    parser.add_argument("--candidates", type=Path, help="file of product<TAB>reactants lines to order")
    parser.add_argument("--ask", default="Reactants: ", help="words behind a product, as in training")
    parser.add_argument("--graphs", action="store_true", help="show the product's graph, if training did")
    parser.add_argument("--beams", type=int, default=10, help="beams, and reactants told for a product")
    parser.add_argument("--length", type=int, default=120, help="most tokens told")
    given = parser.parse_args()
    if bool(given.products) == (given.candidates is not None):
        raise ConfigError("give either products, or --candidates FILE")

    from domains.molecules.language.use import Teller, read_candidates

    teller = Teller.of(given.model)
    if given.candidates is not None:
        pools = read_candidates(given.candidates)
        found = teller.ordered(pools, ask=given.ask, graphs=given.graphs)
    else:
        found = teller.reactants(
            given.products, ask=given.ask, graphs=given.graphs, beams=given.beams, length=given.length
        )
    for product, answers in found:
        if not isinstance(answers, list):
            print(f"refused: {answers}", file=sys.stderr)
            continue
        if not answers:
            print(f"{product}: nothing that was told is a molecule; train longer, or raise --beams", file=sys.stderr)
        for rank, (reactants, score) in enumerate(answers, start=1):
            print(f"{product}\t{rank}\t{reactants}\t{score:.3f}", flush=True)


if __name__ == "__main__":
    raise SystemExit(guarded(main, extra="molecules"))
