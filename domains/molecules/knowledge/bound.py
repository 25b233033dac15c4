"""RULE-MADE links that no structure shows, and texts that name them: does a model read the graph?

Every molecule (real, of RDKit) is bound to a few made-up proteins drawn at random, and its text names them. A graph of
atoms says nothing about them, its neighbours in the knowledge graph say all.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from core.data.built import build_once, cache_root
from core.errors import ConfigError
from domains.molecules.data import samples
from domains.molecules.kg.triples import Triple
from domains.molecules.knowledge.bundle import write_bundle
from domains.molecules.knowledge.layouts import MolFMBundle

VERSION = "1"
PROTEINS = ("kinase", "protease", "lipase", "ligase", "reductase", "oxidase", "transferase", "phosphatase", "hydrolase",
            "isomerase", "lyase", "helicase", "polymerase", "nuclease", "esterase", "amidase", "synthase", "mutase",
            "aldolase", "catalase", "peroxidase", "glycosidase", "elastase", "trypsin")  # fmt: skip
BOUND = 4
Links = Literal["true", "shuffled", "none"]


class BoundMolecules(MolFMBundle):
    """Modalities "graph" (real), "text" and "neighbours" (MADE UP: nothing here binds anything).

    links: "true", "shuffled" (neighbours handed to the wrong molecules, so that they tell nothing) or "none".
    """

    name: ClassVar[str] = "BoundMolecules (structures real, bindings made up)"
    licence: ClassVar[str] = samples.ShippedMolecules.licence
    source: ClassVar[str] = "made by rule on first use"
    simulated: ClassVar[bool] = True

    def __init__(
        self, *, split: str, root: Path | None = None, most: int = 1500, links: Links = "true", seed: int = 0
    ) -> None:
        if links not in ("true", "shuffled", "none"):
            raise ConfigError(f"links: is '{links}'; valid: true, shuffled, none")
        if root is None:
            described = samples.ShippedMolecules(split="train", most=most).root
            folder = cache_root() / "datasets" / f"bound_molecules-{links}-{most}-{seed}"
            root = build_once(
                folder, lambda out: write(out, described, links=links, seed=seed), version=f"{VERSION}-{described.name}"
            )
        super().__init__(root=root, split=split)


def write(root: Path, described: Path, *, links: Links = "true", seed: int = 0) -> None:
    """Write the bundle of the molecules in `described`. Without links only the first molecule keeps one, unnamed by
    texts, since a graph needs an entity."""
    with open(described / "raw" / "CID2SMILES.csv", encoding="utf-8", newline="") as file:
        smiles = {row["CID"]: row["SMILES"] for row in csv.DictReader(file)}
    rng = np.random.default_rng(seed)
    names = list(smiles)
    bound_MB = rng.permuted(np.tile(np.arange(len(PROTEINS)), (len(names), 1)), axis=1)[:, :BOUND]
    drugs = {}
    for name, row in zip(names, bound_MB, strict=True):
        listed = [PROTEINS[i] for i in row]
        drugs[name] = (smiles[name], f"It binds {', '.join(listed[:-1])} and {listed[-1]}.")
    told_MB = bound_MB[rng.permutation(len(names))] if links == "shuffled" else bound_MB
    told = [Triple(n, "binds", f"protein {PROTEINS[i]}") for n, row in zip(names, told_MB, strict=True) for i in row]
    if links == "none":
        told = [Triple("protein unknown", "resembles", f"protein {PROTEINS[0]}")]
    proteins = {f"protein {p}": p for p in (*PROTEINS, "unknown")}
    write_bundle(root, drugs=drugs, entities={}, links=told, proteins=proteins)
    (root / "splits.csv").write_text(
        (described / "splits.csv").read_text(encoding="utf-8").replace("CID", "id", 1), encoding="utf-8"
    )
