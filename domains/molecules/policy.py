"""What is done to a molecule between its string and its graph, stated once and saved with the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import ConfigError

Fragments = Literal["keep", "largest"]
Stereo = Literal["keep", "drop"]
Tautomers = Literal["keep", "canonical"]
MAX_LENGTH = 4000  # characters; a protein of 400 residues is about as long
MAX_ATOMS = 999  # atoms without hydrogen, what a V2000 molfile can hold


@dataclass(frozen=True, slots=True)
class MoleculePolicy:
    """Salts, charges, stereo and tautomers of a molecule, and how large it may be.

    fragments: "largest" keeps the one with the most atoms and drops counter-ions and solvents; uncharge: neutralises
    what can be by adding or removing hydrogen. stereo: "drop" forgets tetrahedral centres and double-bond geometry.
    tautomers: "canonical" takes RDKit's canonical one (slow: milliseconds each). sanitise: valences, kekulisation,
    aromaticity and conjugation are always computed; a molecule that fails one of them is an error, never half a graph.
    Atom-map numbers are always cleared. max_length: characters of the string; max_atoms: atoms without hydrogen.
    """

    fragments: Fragments = "keep"
    stereo: Stereo = "keep"
    tautomers: Tautomers = "keep"
    uncharge: bool = False
    max_length: int = MAX_LENGTH
    max_atoms: int = MAX_ATOMS

    def __post_init__(self) -> None:
        choices = (
            ("fragments", ("keep", "largest")),
            ("stereo", ("keep", "drop")),
            ("tautomers", ("keep", "canonical")),
        )
        for name, valid in choices:
            if getattr(self, name) not in valid:
                raise ConfigError(f"{name}: is {getattr(self, name)!r}; valid: {', '.join(valid)}")
        if self.max_length < 1 or self.max_atoms < 1:
            raise ConfigError(f"max_length {self.max_length} and max_atoms {self.max_atoms} must be positive")

    @property
    def changes_nothing(self) -> bool:
        """Whether a molecule keeps its atoms, their order and their features."""
        return (self.fragments, self.stereo, self.tautomers, self.uncharge) == ("keep", "keep", "keep", False)

    def stated(self) -> str:
        """The policy in a line, as it stands in reports and protocols."""
        return (
            f"fragments {self.fragments}, stereo {self.stereo}, tautomers {self.tautomers}, "
            f"{'uncharged' if self.uncharge else 'charges kept'}"
        )


AS_WRITTEN = MoleculePolicy()
