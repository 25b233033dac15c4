"""What every encoder of molecular graphs refuses: features of another vocabulary than its own."""

from __future__ import annotations

from core.errors import ConfigError, DataError
from domains.molecules.encoders.packed import Packed
from domains.molecules.graphs.vocabulary import Vocabulary


def check_vocabulary(processor: object, vocabulary: str) -> None:
    """Raises ConfigError when a processor makes graphs of another vocabulary than an encoder reads."""
    made = getattr(processor, "vocabulary", None)
    if made != vocabulary:
        raise ConfigError(
            f"the processor makes graphs of vocabulary {made!r}, the encoder reads '{vocabulary}'; "
            "give both the same `vocabulary`"
        )


def check_columns(graph: Packed, vocabulary: Vocabulary, *, owner: str) -> None:
    """Raises DataError for graphs whose features are not those of the vocabulary that `owner` reads."""
    wanted, found = (
        (len(vocabulary.atom_columns), len(vocabulary.bond_columns)),
        (graph.x.shape[1], graph.bonds.shape[1]),
    )
    if found != wanted:
        raise DataError(
            f"{owner} for vocabulary '{vocabulary.name}' reads {wanted[0]} atom and {wanted[1]} bond "
            f"columns, the graphs have {found[0]} and {found[1]}: another vocabulary"
        )
