"""Small graphs, and batches of subgraphs as processors make them."""

import numpy as np

from core.types import Batch
from domains.molecules.text_graphs import NodeFeatureProcessor, NodeTokenProcessor, text_graph
from domains.molecules.text_graphs.graph import GraphNode

WORDS = ("acid", "base", "salt", "ester", "ketone", "amine", "amide", "ether")


def path_graph(nodes, features=None):
    ends = np.stack([np.arange(nodes - 1), np.arange(1, nodes)])
    return text_graph(names(nodes), texts(nodes), [i % 2 for i in range(nodes)], ("even", "odd"), ends, features)


def names(nodes):
    return [f"n{i}" for i in range(nodes)]


def texts(nodes):
    return [f"{WORDS[i % 8]} {WORDS[(3 * i + 1) % 8]} number {i} in a glass bottle" for i in range(nodes)]


def sources(graph, rows, path):
    return [GraphNode(path, row, graph) for row in rows]


def features_of(graph, rows, path, **how):
    processor = NodeFeatureProcessor(**how)
    return processor.collate([processor.load(source) for source in sources(graph, rows, path)])


def tokens_of(graph, rows, path, **how):
    processor = NodeTokenProcessor(vocab_size=300, max_length=32, min_frequency=1, **how)
    processor.fit(sources(graph, range(len(graph)), path))
    return processor.collate([processor.load(source) for source in sources(graph, rows, path)])


def batch_of(**inputs):
    import torch

    rows = len(next(iter(inputs.values())))
    present = {name: torch.ones(rows, dtype=torch.bool) for name in inputs}
    keys = {"sample": torch.arange(rows), "text": torch.arange(rows)}
    return Batch([str(i) for i in range(rows)], inputs, present, {}, keys)
