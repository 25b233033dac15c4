"""Graphs whose nodes are texts: layouts, subgraphs, encoders, objectives and node classification."""

from domains.molecules.text_graphs.classify import NodeClassification
from domains.molecules.text_graphs.graph import GraphNode, TextGraph, text_graph
from domains.molecules.text_graphs.perturbed import SignPerturbed, ThinnedGraph
from domains.molecules.text_graphs.processors import HashedTextProcessor, NodeFeatureProcessor, NodeTokenProcessor
from domains.molecules.text_graphs.sampling import PersonalisedPageRank, RestartWalk
from domains.molecules.text_graphs.tower import SubgraphTower

__all__ = [
    "GraphNode",
    "HashedTextProcessor",
    "NodeClassification",
    "NodeFeatureProcessor",
    "NodeTokenProcessor",
    "PersonalisedPageRank",
    "RestartWalk",
    "SignPerturbed",
    "SubgraphTower",
    "TextGraph",
    "ThinnedGraph",
    "text_graph",
]
