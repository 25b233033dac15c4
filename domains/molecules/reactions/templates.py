"""Reactions by rule: a pattern of atoms that change, what is usually added, and how the work-up depends on the product.

They are textbook reactions, applied by pattern: that a product could be made this way, in these solvents and at these
temperatures, was not shown by anyone.
"""

from __future__ import annotations

from dataclasses import dataclass

# A building block of a class holds its pattern once, and none of the patterns of `SPOILERS`
CLASSES = {
    "acid": "[CX3](=O)[OX2H1]",
    "amine": "[NX3;H2,H1;!$(N[C,S]=[O,S,N]);!$(N~[!#6])][#6]",
    "alcohol": "[CX4][OX2H1]",
    "phenol": "c[OX2H1]",
    "aryl_bromide": "c[Br]",
    "alkyl_halide": "[CX4;H2][Cl,Br]",
    "aldehyde": "[CX3H1](=O)[#6]",
}
SPOILERS = ("[N+](=O)[O-]", "C(=O)[Cl,Br]", "[N,O][O,N]", "C#N", "[SX2H]", "N=[N+]", "[Si,P,B,Hg,Sn,As,Se]", "C=C=O")
# Reagents that few collections of drug-like molecules hold
FIXED = {
    "boronic_acid": (
        "OB(O)c1ccccc1", "Cc1ccc(B(O)O)cc1", "COc1ccc(B(O)O)cc1", "OB(O)c1ccc(F)cc1", "OB(O)c1ccc(Cl)cc1",
        "OB(O)c1cccnc1", "OB(O)c1ccsc1", "OB(O)c1ccc(C(F)(F)F)cc1", "CC(=O)c1ccc(B(O)O)cc1", "OB(O)c1ccoc1",
    ),
    "sulfonyl_chloride": (
        "CS(=O)(=O)Cl", "Cc1ccc(S(=O)(=O)Cl)cc1", "O=S(=O)(Cl)c1ccccc1", "COc1ccc(S(=O)(=O)Cl)cc1",
        "O=S(=O)(Cl)c1ccc(F)cc1", "CCS(=O)(=O)Cl", "O=S(=O)(Cl)c1cccs1", "O=S(=O)(Cl)c1ccc(Cl)cc1",
    ),
    "isocyanate": (
        "O=C=Nc1ccccc1", "CCN=C=O", "O=C=NC1CCCCC1", "Cc1ccc(N=C=O)cc1", "O=C=Nc1ccc(Cl)cc1", "O=C=Nc1ccc(F)cc1",
    ),
}  # fmt: skip
DMF, DCM, THF, TOLUENE, ACETONE, ACETONITRILE, DIOXANE, METHANOL = (
    "CN(C)C=O", "ClCCl", "C1CCOC1", "Cc1ccccc1", "CC(C)=O", "CC#N", "C1COCCO1", "CO",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Template:
    """name: of the reaction. classes: of the two reactants. pattern: reaction SMARTS. catalysts, solvents: each choice
    is a tuple of SMILES. temperatures, durations: choices. first: how the mixture is made; `{a}`, `{b}` are the
    reactants, `{c}` the catalysts, `{s}` the solvent, `{t}` and `{d}` temperature and duration. quench: with what."""

    name: str
    classes: tuple[str, str]
    pattern: str
    catalysts: tuple[tuple[str, ...], ...]
    solvents: tuple[str, ...]
    temperatures: tuple[str, ...]
    durations: tuple[str, ...]
    first: str
    quench: str


TEMPLATES = (
    Template(
        "amide coupling", ("acid", "amine"),
        "[CX3:1](=[O:2])[OX2H1].[NX3;H2,H1;!$(N[C,S]=[O,S,N]);!$(N~[!#6]):3][#6:4]>>[C:1](=[O:2])[N:3][#6:4]",
        (("CCN(C(C)C)C(C)C", "CCN=C=NCCCN(C)C"), ("CCN(CC)CC", "CCN=C=NCCCN(C)C")), (DMF, DCM),
        ("room temperature", "25 °C", "0 °C"), ("overnight", "12 hours", "16 hours"),
        "MAKESOLUTION with {a} and {s} ; ADD SLN ; ADD {c} ; ADD {b} ; STIR for {d} at {t}", "water",
    ),
    Template(
        "esterification", ("acid", "alcohol"),
        "[CX3:1](=[O:2])[OX2H1].[CX4:4][OX2H1:3]>>[C:1](=[O:2])[O:3][C:4]",
        (("O=S(=O)(O)O",), ("Cc1ccc(S(=O)(=O)O)cc1",)), (TOLUENE, DIOXANE),
        ("110 °C", "100 °C", "reflux"), ("4 hours", "6 hours", "8 hours"),
        "ADD {s} ; ADD {a} ; ADD {b} ; ADD {c} ; REFLUX for {d} at {t}", "saturated NaHCO3",
    ),
    Template(
        "Suzuki coupling", ("aryl_bromide", "boronic_acid"),
        "[c:1][Br].[c:2]B(O)O>>[c:1]-[c:2]",
        (("CC(=O)O[Pd]OC(C)=O", "O=C([O-])[O-].[K+].[K+]"), ("Cl[Pd]Cl", "O=C([O-])[O-].[Na+].[Na+]")),
        (DIOXANE, TOLUENE), ("80 °C", "90 °C", "100 °C"), ("2 hours", "5 hours", "overnight"),
        "ADD {a} ; ADD {b} ; ADD {s} ; DEGAS with nitrogen ; ADD {c} ; STIR for {d} at {t}", "water",
    ),
    Template(
        "reductive amination", ("aldehyde", "amine"),
        "[CX3H1:1](=O)[#6:2].[NX3;H2,H1;!$(N[C,S]=[O,S,N]);!$(N~[!#6]):3][#6:4]>>[#6:2][CH2:1][N:3][#6:4]",
        (("CC(=O)O[BH-](OC(C)=O)OC(C)=O.[Na+]",), ("[BH3-]C#N.[Na+]", "CC(=O)O")), (DCM, METHANOL, THF),
        ("room temperature", "20 °C"), ("3 hours", "overnight", "18 hours"),
        "ADD {a} ; ADD {b} ; ADD {s} ; STIR for {d} at {t} ; ADD {c} ; STIR for {d} at {t}", "saturated NaHCO3",
    ),
    Template(
        "N-alkylation", ("alkyl_halide", "amine"),
        "[CX4;H2:1][Cl,Br].[NX3;H2,H1;!$(N[C,S]=[O,S,N]);!$(N~[!#6]):3][#6:4]>>[C:1][N:3][#6:4]",
        (("O=C([O-])[O-].[K+].[K+]",), ("CCN(C(C)C)C(C)C",)), (ACETONITRILE, DMF),
        ("60 °C", "70 °C", "80 °C"), ("4 hours", "8 hours", "overnight"),
        "ADD {b} ; ADD {s} ; ADD {c} ; ADD {a} ; STIR for {d} at {t} ; FILTER keep filtrate", "water",
    ),
    Template(
        "ether synthesis", ("alkyl_halide", "phenol"),
        "[CX4;H2:1][Cl,Br].[c:2][OX2H1:3]>>[C:1][O:3][c:2]",
        (("O=C([O-])[O-].[K+].[K+]",), ("O=C([O-])[O-].[Cs+].[Cs+]",)), (ACETONE, DMF),
        ("56 °C", "60 °C", "reflux"), ("6 hours", "12 hours", "overnight"),
        "ADD {b} ; ADD {s} ; ADD {c} ; WAIT for 10 minutes ; ADD {a} ; STIR for {d} at {t} ; FILTER keep filtrate",
        "water",
    ),
    Template(
        "sulfonamide synthesis", ("sulfonyl_chloride", "amine"),
        "[S:1](=[O:5])(=[O:6])Cl.[NX3;H2,H1;!$(N[C,S]=[O,S,N]);!$(N~[!#6]):3][#6:4]>>[S:1](=[O:5])(=[O:6])[N:3][#6:4]",
        (("CCN(CC)CC",), ("c1ccncc1",)), (DCM, THF),
        ("0 °C", "room temperature"), ("1 hour", "2 hours", "3 hours"),
        "ADD {b} ; ADD {s} ; ADD {c} ; SETTEMPERATURE {t} ; ADD {a} dropwise ; STIR for {d} at {t}", "1 N HCl",
    ),
    Template(
        "urea synthesis", ("isocyanate", "amine"),
        "[N:1]=[C:2]=[O:5].[NX3;H2,H1;!$(N[C,S]=[O,S,N]);!$(N~[!#6]):3][#6:4]>>[N:1][C:2](=[O:5])[N:3][#6:4]",
        ((), ("CCN(CC)CC",)), (DCM, THF, ACETONITRILE),
        ("room temperature", "25 °C"), ("1 hour", "30 minutes", "2 hours"),
        "ADD {b} ; ADD {s} ; ADD {c} ; ADD {a} ; STIR for {d} at {t}", "",
    ),
)  # fmt: skip


def procedure(template: Template, names: dict[str, str], *, log_p: float, polar_area: float) -> str:
    """The steps for one product. names: what stands for {a}, {b}, {c}, {s}, {t}, {d}; an empty one is left out.

    By rule: with a quench the product is extracted, washed and dried; polar products (area above 90) are extracted
    with dichloromethane; lipophilic ones (log P above 3) are purified, the others recrystallised.
    """
    first = [step for step in template.first.split(" ; ") if names["c"] or "{c}" not in step]
    made = [step.format(**names) for step in first]
    if template.quench:
        layer = "dichloromethane" if polar_area > 90 else "ethyl acetate"
        made += [f"QUENCH with {template.quench}", f"EXTRACT with {layer}", "WASH with brine"]
        made += ["DRYSOLUTION over sodium sulfate", "FILTER keep filtrate"]
    made += ["CONCENTRATE", "PURIFY" if log_p > 3 else "RECRYSTALLIZE from ethanol", "YIELD $-1$"]
    return " ; ".join(made)
