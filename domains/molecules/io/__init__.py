"""Strings and files of chemistry to RDKit molecules; what cannot be read is an error with the string in it."""

from domains.molecules.io.files import read_records as read_records
from domains.molecules.io.parse import read_molecule as read_molecule
from domains.molecules.io.reaction import Reaction as Reaction
from domains.molecules.io.reaction import read_reaction as read_reaction
