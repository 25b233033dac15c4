"""Which split a molecule without one is in: by its scaffold, so that no scaffold is in two; or as a file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.data.layout import SPLITS
from core.data.tables import hash_split, read_table
from core.errors import DataError, nearest
from domains.molecules.graphs.fragments import scaffold
from domains.molecules.io.parse import read_molecule

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
UNREADABLE = "unreadable"
NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
         "dev": "val", "test": "test"}  # fmt: skip


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


def salt_of(seed: int | None) -> str:
    """What a seed adds to the hash; None is the split without a seed."""
    return "" if seed is None else f"seed {seed}"


def split_name(text: str, where: Path, row: int) -> str:
    """The split that a table's cell means. Raises DataError naming the row (from 0, below the header)."""
    found = NAMES.get(text.strip().lower())
    if found is None:
        raise DataError(f"{where}: row {row + 2}: split '{text}'; valid: {', '.join(SPLITS)}")
    return found


def split_file(path: Path, ids: Sequence[str]) -> dict[str, str]:
    """id -> split of a table with columns id and split; ids that it does not name are in no split.

    Raises DataError for an id that the data does not have or that is named twice.
    """
    table = read_table(Path(path), ["id", "split"])
    known, found = set(ids), dict[str, str]()
    for row, (name, part) in enumerate(zip(table["id"].str.strip(), table["split"], strict=True)):
        if name not in known:
            raise DataError(f"{path}: row {row + 2}: the data has no molecule '{name}'{nearest(name, ids)}")
        if name in found:
            raise DataError(f"{path}: row {row + 2}: '{name}' is named twice")
        found[name] = split_name(part, path, row)
    return found


def split_rows(
    ids: Sequence[str], groups: Mapping[str, str], *, seed: int | None, file: Path | None
) -> dict[str, list[str]]:
    """Split -> ids in their order, by a file, or else by the hash of their group and the seed. groups: of each id."""
    parts = {i: split_of(groups[i], salt=salt_of(seed)) for i in ids} if file is None else split_file(file, ids)
    return {split: [i for i in ids if parts.get(i) == split] for split in SPLITS}
