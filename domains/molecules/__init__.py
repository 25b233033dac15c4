"""Molecules, their texts and reactions, and knowledge graphs. Light to import: torch, RDKit come with use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazily

if TYPE_CHECKING:
    from core.hub import load_encoder as load_encoder

_WHERE = {
    "load_encoder": "core.hub",
    "read_molecule": "domains.molecules.io",
    "read_reaction": "domains.molecules.io",
    "read_triples": "domains.molecules.kg.triples",
    "MoleculePolicy": "domains.molecules.policy",
    "graph_of": "domains.molecules.graphs",
    "layout_class": "domains.molecules.data",
}
__all__ = list(_WHERE)
__getattr__, __dir__ = lazily(__name__, _WHERE)
