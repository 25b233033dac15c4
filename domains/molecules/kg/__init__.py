"""Knowledge graphs: triples, embeddings that score them, and how well they rank what was held out."""

from domains.molecules.kg.encoder import LinkEncoder
from domains.molecules.kg.entities import Entities, EntityTable, MultiModalEntities
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.hypercomplex import Tetra, TextTransform
from domains.molecules.kg.links import FactorLinks, Links
from domains.molecules.kg.losses import HardestMarginLoss, LinkLoss, LogisticLoss, MarginLoss, SelfAdversarialLoss
from domains.molecules.kg.models import ComplEx, DistMult, QuatE, RotatE, TransE, UnitTransE
from domains.molecules.kg.negatives import FilteredNegatives, Negatives, UniformNegatives
from domains.molecules.kg.neighbours import NeighbourEntities, RelationalAttention, RelationalConvolution
from domains.molecules.kg.processor import TripleProcessor
from domains.molecules.kg.ranking import LinkRanking
from domains.molecules.kg.terms import AllLinks, DrawnLinks, NuclearThree, SampledLinks

__all__ = [
    "AllLinks",
    "ComplEx",
    "DistMult",
    "DrawnLinks",
    "Entities",
    "EntityTable",
    "FactorLinks",
    "FilteredNegatives",
    "Graph",
    "HardestMarginLoss",
    "LinkEncoder",
    "LinkLoss",
    "LinkRanking",
    "Links",
    "LogisticLoss",
    "MarginLoss",
    "MultiModalEntities",
    "Negatives",
    "NeighbourEntities",
    "NuclearThree",
    "QuatE",
    "RelationalAttention",
    "RelationalConvolution",
    "RotatE",
    "SampledLinks",
    "SelfAdversarialLoss",
    "Tetra",
    "TextTransform",
    "TransE",
    "TripleProcessor",
    "UniformNegatives",
    "UnitTransE",
]
