"""Functional groups and ring systems by pattern. A name stands for a pattern, nothing more."""

from __future__ import annotations

from functools import cache
from typing import Any

from domains.molecules.io.rdkit import chem

GROUPS = {
    "carboxylic acid": "[CX3](=O)[OX2H1]",
    "carboxylate": "[CX3](=O)[O-]",
    "ester": "[CX3;!$(C(=O)(O)[N,O])](=O)[OX2H0][#6]",
    "primary amide": "[CX3;!$(C(=O)([#7])[#7,#8X2])](=O)[NX3H2]",
    "secondary amide": "[#6][CX3](=O)[NX3H1][#6]",
    "tertiary amide": "[#6][CX3](=O)[NX3H0]([#6])[#6]",
    "urea": "[NX3][CX3](=O)[NX3]",
    "thiourea": "[NX3][CX3](=S)[NX3]",
    "carbamate": "[NX3][CX3](=O)[OX2H0]",
    "imide": "[CX3](=O)[NX3][CX3](=O)",
    "aldehyde": "[CX3H1](=O)[#6]",
    "ketone": "[#6][CX3](=O)[#6]",
    "quinone": "O=C1[#6]~[#6]C(=O)[#6]~[#6]1",
    "alcohol": "[CX4][OX2H]",
    "phenol": "c[OX2H]",
    "thiol": "[#6][SX2H]",
    "alkyl ether": "[CX4][OX2][CX4]",
    "aryl ether": "c[OX2][#6]",
    "methoxy": "[CH3][OX2][#6]",
    "thioether": "[#6][SX2][#6;!$(C=[O,S])]",
    "disulfide": "[SX2][SX2]",
    "primary amine": "[NX3;H2;!$(N[C,S]=[O,S,N])][CX4]",
    "secondary amine": "[NX3;H1;!$(N[C,S]=[O,S,N])]([CX4])[CX4]",
    "tertiary amine": "[NX3;H0;!$(N[C,S]=[O,S,N])]([CX4])([CX4])[CX4]",
    "aniline nitrogen": "[NX3;!$(N=*);!$(N[C,S]=[O,S]);!$([N+](=O)[O-])]c",
    "quaternary ammonium": "[NX4+;!$([N+][O-])]([#6])([#6])([#6])[#6]",
    "nitro": "[$([NX3](=O)=O),$([NX3+](=O)[O-])]",
    "nitrile": "[CX2]#[NX1]",
    "azo": "[#6][NX2]=[NX2][#6]",
    "azide": "[$([NX2-]-[NX2+]#[NX1]),$([NX2]=[NX2+]=[NX1-])]",
    "hydrazine": "[NX3;!R][NX3]",
    "hydrazone": "[CX3]=[NX2][NX3]",
    "oxime": "[CX3]=[NX2][OX2H]",
    "imine": "[CX3;!$(C([N,O,S])=N)]=[NX2][#6]",
    "amidine or guanidine": "[NX3][CX3]=[NX2]",
    "sulfonamide": "[SX4](=O)(=O)[NX3]",
    "sulfone": "[#6][SX4](=O)(=O)[#6]",
    "sulfoxide": "[#6][SX3](=O)[#6]",
    "sulfonic acid or sulfonate": "[SX4](=O)(=O)[$([OX2H]),$([OX1-])]",
    "thiocarbonyl": "[#6]=[SX1]",
    "phosphorus oxide": "[P]=[OX1]",
    "alkene": "[CX3;!a]=[CX3;!a]",
    "alkyne": "[CX2]#[CX2]",
    "fluoro": "[F]",
    "trifluoromethyl": "C(F)(F)F",
    "chloro": "[Cl;X1]",
    "bromo": "[Br;X1]",
    "iodo": "[I;X1]",
    "boron": "[#5]",
    "silicon": "[#14]",
    "isopropyl": "[CX4H1]([CH3])([CH3])[#6,#7,#8]",
    "tert-butyl": "[CX4]([CH3])([CH3])([CH3])[#6,#7,#8]",
}
RINGS = {
    "benzene": "c1ccccc1",
    "naphthalene": "c1ccc2ccccc2c1",
    "pyridine": "n1ccccc1",
    "pyrimidine": "n1cnccc1",
    "pyrazine": "n1ccncc1",
    "pyridazine": "n1ncccc1",
    "triazine": "n1cncnc1",
    "quinoline": "n1cccc2ccccc12",
    "isoquinoline": "c1nccc2ccccc12",
    "quinazoline": "n1cncc2ccccc12",
    "indole": "[nH]1ccc2ccccc12",
    "benzimidazole": "[nH]1cnc2ccccc12",
    "purine": "[nH]1cnc2ncncc12",
    "pyrrole": "[nH]1cccc1",
    "imidazole": "[nH]1cncc1",
    "pyrazole": "[nH]1nccc1",
    "1,2,4-triazole": "[nH]1ncnc1",
    "1,2,3-triazole": "[nH]1nncc1",
    "tetrazole": "[nH]1nnnc1",
    "furan": "o1cccc1",
    "thiophene": "s1cccc1",
    "oxazole": "o1cncc1",
    "isoxazole": "o1nccc1",
    "thiazole": "s1cncc1",
    "1,3,4-thiadiazole": "s1cnnc1",
    "1,2,4-oxadiazole": "o1ncnc1",
    "benzothiazole": "s1cnc2ccccc12",
    "benzofuran": "o1ccc2ccccc12",
    "coumarin": "O=c1ccc2ccccc2o1",
    "piperidine": "[NX3]1[CX4][CX4][CX4][CX4][CX4]1",
    "piperazine": "[NX3]1[CX4][CX4][NX3][CX4][CX4]1",
    "morpholine": "[NX3]1[CX4][CX4][OX2][CX4][CX4]1",
    "pyrrolidine": "[NX3]1[CX4][CX4][CX4][CX4]1",
    "cyclohexane": "[CX4]1[CX4][CX4][CX4][CX4][CX4]1",
    "cyclopentane": "[CX4]1[CX4][CX4][CX4][CX4]1",
    "cyclopropane": "[CX4]1[CX4][CX4]1",
    "epoxide": "[CX4]1[OX2][CX4]1",
    "pyranose-like oxane": "[OX2]1[CX4][CX4][CX4][CX4][CX4]1",
    "methylenedioxy": "[OX2]1[CH2][OX2]cc1",
}


@cache
def _patterns(which: str) -> dict[str, Any]:
    """Aromatic rings as SMILES: all their bonds are then aromatic, which SMARTS leaves open."""
    Chem = chem()
    if which == "groups":
        return {name: Chem.MolFromSmarts(smarts) for name, smarts in GROUPS.items()}
    return {name: (Chem.MolFromSmarts if "X" in text else Chem.MolFromSmiles)(text) for name, text in RINGS.items()}


def group_counts(mol: Any) -> dict[str, int]:
    """How often each functional group occurs (distinct sets of atoms), those that do."""
    return _counts(mol, "groups")


def ring_counts(mol: Any) -> dict[str, int]:
    """How often each ring system occurs, those that do; a fused system counts as its parts too."""
    return _counts(mol, "rings")


def _counts(mol: Any, which: str) -> dict[str, int]:
    found = {name: len(mol.GetSubstructMatches(pattern)) for name, pattern in _patterns(which).items()}
    return {name: count for name, count in found.items() if count}
