"""Reactions: USPTO-50k as the tokenised pairs of R-SMILES, and OpenExp with its procedures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from core.data.layout import Layout, Record, Source, refuse_empty, require
from core.data.text import read_text
from core.errors import ConfigError, DataError

# Bracket atoms, two-letter halogens and two-digit ring numbers stay whole (Schwaller et al. 2019)
TOKEN = re.compile(r"\[[^\]]+\]|Br|Cl|%\d\d|[A-Za-z0-9]|[^A-Za-z0-9\s]")
ROLES = ("REACTANT", "CATALYST", "SOLVENT")


def tokenised(smiles: str) -> str:
    """A SMILES with spaces between its tokens. Raises DataError when they would not make the string again."""
    tokens = TOKEN.findall(smiles)
    if "".join(tokens) != smiles:
        raise DataError(f"{smiles[:60]!a}: cannot be cut into tokens")
    return " ".join(tokens)


class USPTO50k(Layout):
    """Modalities "product" and "reactants" (SMILES of a single-step retrosynthesis), spaces removed.

    USPTO_50K_PtoR[_augK]/{train,val,test}/{src,tgt}-{split}.txt: a reaction per line; K augmented copies of one follow
    one another and share a group. `root` is the folder that holds train, val and test. copies: K; every = False keeps
    the first of each.
    """

    name: ClassVar[str] = "USPTO-50k"
    licence: ClassVar[str] = "patent data, public"
    source: ClassVar[str] = "the R-SMILES release (Zhong et al. 2022)"

    def __init__(self, *, root: Path, split: str, copies: int = 1, every: bool = True) -> None:
        super().__init__(root=root, split=split)
        if copies < 1:
            raise ConfigError(f"copies: is {copies}; a reaction is there once at least")
        paths = {side: self.root / split / f"{side}-{split}.txt" for side in ("src", "tgt")}
        require(self.root, {"products": paths["src"], "reactants": paths["tgt"]}, owner=self.name, source=self.source)
        sides = {side: read_text(path).rstrip("\n").split("\n") for side, path in paths.items()}
        if len(sides["src"]) != len(sides["tgt"]):
            raise DataError(f"{paths['src']}: {len(sides['src'])} lines, tgt has {len(sides['tgt'])}; they are pairs")
        if len(sides["src"]) % copies:
            raise DataError(f"{paths['src']}: {len(sides['src'])} lines are not {copies} copies of each reaction")
        self._pairs = [
            ("".join(a.split()), "".join(b.split())) for a, b in zip(sides["src"], sides["tgt"], strict=True)
        ]
        self.copies = copies
        self._rows = range(0, len(self._pairs), 1 if every else copies)
        refuse_empty(sum(bool(a) for a, _ in self._pairs), owner=self.name, where=paths["src"], expected="reactions")

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, index: int) -> Record:
        row = self._rows[index]
        product, reactants = self._pairs[row]
        group = f"{self.split}-{row // self.copies}"
        return Record(f"{self.split}-{row}", group, {"product": product, "reactants": reactants})


class OpenExp(Layout):
    """Modalities "reaction" (reaction SMILES with catalysts and solvents as agents) and "procedure" (its steps).

    {train,valid,test}.json: a list of {index, REACTANT[], PRODUCT[1], CATALYST[], SOLVENT[], actions, source,
    extracted_molecules {SMILES: "$k$"}, ...}. Steps are separated by " ; "; `$k$`, `#k#` and `@k@` stand for a
    molecule, a temperature and a duration, and `$-1$` for the product. `placeholders` of a record undoes them. The
    graphs of the release (mol_graph_map.pt) are pickled objects: they are not read but made anew.
    """

    name: ClassVar[str] = "OpenExp"
    licence: ClassVar[str] = "CC0 and CC BY-SA, per source"
    source: ClassVar[str] = "the ReactXT release (Liu et al. 2024)"
    FILES: ClassVar[dict[str, str]] = {"train": "train.json", "val": "valid.json", "test": "test.json"}

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        path = self.root / self.FILES[split]
        require(self.root, {f"{split} split": path}, owner=self.name, source=self.source)
        try:
            self._rows: list[dict[str, Any]] = json.loads(read_text(path))
        except json.JSONDecodeError as err:
            raise DataError(f"{path}: not JSON (line {err.lineno}); fetch it again") from None
        if not isinstance(self._rows, list):
            raise DataError(f"{path}: holds a {type(self._rows).__name__}; expected a list of reactions")
        for number, row in enumerate(self._rows):
            _check_reaction(row, f"{path}: reaction {number}")
        refuse_empty(len(self._rows), owner=self.name, where=path, expected="a list of reactions")

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, index: int) -> Record:
        row = self._rows[index]
        agents = [*row.get("CATALYST", []), *row.get("SOLVENT", [])]
        reaction = ">".join((".".join(row["REACTANT"]), ".".join(agents), row["PRODUCT"][0]))
        sources: dict[str, Source] = {"reaction": reaction, "procedure": row["actions"]}
        name = str(row.get("index", index))
        return Record(name, name, sources)

    def roles(self, index: int) -> dict[str, list[str]]:
        """Role ("REACTANT", "CATALYST", "SOLVENT", "PRODUCT") -> SMILES of one reaction, in that order of roles."""
        row = self._rows[index]
        return {role: list(row.get(role) or []) for role in (*ROLES, "PRODUCT")}

    def placeholders(self, index: int) -> dict[str, str]:
        """Placeholder -> what it stands for, of one reaction."""
        row = self._rows[index]
        given: dict[str, str] = {"$-1$": row["PRODUCT"][0]}
        for table in ("extracted_molecules", "extracted_temperature", "extracted_duration"):
            given |= {mark: text for text, mark in (row.get(table) or {}).items()}
        return given


def _check_reaction(row: Any, where: str) -> None:
    """Raises DataError naming the key of a reaction that is absent or of another kind."""
    if not isinstance(row, dict):
        raise DataError(f"{where}: is a {type(row).__name__}; expected a mapping with REACTANT, PRODUCT and actions")
    absent = {"REACTANT", "PRODUCT", "actions"} - set(row)
    if absent or len(row["PRODUCT"]) != 1:
        raise DataError(f"{where}: needs REACTANT, one PRODUCT and actions ({sorted(absent)} absent)")
    for role in (*ROLES, "PRODUCT"):
        found = row.get(role) or []
        if not isinstance(found, list) or not all(isinstance(smiles, str) and smiles for smiles in found):
            raise DataError(f"{where}: {role} is not a list of SMILES")
    for table in ("extracted_molecules", "extracted_temperature", "extracted_duration"):
        if not isinstance(row.get(table) or {}, dict):
            raise DataError(f"{where}: {table} is not a mapping from what it stands for to the placeholder")
    if not isinstance(row["actions"], str):
        raise DataError(f"{where}: actions is a {type(row['actions']).__name__}; expected steps joined by ' ; '")


def restored(procedure: str, placeholders: dict[str, str]) -> str:
    """A procedure with what its placeholders stand for."""
    return re.sub(r"\$-?\d+\$|#\d+#|@\d+@", lambda found: placeholders.get(found.group(), found.group()), procedure)
