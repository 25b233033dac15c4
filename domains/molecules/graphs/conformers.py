"""Shapes in space: one conformer by distance geometry, seeded and bounded in effort."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.errors import DataError
from domains.molecules.io.rdkit import chem, silent

ATTEMPTS = 20  # of the embedding; cages and large rings may never succeed
MOST_ATOMS = 200  # with hydrogen: beyond it one embedding takes seconds
FORCE_FIELD_STEPS = 200


def conformer(mol: Any, *, seed: int = 0, hydrogens: bool = False, optimise: bool = True) -> np.ndarray:
    """(N, 3) float32 positions in angstrom, centred on the mean: ETKDGv3 (Wang et al. 2020), then MMFF94, else UFF.

    seed: equal seeds give equal shapes. hydrogens: keep the rows of those that were added, behind the others.
    Raises DataError naming the molecule when it is too large or cannot be embedded in a bounded number of attempts.
    """
    Chem = chem()
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    name = Chem.MolToSmiles(mol)[:60]
    with silent():
        whole = Chem.AddHs(mol)
        if whole.GetNumAtoms() > MOST_ATOMS:
            raise DataError(
                f"'{name}': {whole.GetNumAtoms()} atoms with hydrogen, over {MOST_ATOMS}; too large to embed"
            )
        settings: Any = rdDistGeom.ETKDGv3()
        settings.randomSeed = seed
        settings.maxIterations = ATTEMPTS
        settings.timeout = 10  # seconds
        if rdDistGeom.EmbedMolecule(whole, settings) < 0:
            settings.useRandomCoords = True
            if rdDistGeom.EmbedMolecule(whole, settings) < 0:
                raise DataError(f"'{name}': no conformer found in {2 * ATTEMPTS} attempts; leave its shape out")
        if optimise and rdForceFieldHelpers.MMFFHasAllMoleculeParams(whole):
            rdForceFieldHelpers.MMFFOptimizeMolecule(whole, maxIters=FORCE_FIELD_STEPS)
        elif optimise and rdForceFieldHelpers.UFFHasAllMoleculeParams(whole):
            rdForceFieldHelpers.UFFOptimizeMolecule(whole, maxIters=FORCE_FIELD_STEPS)
    positions_N3 = np.asarray(whole.GetConformer().GetPositions())
    if not hydrogens:
        positions_N3 = positions_N3[: mol.GetNumAtoms()]
    return (positions_N3 - positions_N3.mean(axis=0)).astype(np.float32)
