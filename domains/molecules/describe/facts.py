"""What is computed of a structure before anything is said about it. Computed, not measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domains.molecules.describe.groups import group_counts, ring_counts
from domains.molecules.graphs.fragments import scaffold
from domains.molecules.io.rdkit import chem


@dataclass(frozen=True, slots=True)
class Facts:
    """groups, rings: name -> count. elements: symbol -> atoms, hydrogen left out. weight: g/mol. log_p: Crippen's
    estimate. polar_area: topological, square angstrom. qed: drug-likeness in [0, 1] (Bickerton et al. 2012).
    centres: tetrahedral stereo centres, of which `assigned` are stated. geometry: E and Z double bonds that are stated.
    pieces: parts that no bond joins. scaffold: Bemis-Murcko SMILES, "" without rings."""

    groups: dict[str, int]
    rings: dict[str, int]
    elements: dict[str, int]
    atoms: int
    weight: float
    log_p: float
    polar_area: float
    donors: int
    acceptors: int
    rotatable: int
    ring_count: int
    aromatic_rings: int
    sp3_share: float
    charge: int
    pieces: int
    qed: float
    centres: int
    assigned: int
    e_bonds: int
    z_bonds: int
    scaffold: str


def facts_of(mol: Any) -> Facts:
    """The facts of an RDKit molecule; deterministic."""
    from rdkit.Chem import QED, Descriptors, rdMolDescriptors

    Chem = chem()
    named: Any = Descriptors  # its functions are made when it is imported
    elements: dict[str, int] = {}
    for atom in (mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())):
        elements[atom.GetSymbol()] = elements.get(atom.GetSymbol(), 0) + 1
    centres = Chem.FindMolChiralCenters(mol, includeUnassigned=True, useLegacyImplementation=True)
    stereo = [mol.GetBondWithIdx(i).GetStereo() for i in range(mol.GetNumBonds())]
    return Facts(
        groups=group_counts(mol),
        rings=ring_counts(mol),
        elements=dict(sorted(elements.items(), key=lambda pair: (pair[0] != "C", pair[0]))),
        atoms=mol.GetNumHeavyAtoms(),
        weight=named.MolWt(mol),
        log_p=named.MolLogP(mol),
        polar_area=rdMolDescriptors.CalcTPSA(mol),
        donors=rdMolDescriptors.CalcNumHBD(mol),
        acceptors=rdMolDescriptors.CalcNumHBA(mol),
        rotatable=rdMolDescriptors.CalcNumRotatableBonds(mol),
        ring_count=rdMolDescriptors.CalcNumRings(mol),
        aromatic_rings=rdMolDescriptors.CalcNumAromaticRings(mol),
        sp3_share=rdMolDescriptors.CalcFractionCSP3(mol),
        charge=Chem.GetFormalCharge(mol),
        pieces=len(Chem.GetMolFrags(mol)),
        qed=QED.qed(mol),
        centres=len(centres),
        assigned=sum(label in "RS" for _, label in centres),
        e_bonds=sum(s == Chem.BondStereo.STEREOE for s in stereo),
        z_bonds=sum(s == Chem.BondStereo.STEREOZ for s in stereo),
        scaffold=scaffold(mol),
    )
