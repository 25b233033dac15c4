"""How often reactions and their molecules are drawn, so that molecules of many reactions are not seen more often.

ReactXT (Liu et al. 2024): with c(m) the number of reactions that hold molecule m,
P(r) = (sum over m in r of 1 / c(m)) / Z and P(m | r) = (1 / c(m)) / sum over m' in r of 1 / c(m').
A molecule drawn from a drawn reaction is then any of the M molecules with probability 1 / M.
Shape legend: R = reactions, M = molecules, L = molecules of one reaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class ReactionWeights:
    """members: the molecules of each reaction as numbers from 0, each once per reaction; a reaction may have none.

    count_M: c(m). Raises DataError when no reaction has a molecule.
    """

    def __init__(self, members: Sequence[Sequence[int]]) -> None:
        self.members: list[Ints] = [np.array(row, np.int64) for row in members]
        if not any(len(row) for row in self.members):
            raise DataError("no reaction holds a molecule that may be told; give molecules an abstract")
        self.count_M = np.bincount(np.concatenate(self.members))
        self._inverse = [1.0 / self.count_M[row] for row in self.members]
        total_R = np.array([row.sum() for row in self._inverse])
        self.reaction_R: Floats = total_R / total_R.sum()

    def molecules(self, reaction: int) -> Floats:
        """(L,) P(m | r) of the members of a reaction."""
        inverse_L = self._inverse[reaction]
        return inverse_L / inverse_L.sum()

    def marginal(self) -> Floats:
        """(M,) sum over r of P(r) P(m | r), for one molecule per reaction: 1 / M for each that a reaction holds."""
        out_M = np.zeros(len(self.count_M))
        for reaction, row in enumerate(self.members):
            if len(row):
                np.add.at(out_M, row, self.reaction_R[reaction] * self.molecules(reaction))
        return out_M

    def uniform_marginal(self) -> Floats:
        """(M,) the same for reactions, and molecules of a reaction, that are equally likely."""
        out_M = np.zeros(len(self.count_M))
        held = [row for row in self.members if len(row)]
        for row in held:
            out_M[row] += 1.0 / (len(held) * len(row))
        return out_M
