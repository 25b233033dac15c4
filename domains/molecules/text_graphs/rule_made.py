"""Text graphs of REAL molecules (shipped with RDKit) whose texts, edges and classes are made by RULE.

A node's text names some of what the structure holds, each fact with probability one half, so that what its own text
leaves out its neighbours may tell. Edges join the most similar molecules. Two such graphs share no molecule: one asks
for ring systems, the other for functional groups, so that zero-shot figures can cross from one to the other.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.data.built import build_once, cache_root
from core.data.tables import hash_share
from domains.molecules.text_graphs.csv_layout import TextGraphCSV

VERSION = "1"
RING_CLASSES = ("pyridine", "thiophene", "furan", "naphthalene", "piperidine", "indole", "cyclohexane", "pyrimidine")
GROUP_CLASSES = ("nitro", "carboxylic acid", "sulfonamide", "ester", "nitrile", "urea", "alcohol", "hydrazone")
EACH = 100  # molecules of a class at most
TOLD = 0.5  # probability that a fact is in the text
NEAREST, LEAST = 5, 0.2  # edges: most similar molecules of a node, and how similar they have to be
BITS = 128  # of the folded fingerprint, the second modality
WITHOUT = 0.2  # share of nodes that lack it
SHARES = {"train": 0.6, "val": 0.8, "test": 1.0}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A molecule with exactly one of the classes. facts: names of its groups and rings, the class among them."""

    key: str
    label: str
    facts: tuple[str, ...]
    mol: Any


class RuleMadeTextGraph(TextGraphCSV):
    """`text_graph_csv` with fingerprints as features `structure`, built on first use. root: to read instead."""

    licence: ClassVar[str] = "BSD-3-Clause (RDKit); texts, edges, classes: CC0-1.0"
    source: ClassVar[str] = "molecules of the installed RDKit; the rest made by rule on first use"
    kind: ClassVar[str]

    def __init__(self, *, root: Path | None = None, split: str, seed: int = 0, each: int = EACH) -> None:
        """seed: of what texts leave out and of the split. each: molecules of a class at most."""
        folder = build(self.kind, seed=seed, each=each) if root is None else root
        super().__init__(root=folder, split=split)


class RingGraph(RuleMadeTextGraph):
    """Classes: which of eight ring systems a molecule holds, those with exactly one of them."""

    name: ClassVar[str] = "molecules by ring system (structures real; texts, edges, classes RULE-MADE)"
    kind: ClassVar[str] = "rings"


class GroupGraph(RuleMadeTextGraph):
    """Classes: which of eight functional groups a molecule holds, those with exactly one; none of `RingGraph`."""

    name: ClassVar[str] = "molecules by functional group (structures real; texts, edges, classes RULE-MADE)"
    kind: ClassVar[str] = "groups"


def build(kind: str, *, seed: int = 0, each: int = EACH) -> Path:
    """The folder of a graph, built if it is not there yet."""
    from rdkit import rdBase

    version = f"{VERSION}-rdkit{rdBase.rdkitVersion}"
    target = cache_root() / "text_graphs" / f"{kind}-{each}-{seed}"
    return build_once(target, lambda empty: write(empty, choose(kind, each), seed=seed), version=version)


def choose(kind: str, each: int) -> list[Chosen]:
    """Shipped molecules with exactly one class of the `kind` (rings or groups), at most `each` of a class."""
    from domains.molecules.data.samples import shipped_molecules
    from domains.molecules.describe.groups import group_counts, ring_counts

    classes = RING_CLASSES if kind == "rings" else GROUP_CLASSES
    full = dict.fromkeys(classes, 0)
    found: list[Chosen] = []
    for _, _, key, mol in shipped_molecules():
        if (hash_share(key, salt="text graph") < 0.5) != (kind == "rings"):
            continue
        counts = ring_counts(mol) if kind == "rings" else group_counts(mol)
        held = [name for name in classes if name in counts]
        if len(held) != 1 or full[held[0]] >= each:
            continue
        full[held[0]] += 1
        other = group_counts(mol) if kind == "rings" else ring_counts(mol)
        found.append(Chosen(key, held[0], tuple(sorted({*counts, *other})), mol))
        if min(full.values()) >= each:
            break
    return found


def write(folder: Path, chosen: list[Chosen], *, seed: int) -> None:
    """nodes.csv, edges.csv, classes.csv and features_structure.npy, the same for the same arguments."""
    bits_NB, pairs_2E = fingerprints([c.mol for c in chosen])
    nodes = []
    for c in chosen:
        share = hash_share(c.key, salt=f"split {seed}")
        split = next(name for name, end in SHARES.items() if share < end)
        nodes.append((f"m{zlib.crc32(c.key.encode()):08x}", told(c, seed), c.label, split, c.key))
    lacking = [hash_share(c.key, salt=f"structure {seed}") < WITHOUT for c in chosen]
    bits_NB[np.array(lacking)] = np.nan
    np.save(folder / "features_structure.npy", bits_NB)
    _table(folder / "nodes.csv", ["id", "text", "label", "split", "smiles"], nodes)
    _table(folder / "edges.csv", ["source", "target"], ((nodes[a][0], nodes[b][0]) for a, b in pairs_2E.T))
    labels = sorted({c.label for c in chosen})
    _table(folder / "classes.csv", ["label", "text"], ((name, sentence(name)) for name in labels))


def told(c: Chosen, seed: int) -> str:
    """A sentence for each fact that a throw of the coin by (seed, molecule, fact) leaves in, and always the size."""
    kept = [name for name in c.facts if hash_share(f"{c.key}\0{name}", salt=f"told {seed}") < TOLD]
    atoms = c.mol.GetNumHeavyAtoms()
    size = "small" if atoms < 15 else "medium" if atoms < 25 else "large"
    return " ".join([f"A {size} molecule.", *(sentence(name) for name in kept)])


def sentence(name: str) -> str:
    return f"It contains {name}."


def fingerprints(mols: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """((N, B) folded Morgan bits, (2, E) pairs of each molecule and its most similar ones by Tanimoto)."""
    from rdkit import DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    found = [generator.GetFingerprint(mol) for mol in mols]
    bits_NW = np.stack([generator.GetFingerprintAsNumPy(mol) for mol in mols])
    folded_NB = bits_NW.reshape(len(mols), -1, BITS).any(axis=1).astype(np.float32)
    pairs = []
    for i, own in enumerate(found):
        like = np.array(DataStructs.BulkTanimotoSimilarity(own, found))
        like[i] = -1.0
        near = np.argsort(-like, kind="stable")[:NEAREST]
        pairs += [(i, int(j)) for j in near if like[j] >= LEAST]
    return np.asarray(folded_NB), np.array(pairs, np.int64).reshape(-1, 2).T


def _table(path: Path, header: list[str], rows: Iterable[tuple[str, ...]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
