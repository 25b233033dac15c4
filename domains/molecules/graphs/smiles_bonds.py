"""The bonds of a SMILES in the order in which RDKit numbers them, read off the string.

To ask RDKit costs a Python object per bond, a third of the time that a graph takes. A parser adds the bonds to the
atom before as it goes and closes rings at the end, in the order of their numbers: that is what is repeated here.
"""

from __future__ import annotations

import re
from functools import cache

_BRACKET = re.compile(r"\[\d*(?:Cl|Br|Si|[Ss]e|[BCNOPSFI]|[bcnops])(?![a-z])[^\]]*\]")
_unknown = re.compile(r"[^A-Za-z0-9()\[\]=#+.%@/\\:-]").search
# Bonds between an atom and the next are skipped: only one before the number of a ring decides anything
_tokens = re.compile(r"Cl?|[NOcno()]|Br?|[PSFIbps.]|[-=#:/\\]?(?:\d|%\d\d|%\(\d+\))|\[[^\]]*\]").findall
_ATOMS = frozenset(["Br", "Cl", *"BCNOPSFIbcnops"])


def smiles_bonds(text: str) -> tuple[int, list[int], list[int]] | None:
    """(atoms, first atom of each bond, second atom of each bond) of a string that RDKit could read.

    None for what this does not vouch for: elements beyond those of organic molecules (whose bonds RDKit may make
    dative), wildcards, quadruple or unspecified bonds.
    """
    if _unknown(text) or ("[" in text and len(_BRACKET.findall(text)) != text.count("[")):
        return None
    parents: list[int] = []  # the atom that each atom is bonded to when it is read, -1 for none
    branches: list[int] = []
    rings: dict[int, tuple[int, bool]] = {}
    closed: list[tuple[int, int, int]] = []
    before, atoms = -1, 0
    for token in _tokens(text):
        if token in _ATOMS or token[0] == "[":
            parents.append(before)
            before = atoms
            atoms += 1
        elif token == "(":
            branches.append(before)
        elif token == ")":
            if not branches:
                return None
            before = branches.pop()
        elif token == ".":
            before = -1
        else:
            number, ordered = _ring(token)
            opened = rings.pop(number, None)
            if opened is None:
                rings[number] = (before, ordered)
            else:  # a ring bond begins at its end, unless its beginning says of what order it is
                begin, end = (opened[0], before) if opened[1] else (before, opened[0])
                closed.append((number, begin, end))
    if rings:
        return None
    if parents.count(-1) == 1:
        first, second = parents[1:], list(range(1, atoms))
    else:
        first, second = [p for p in parents if p >= 0], [i for i, p in enumerate(parents) if p >= 0]
    if closed:
        closed.sort(key=_number)
        first += [begin for _, begin, _ in closed]
        second += [end for _, _, end in closed]
    return atoms, first, second


@cache
def _ring(token: str) -> tuple[int, bool]:
    """(number, whether it says the order of its bond)"""
    return int(token.lstrip("-=#:/\\").strip("%()")), token[0] in "-=#:"


def _number(ring: tuple[int, int, int]) -> int:
    return ring[0]
