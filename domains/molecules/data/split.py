"""Which split a molecule without one is in: by its scaffold, so that no scaffold is in two."""

from __future__ import annotations

from core.data.tables import hash_split
from core.errors import DataError
from domains.molecules.graphs.fragments import scaffold
from domains.molecules.io.parse import read_molecule

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
UNREADABLE = "unreadable"


def group_of(text: str) -> str:
    """The scaffold of a molecule, or its own string where it has no ring; of an unreadable one, its own too.

    Molecules without rings have nothing in common that a split should keep together, other than being acyclic.
    """
    try:
        found = scaffold(read_molecule(text))
    except DataError:
        return f"{UNREADABLE}:{text}"
    return found or f"acyclic:{text}"


def split_of(group: str, *, salt: str = "") -> str:
    """The split of a scaffold by its hash: it does not change when other molecules come or go."""
    return hash_split(group, SHARES, salt=salt)
