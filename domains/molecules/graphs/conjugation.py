"""Which bonds are conjugated, without asking for each.

RDKit calls a bond conjugated by what its two atoms and their neighbours are, and nothing farther away. So each such
surrounding is asked for once and remembered, under a hash of it.
Shape legend: N = atoms and M = bonds of all molecules together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

KEPT = 500_000  # surroundings; drug-like molecules have a few thousand
_known: dict[int, bool] = {}
_ODD = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio in 64 bits: multiplying by it spreads what differs little
_SHIFT = np.uint64(29)


def conjugated(
    read: Callable[[int], Any],
    code_N: np.ndarray,
    ends_M2: np.ndarray,
    order_M: np.ndarray,
    rows: np.ndarray,
    starts: np.ndarray,
) -> np.ndarray:
    """(R,) bool for the bonds `rows`. read: number of a molecule -> the molecule. code_N: tells an atom's element,
    charge, hydrogens and bond orders. order_M: twice the bond orders. starts: the first bond of each molecule.
    """
    if len(rows) == 0:
        return np.zeros(0, bool)
    keys = _keys(code_N, ends_M2, order_M, rows).tolist()
    answers = [_known.get(key) for key in keys]
    if None in answers:
        if len(_known) > KEPT:
            _known.clear()
        owners = (np.searchsorted(starts, rows, side="right") - 1).tolist()
        numbers, before, mol = rows.tolist(), -1, None
        for i, answer in enumerate(answers):
            if answer is None:
                if owners[i] != before:
                    before, mol = owners[i], read(owners[i])
                bond = mol.GetBondWithIdx(numbers[i] - int(starts[before]))  # type: ignore[union-attr]
                answers[i] = _known[keys[i]] = bool(bond.GetIsConjugated())
    return np.array(answers, bool)


def _keys(code_N: np.ndarray, ends_M2: np.ndarray, order_M: np.ndarray, rows: np.ndarray) -> np.ndarray:
    own_N = _mixed(code_N.astype(np.uint64))
    around_N = own_N.copy()
    order_M = order_M.astype(np.uint64)
    for here, there in ((0, 1), (1, 0)):
        np.add.at(around_N, ends_M2[:, here], _mixed(own_N[ends_M2[:, there]] + order_M))
    around_R2 = _mixed(around_N)[ends_M2[rows]]
    return around_R2[:, 0] + around_R2[:, 1] + order_M[rows] * _ODD


def _mixed(x: np.ndarray) -> np.ndarray:
    x = x * _ODD
    return (x ^ (x >> _SHIFT)) * _ODD
