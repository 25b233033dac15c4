"""MoleculeNet (Wu et al. 2018): its CSV files as they are distributed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from core.data.layout import SPLITS, Layout, Record, refuse_empty
from core.data.tables import label_matrix, read_table
from core.errors import ConfigError, DataError, nearest
from domains.molecules.data.split import split_rows
from domains.molecules.graphs.fragments import scaffold, scaffold_split
from domains.molecules.io.parse import read_molecule


@dataclass(frozen=True, slots=True)
class Table:
    """file: below the root. smiles: its column. labels: columns of the tasks; empty: all that are in no other role.
    others: columns that are no task."""

    file: str
    smiles: str = "smiles"
    labels: tuple[str, ...] = ()
    others: tuple[str, ...] = ("smiles", "mol_id")
    values: bool = False  # regression


TABLES = {
    "bbbp": Table("BBBP.csv", labels=("p_np",)),
    "tox21": Table("tox21.csv"),
    "toxcast": Table("toxcast_data.csv"),
    "sider": Table("sider.csv"),
    "clintox": Table("clintox.csv"),
    "muv": Table("muv.csv"),
    "hiv": Table("HIV.csv", labels=("HIV_active",)),
    "bace": Table("bace.csv", smiles="mol", labels=("Class",)),
    # The table also holds a column of predicted solubility, which is not the target
    "esol": Table("delaney-processed.csv", labels=("measured log solubility in mols per litre",), values=True),
    "freesolv": Table("SAMPL.csv", labels=("expt",), values=True),  # `calc` is a simulation's
    "lipo": Table("Lipophilicity.csv", labels=("exp",), values=True),
}


class MoleculeNet(Layout):
    """Modality "graph" and labels (0 or 1), or quantities in the table's unit; blank = unknown.

    dataset: its name, such as "bbbp". split_by: "scaffold" is Bemis-Murcko, deterministic and greedy, 80 / 10 / 10,
    over the molecules that can be read, with `chirality` in the scaffold as in Hu et al. or without as in DeepChem.
    "hash" deals the scaffolds by their hash with `split_seed`; "file" is `split_file`, a table with columns id and
    split (ids: `<dataset>-<row from 0>`). Figures of different splits are not to be compared.
    unreadable: rows that RDKit refuses; they are in no split (11 of BBBP's, whose nitrogen has five bonds).
    """

    name: ClassVar[str] = "MoleculeNet"
    licence: ClassVar[str] = "per source"
    source: ClassVar[str] = "moleculenet.org, or the raw folder of any of its mirrors"

    def __init__(
        self,
        *,
        root: Path,
        split: str,
        dataset: str,
        split_by: Literal["scaffold", "hash", "file"] = "scaffold",
        chirality: bool = False,
        split_seed: int = 0,
        split_file: Path | None = None,
    ) -> None:
        super().__init__(root=root, split=split)
        if dataset not in TABLES:
            raise ConfigError(f"dataset: there is no '{dataset}'{nearest(dataset, TABLES)}")
        if split_by not in ("scaffold", "hash", "file") or (split_by == "file") != (split_file is not None):
            raise ConfigError(f"split_by: is '{split_by}'; valid: scaffold, hash, or file together with split_file")
        table = TABLES[dataset]
        found = [p for p in (self.root / table.file, self.root / dataset / "raw" / table.file) if p.exists()]
        path = found[0] if found else self.root / table.file
        rows = read_table(path, [table.smiles, *table.labels])
        labels = table.labels or tuple(c for c in rows.columns if c not in table.others)
        values_RL = label_matrix(rows, labels, path)
        smiles = [s.strip() for s in rows[table.smiles]]
        scaffolds: dict[int, str] = {}
        for row, text in enumerate(smiles):
            try:
                scaffolds[row] = scaffold(read_molecule(text), chirality=chirality)
            except DataError:
                continue
        self.unreadable = self.absent = len(smiles) - len(scaffolds)
        ids = {f"{dataset}-{row}": row for row in scaffolds}
        if split_by == "scaffold":
            members = list(scaffolds)
            parts = dict(zip(SPLITS, scaffold_split([scaffolds[row] for row in members]), strict=True))
            chosen = [members[i] for i in sorted(parts[split])]
        else:
            groups = {name: scaffolds[row] or f"acyclic:{smiles[row]}" for name, row in ids.items()}
            chosen = [ids[name] for name in split_rows(list(ids), groups, seed=split_seed, file=split_file)[split]]
        refuse_empty(len(chosen), owner=f"'{split}' split of {dataset}", where=path, expected="readable molecules")
        self.label_names, self.quantity_names = ((), labels) if table.values else (labels, ())
        self._records = [
            Record(
                id=f"{dataset}-{row}",
                group=scaffolds[row] or ("acyclic" if split_by == "scaffold" else f"acyclic:{smiles[row]}"),
                sources={"graph": smiles[row]},
                labels=dict(zip(labels, map(float, values_RL[row]), strict=True)),
            )
            for row in chosen
        ]

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        return self._records[index]
