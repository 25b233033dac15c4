"""`python -m domains.molecules.predict`: properties of the molecules of a file, by fine-tuned runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.training.cli import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = _parser().parse_args(argv)

    def work() -> None:
        import torch

        from domains.molecules.predict.run import predict_file

        if given.threads:
            torch.set_num_threads(given.threads)
        predict_file(given.model, given.root, given.out, column=given.column, batch_size=given.batch_size)

    return guarded(work, extra="molecules")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m domains.molecules.predict",
        description="Properties of the molecules of a file. Every row of it comes back, in its order.",
        epilog="Columns that are added: predicted_NAME (a probability, or a value in the unit of the training data); "
        "spread_NAME, the standard deviation over the models when several are given; nearest_tanimoto and "
        "nearest_training, how alike the most similar training molecule is (Morgan, radius 2) and its id: a low one "
        "means that the model was not asked about such molecules in training; error, why a row has no prediction.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", type=Path, nargs="+", required=True, metavar="RUN",
        help="runs of finetune on property_values or property_labels; several (seeds): their mean")  # fmt: skip
    add("--data.root", dest="root", type=Path, required=True, metavar="FILE",
        help="table with a column of SMILES (.csv, .tsv), or molecules (.smi, .sdf, .mol, also .gz)")  # fmt: skip
    add("--out", type=Path, required=True, metavar="FILE", help="CSV file to write")
    add("--column", metavar="NAME", help="column of SMILES (default: smiles, mol, canonical_smiles, ...)")
    add("--batch_size", type=int, default=128, metavar="N", help="molecules computed together (default: 128)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads; 0: all cores")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
