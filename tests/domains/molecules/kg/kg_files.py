"""A small graph on disk, in the layout of the public ones, and what a model of it needs."""

from pathlib import Path

import numpy as np
import torch

from domains.molecules.kg import EntityTable, LinkEncoder, TripleProcessor
from domains.molecules.kg.graph import Graph

TRAIN = [("a", "likes", "b"), ("b", "likes", "c"), ("c", "knows", "a"), ("a", "knows", "d"), ("d", "likes", "a")]
VALID = [("b", "knows", "d")]
TEST = [("c", "likes", "d"), ("d", "knows", "b")]


def lines(triples):
    return "".join("\t".join(t) + "\n" for t in triples)


def write_graph(root: Path, *, train=TRAIN, valid=VALID, test=TEST, suffix=".txt") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, triples in (("train", train), ("valid", valid), ("test", test)):
        (root / f"{name}{suffix}").write_text(lines(triples), encoding="utf-8")
    return root


def random_graph(entities=11, relations=3, triples=30, seed=0) -> Graph:
    rng = np.random.default_rng(seed)
    found = np.stack([rng.integers(0, n, triples) for n in (entities, relations, entities)], axis=1)
    return Graph(entities, relations, np.unique(found, axis=0))


def encoder_of(links, *, entities=11, bias=False, seed=0, graph=None, dtype=torch.float64) -> LinkEncoder:
    torch.manual_seed(seed)
    encoder = LinkEncoder(entities=EntityTable(entities=entities, width=links.width), links=links, bias=bias).to(dtype)
    encoder.graph = graph or random_graph(entities, links.relations)
    return encoder


def fitted(triples=TRAIN, **how) -> TripleProcessor:
    processor = TripleProcessor(**how)
    processor.fit("\t".join(t) for t in triples)
    return processor
