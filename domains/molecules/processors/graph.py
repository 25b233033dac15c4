"""A molecule's string to a graph, and graphs to a padded batch.

Shape legend: V = molecules of a batch, N = atoms of the largest, E = directed edges of the one with most, F and G =
feature columns of atoms and bonds. Rows are padded, so that a batch can be cut by rows as any other modality's can;
an encoder that works on one disconnected graph packs them (`domains.molecules.encoders.packed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.errors import DataError
from core.types import ModalityInput
from domains.molecules.graphs.featurise import graph_of, graphs_of
from domains.molecules.graphs.vocabulary import vocabulary as vocabulary_called
from domains.molecules.io.files import read_records
from domains.molecules.io.parse import read_molecule
from domains.molecules.io.rdkit import silent
from domains.molecules.policy import MAX_ATOMS, MAX_LENGTH, Fragments, MoleculePolicy, Stereo, Tautomers


class GraphProcessor(Processor):
    """Graph of a SMILES, InChI or molfile block, or of the first molecule of a file (a Path).

    vocabulary: "hu2" (public GIN checkpoints) or "ogb9". The others are those of `MoleculePolicy`.
    load: `atoms` (N, F) int16, `edges` (2, E) int32, `bonds` (E, G) int16. collate: x (V, N, F) int64, mask (V, N),
    extra `edges` (V, E, 2), `bonds` (V, E, G) int64 and `edge_mask` (V, E) bool; padded edges run from atom 0 to 0.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "graph"
    slow_texts: ClassVar[bool] = True

    def __init__(
        self,
        *,
        vocabulary: str = "hu2",
        fragments: Fragments = "keep",
        stereo: Stereo = "keep",
        tautomers: Tautomers = "keep",
        uncharge: bool = False,
        max_length: int = MAX_LENGTH,
        max_atoms: int = MAX_ATOMS,
    ) -> None:
        self.vocabulary, self.fragments, self.stereo, self.tautomers = vocabulary, fragments, stereo, tautomers
        self.uncharge, self.max_length, self.max_atoms = uncharge, max_length, max_atoms
        self.policy = MoleculePolicy(fragments, stereo, tautomers, uncharge, max_length, max_atoms)
        self.names = vocabulary_called(vocabulary)

    def _learned(self) -> str:
        from rdkit import rdBase

        return str(rdBase.rdkitVersion)  # perception of aromaticity and stereo changes between versions

    def load(self, source: Any) -> Sample:
        graph = graph_of(string_of(source), self.names, self.policy)
        return {"atoms": graph.atoms, "edges": graph.edges, "bonds": graph.bonds}

    def load_many(self, sources: Sequence[Any]) -> list[Sample | DataError]:
        found = graphs_of([string_of(source) for source in sources], self.names, self.policy)
        return [
            one if isinstance(one, DataError) else {"atoms": one.atoms, "edges": one.edges, "bonds": one.bonds}
            for one in found
        ]

    def drawn(self, source: Any) -> np.ndarray | None:
        """The structure as chemists draw it, (240, 320, 3)."""
        import io

        from PIL import Image
        from rdkit.Chem.Draw import rdMolDraw2D

        canvas = rdMolDraw2D.MolDraw2DCairo(320, 240)
        with silent():
            rdMolDraw2D.PrepareAndDrawMolecule(canvas, read_molecule(string_of(source), self.policy))
        canvas.FinishDrawing()
        return np.asarray(Image.open(io.BytesIO(canvas.GetDrawingText())).convert("RGB"))

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        most_atoms = max(len(sample["atoms"]) for sample in samples)
        most_edges = max(len(sample["bonds"]) for sample in samples)
        shape = len(samples), most_atoms, len(self.names.atom_columns)
        x_VNF, mask_VN = np.zeros(shape, np.int64), np.zeros(shape[:2], bool)
        edges_VE2 = np.zeros((len(samples), most_edges, 2), np.int64)
        bonds_VEG = np.zeros((len(samples), most_edges, len(self.names.bond_columns)), np.int64)
        edge_mask_VE = np.zeros((len(samples), most_edges), bool)
        for row, sample in enumerate(samples):
            atoms, edges = len(sample["atoms"]), len(sample["bonds"])
            x_VNF[row, :atoms], mask_VN[row, :atoms] = sample["atoms"], True
            edges_VE2[row, :edges], bonds_VEG[row, :edges] = sample["edges"].T, sample["bonds"]
            edge_mask_VE[row, :edges] = True
        extra = {"edges": edges_VE2, "bonds": bonds_VEG, "edge_mask": edge_mask_VE}
        return ModalityInput(
            x=torch.from_numpy(x_VNF),
            mask=torch.from_numpy(mask_VN),
            extra={name: torch.from_numpy(array) for name, array in extra.items()},
        )


def string_of(source: Any) -> str:
    """The string of a source: itself, the `text` of a molecule in a file, or the first record of a file."""
    if isinstance(source, str):
        return source
    if not isinstance(source, Path):
        return str(source.text)
    record = next(read_records(source), None)
    if record is None:
        raise DataError(f"{source}: holds no molecule")
    return record.text
