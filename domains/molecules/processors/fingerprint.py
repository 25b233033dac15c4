"""Fixed descriptions of a molecule as a vector: encoders that nobody has to train.

Shape legend: V = molecules of a batch, S = size of a fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.errors import ConfigError, nearest
from core.types import ModalityInput
from domains.molecules.io.parse import read_molecule
from domains.molecules.io.rdkit import chem, silent
from domains.molecules.processors.graph import string_of

Kind = Literal["morgan", "atom_pairs", "torsions", "paths", "maccs"]
MACCS = 167


class FingerprintProcessor(Processor):
    """Counts of what a molecule holds, folded to `size` numbers and taken as log(1 + n); MACCS keys are 0 or 1.

    kind: "morgan" (circular, radius 2), "atom_pairs" (two atoms and their distance), "torsions" (chains of four atoms),
    "paths" (RDKit's, up to 7 bonds) or "maccs" (166 keys, padded with zeros). of: the modality whose string it reads.
    collate: x (V, S) float32.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "graph"

    def __init__(self, *, kind: Kind = "morgan", size: int = 2048, of: str = "") -> None:
        if kind not in get_args(Kind):
            raise ConfigError(f"FingerprintProcessor: there is no kind '{kind}'{nearest(kind, get_args(Kind))}")
        if size < 1 or (kind == "maccs" and size < MACCS):
            raise ConfigError(f"FingerprintProcessor: size is {size}; give 1 or more, {MACCS} for maccs")
        self.kind, self.size, self.of = kind, size, of
        self._counts: Any = None

    def _learned(self) -> str:
        from rdkit import rdBase

        return str(rdBase.rdkitVersion)

    def load(self, source: Any) -> Sample:
        return {"counts": self.vector(read_molecule(string_of(source)))}

    def vector(self, mol: Any) -> np.ndarray:
        """(S,) float32 of an RDKit molecule."""
        if self._counts is None:
            self._counts = _counts(self.kind, self.size)
        with silent():
            found = np.asarray(self._counts(mol), np.float32)
        out = np.zeros(self.size, np.float32)
        out[: len(found)] = found if self.kind == "maccs" else np.log1p(found)
        return out

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        return ModalityInput(torch.from_numpy(np.stack([sample["counts"] for sample in samples])))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_counts": None}  # RDKit's generators do not go to other processes


def _counts(kind: str, size: int) -> Any:
    chem()
    if kind == "maccs":
        from rdkit.Chem import rdMolDescriptors

        return rdMolDescriptors.GetMACCSKeysFingerprint
    from rdkit.Chem import rdFingerprintGenerator as Generators

    made = {
        "morgan": lambda: Generators.GetMorganGenerator(radius=2, fpSize=size),
        "atom_pairs": lambda: Generators.GetAtomPairGenerator(fpSize=size),
        "torsions": lambda: Generators.GetTopologicalTorsionGenerator(fpSize=size),
        "paths": lambda: Generators.GetRDKitFPGenerator(fpSize=size),
    }[kind]()
    return made.GetCountFingerprintAsNumPy
