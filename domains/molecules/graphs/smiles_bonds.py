"""The bonds of a SMILES in the order in which RDKit numbers them, read off the string.

To ask RDKit costs a Python object per bond, a third of the time that a graph takes. A parser adds the bonds to the
atom before as it goes and closes rings at the end, in the order of their numbers: that is what is repeated here.
"""

from __future__ import annotations

import re

_BRACKET = re.compile(r"\[\d*(?:Cl|Br|Si|[Ss]e|[BCNOPSFI]|[bcnops])(?![a-z])[^\]]*\]")
_TOKEN = re.compile(
    r"(\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops])|([()])|([-=#:/\\]?)(?:%\((\d+)\)|%(\d\d)|(\d))|(\.)|([^-=#:/\\])"
)


def smiles_bonds(text: str) -> tuple[int, list[int], list[int]] | None:
    """(atoms, first atom of each bond, second atom of each bond).

    None for what this does not vouch for: elements beyond those of organic molecules (whose bonds RDKit may make
    dative), wildcards, quadruple or unspecified bonds.
    """
    if "[" in text and len(_BRACKET.findall(text)) != text.count("["):
        return None
    first: list[int] = []
    second: list[int] = []
    branches: list[int] = []
    rings: dict[int, tuple[int, str]] = {}
    closed: list[tuple[int, int, int]] = []
    before, atoms = -1, 0
    for atom, branch, order, wide, two, one, dot, other in _TOKEN.findall(text):
        if atom:
            if before >= 0:
                first.append(before)
                second.append(atoms)
            before = atoms
            atoms += 1
        elif branch == "(":
            branches.append(before)
        elif branch:
            if not branches:
                return None
            before = branches.pop()
        elif dot:
            before = -1
        elif other:
            return None
        else:
            number = int(wide or two or one)
            opened = rings.pop(number, None)
            if opened is None:
                rings[number] = (before, order)
            else:  # a ring bond begins at its end, unless its beginning says of what kind it is
                closed.append((number, opened[0], before) if opened[1] else (number, before, opened[0]))
    if rings:
        return None
    closed.sort(key=_number)
    return atoms, [*first, *(ring[1] for ring in closed)], [*second, *(ring[2] for ring in closed)]


def _number(ring: tuple[int, int, int]) -> int:
    return ring[0]
