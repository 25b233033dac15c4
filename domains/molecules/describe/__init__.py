"""Descriptions made by rule from a structure: what is said is computed, and true of it. Nobody wrote these texts."""

from domains.molecules.describe.facts import Facts as Facts
from domains.molecules.describe.facts import facts_of as facts_of
from domains.molecules.describe.wordings import WORDINGS as WORDINGS
from domains.molecules.describe.wordings import paragraphs as paragraphs
