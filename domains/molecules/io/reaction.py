"""Reaction SMILES: `reactants>agents>products`, each a dot-separated list of molecules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import DataError
from domains.molecules.io.parse import check_string, read_molecule, shown
from domains.molecules.policy import AS_WRITTEN, MoleculePolicy
from domains.molecules.standardise import isomeric_key


@dataclass(frozen=True, slots=True)
class Reaction:
    """RDKit molecules by role, in the order they were written. A salt counts as its ions, one molecule each."""

    reactants: tuple[Any, ...]
    agents: tuple[Any, ...]
    products: tuple[Any, ...]

    def smiles(self) -> str:
        """Canonical reaction SMILES without atom maps."""
        return ">".join(
            ".".join(isomeric_key(mol) for mol in side) for side in (self.reactants, self.agents, self.products)
        )

    def reversed(self) -> Reaction:
        """Products and reactants exchanged; twice gives the reaction back."""
        return Reaction(self.products, self.agents, self.reactants)


def read_reaction(text: str, policy: MoleculePolicy = AS_WRITTEN) -> Reaction:
    """The molecules of a reaction SMILES. Raises DataError with the string, and with the molecule that fails."""
    check_string(text, policy)
    sides = text.strip().split(">")
    if len(sides) != 3:
        raise DataError(f"{shown(text)}: a reaction has two '>', this has {len(sides) - 1}: reactants>agents>products")
    found = []
    for side in sides:
        try:
            found.append(tuple(read_molecule(part, policy) for part in side.split(".") if part))
        except DataError as fault:
            raise DataError(f"{shown(text)}: {fault}") from None
    if not found[0] or not found[2]:
        raise DataError(f"{shown(text)}: a reaction needs a reactant and a product")
    return Reaction(*found)
