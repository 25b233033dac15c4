"""PubChem molecules with paragraphs: PubChemSTM (Liu et al. 2023) and PubChem324k (Liu et al. 2023, MolCA)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from core.data.layout import Layout, Record, refuse_empty, require
from core.data.tables import read_table
from core.data.text import read_text
from core.errors import DataError
from domains.molecules.data.split import group_of, split_of


class PubChemSTM(Layout):
    """Modalities "graph" and "text": every paragraph about the molecule, one per line.

    raw/CID2text.json {CID: [paragraphs]}, raw/CID2SMILES.csv (CID, SMILES). The text has no public copy: its script
    fetches it from PubChem. `splits.csv` (CID, group, split) in the root, where there is one, says the split;
    otherwise scaffolds are dealt by hash, as the published set has none. absent: molecules without text or structure.
    """

    name: ClassVar[str] = "PubChemSTM"
    licence: ClassVar[str] = "per PubChem contributor"
    source: ClassVar[str] = "github.com/chao1224/MoleculeSTM, data rebuilt by its scripts"

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        texts, table = self.root / "raw" / "CID2text.json", self.root / "raw" / "CID2SMILES.csv"
        require(self.root, {"texts": texts, "structures": table}, owner=self.name, source=self.source)
        self._texts = _texts(texts)
        rows = read_table(table, ["CID", "SMILES"])
        smiles = dict(zip(rows["CID"], rows["SMILES"], strict=True))
        self._smiles = {cid: text for cid, text in smiles.items() if cid in self._texts}
        self.absent = len(smiles) + len(self._texts) - 2 * len(self._smiles)
        self._groups: dict[str, str] = {}
        given = self.root / "splits.csv"
        if given.exists():
            splits = read_table(given, ["CID", "group", "split"])
            self._groups = dict(zip(splits["CID"], splits["group"], strict=True))
            chosen = set(splits["CID"][splits["split"] == split])
            self._ids = [cid for cid in self._smiles if cid in chosen]
        else:
            self._groups = {cid: group_of(text) for cid, text in self._smiles.items()}
            self._ids = [cid for cid in self._smiles if split_of(self._groups[cid]) == split]
        refuse_empty(
            len(self._ids), owner=f"'{split}' split of {self.name}", where=table, expected="molecules with text"
        )

    def __len__(self) -> int:
        return len(self._ids)

    def record(self, index: int) -> Record:
        cid = self._ids[index]
        text = "\n".join(" ".join(paragraph.split()) for paragraph in self._texts[cid])
        return Record(cid, self._groups[cid], {"graph": self._smiles[cid], "text": text})


class PubChem324k(Layout):
    """Modalities "graph" and "text". {pretrain,train,valid,test}/{smiles,text}/ with one file per CID.

    train: the folder `train`, or `pretrain` when `pretraining`; the published graphs are not read, they are made anew.
    The `.pt` files of other copies hold pickled objects, which are never loaded: convert them to this form.
    """

    name: ClassVar[str] = "PubChem324k"
    licence: ClassVar[str] = "per PubChem contributor"
    source: ClassVar[str] = "the MolCA and ReactXT releases"

    def __init__(self, *, root: Path, split: str, pretraining: bool = False) -> None:
        super().__init__(root=root, split=split)
        folder = self.root / {"train": "pretrain" if pretraining else "train", "val": "valid", "test": "test"}[split]
        require(
            self.root, {"structures": folder / "smiles", "texts": folder / "text"}, owner=self.name, source=self.source
        )
        structures = {_cid(path): path for path in sorted((folder / "smiles").glob("*.txt"))}
        self._texts = {_cid(path): path for path in (folder / "text").glob("*.txt")}
        self._smiles = {cid: path for cid, path in structures.items() if cid in self._texts}
        self.absent = len(structures) + len(self._texts) - 2 * len(self._smiles)
        self._ids = list(self._smiles)
        refuse_empty(len(self._ids), owner=self.name, where=folder, expected="smiles_CID.txt beside text_CID.txt")

    def __len__(self) -> int:
        return len(self._ids)

    def record(self, index: int) -> Record:
        cid = self._ids[index]
        smiles = read_text(self._smiles[cid]).strip()
        return Record(cid, group_of(smiles), {"graph": smiles, "text": self._texts[cid]})


def _cid(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def _texts(path: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as err:
        raise DataError(f"{path}: not JSON (line {err.lineno}); fetch or build it again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds a {type(found).__name__}; expected {{CID: [paragraphs]}}")
    for cid, paragraphs in found.items():
        if not isinstance(paragraphs, list) or not all(isinstance(p, str) for p in paragraphs):
            raise DataError(f"{path}: CID {cid}: expected a list of paragraphs")
    return {
        cid: [p for p in paragraphs if p.strip()]
        for cid, paragraphs in found.items()
        if any(map(str.strip, paragraphs))
    }
