"""The bonds of a SMILES in the order in which RDKit numbers them, read off the string.

To ask RDKit costs a Python object per bond, a third of the time that a graph takes. A parser adds the bonds to the
atom before as it goes and closes rings at the end, in the order of their numbers: that is what is repeated here.
"""

from __future__ import annotations

import re

_BRACKET = re.compile(r"\[\d*(?:Cl|Br|Si|[Ss]e|[BCNOPSFI]|[bcnops])(?![a-z])[^\]]*\]")
_tokens = re.compile(r"\[[^\]]*\]|Br|Cl|[-=#:/\\]?(?:%\(\d+\)|%\d\d|\d)|.", re.DOTALL).findall
_ATOMS = frozenset(["Br", "Cl", *"BCNOPSFIbcnops"])
_BONDS = frozenset("-=#:/\\")


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
    for token in _tokens(text):
        if token in _ATOMS or token[0] == "[":
            if before >= 0:
                first.append(before)
                second.append(atoms)
            before = atoms
            atoms += 1
        elif token == "(":
            branches.append(before)
        elif token == ")":
            if not branches:
                return None
            before = branches.pop()
        elif token in _BONDS:
            continue
        elif token == ".":
            before = -1
        elif token[-1].isdigit() or token[-1] == ")":
            order = token[0] if token[0] in "-=#:" else ""
            number = int(token.strip("-=#:/\\%()"))
            opened = rings.pop(number, None)
            if opened is None:
                rings[number] = (before, order)
            else:  # a ring bond begins at its end, unless its beginning says of what order it is
                closed.append((number, opened[0], before) if opened[1] else (number, before, opened[0]))
        else:
            return None
    if rings:
        return None
    closed.sort(key=_number)
    for _, begin, end in closed:
        first.append(begin)
        second.append(end)
    return atoms, first, second


def _number(ring: tuple[int, int, int]) -> int:
    return ring[0]
