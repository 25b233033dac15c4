"""Graphs whose nodes are texts: layouts, subgraphs, encoders, objectives and node classification."""

from domains.molecules.text_graphs.cascade import NeighbourAttention, TextCascade
from domains.molecules.text_graphs.classify import NodeClassification
from domains.molecules.text_graphs.experts import ExpertMixture
from domains.molecules.text_graphs.graph import GraphNode, TextGraph, text_graph
from domains.molecules.text_graphs.hidden_features import BalancedExperts, HiddenFeatures, NodeDistances
from domains.molecules.text_graphs.masked_nodes import LatentNodes, MaskedNodeText
from domains.molecules.text_graphs.multimodal import FeatureCascade
from domains.molecules.text_graphs.perturbed import SignPerturbed, ThinnedGraph
from domains.molecules.text_graphs.processors import HashedTextProcessor, NodeFeatureProcessor, NodeTokenProcessor
from domains.molecules.text_graphs.prompt_tuning import PromptTuning
from domains.molecules.text_graphs.sampling import PersonalisedPageRank, RestartWalk
from domains.molecules.text_graphs.tower import SubgraphTower

__all__ = [
    "BalancedExperts",
    "ExpertMixture",
    "FeatureCascade",
    "GraphNode",
    "HashedTextProcessor",
    "HiddenFeatures",
    "LatentNodes",
    "MaskedNodeText",
    "NeighbourAttention",
    "NodeClassification",
    "NodeDistances",
    "NodeFeatureProcessor",
    "NodeTokenProcessor",
    "PersonalisedPageRank",
    "PromptTuning",
    "RestartWalk",
    "SignPerturbed",
    "SubgraphTower",
    "TextCascade",
    "TextGraph",
    "ThinnedGraph",
    "text_graph",
]
