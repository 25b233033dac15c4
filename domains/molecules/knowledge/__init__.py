"""Molecules that a knowledge graph knows: a third modality beside structure and text (MolFM, Luo et al. 2023)."""

from domains.molecules.knowledge.encoder import KnowledgeEncoder as KnowledgeEncoder
from domains.molecules.knowledge.encoder import PaddedEntities as PaddedEntities
from domains.molecules.knowledge.neighbours import NeighbourProcessor as NeighbourProcessor
from domains.molecules.knowledge.pictures import MoleculePictures as MoleculePictures
