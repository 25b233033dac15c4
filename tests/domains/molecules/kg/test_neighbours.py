"""Messages along triples: none under question is one, renaming entities changes nothing else, facts are messages."""

import numpy as np
import pytest
import torch
from kg_files import TRAIN, fitted, random_graph

from core.errors import ConfigError
from domains.molecules.kg import DistMult, EntityTable, LinkEncoder, RelationalAttention, RelationalConvolution
from domains.molecules.kg.graph import Graph

pytest.importorskip("torch_geometric")
KINDS = (RelationalConvolution, RelationalAttention)
W = 8


def entities_of(kind, graph, relations=3, **how):
    torch.manual_seed(0)
    found = kind(base=EntityTable(entities=graph.entities, width=W), relations=relations, **how).double().eval()
    found.take(graph)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_triples_under_question_are_as_if_the_graph_had_never_had_them(kind):
    graph = random_graph()
    hidden = graph.triples_T3[::3]
    rest = Graph(graph.entities, graph.relations, np.delete(graph.triples_T3, np.s_[::3], axis=0))
    found = entities_of(kind, graph).without(torch.from_numpy(hidden)).every()
    torch.testing.assert_close(found, entities_of(kind, rest).every())
    assert not torch.allclose(found, entities_of(kind, graph).every())


@pytest.mark.parametrize("kind", KINDS)
def test_all_triples_hidden_leaves_what_entities_are_without_neighbours(kind):
    graph = random_graph()
    found = entities_of(kind, graph)
    alone = found.without(torch.from_numpy(graph.triples_T3)).every()
    assert torch.isfinite(alone).all()
    empty = Graph(graph.entities, graph.relations, np.zeros((0, 3), np.int64))
    torch.testing.assert_close(alone, entities_of(kind, empty).every())


@pytest.mark.parametrize("kind", KINDS)
def test_renaming_entities_permutes_their_vectors(kind):
    graph = random_graph()
    order = np.random.default_rng(1).permutation(graph.entities)
    renamed = graph.triples_T3.copy()
    renamed[:, [0, 2]] = order[renamed[:, [0, 2]]]
    first = entities_of(kind, graph)
    second = entities_of(kind, Graph(graph.entities, graph.relations, renamed))
    with torch.no_grad():
        second.base.vector[torch.from_numpy(order)] = first.base.vector
    torch.testing.assert_close(second.every()[torch.from_numpy(order)], first.every())


def test_a_convolution_is_its_formula():
    graph = Graph(3, 1, np.array([[0, 0, 1], [2, 0, 1]]))
    found = entities_of(RelationalConvolution, graph, relations=1, depth=1, bases=None)
    x, layer = found.base.vector, found.layers[0]
    into = (x[0] + x[2]) / 2 @ layer.weight[0]
    expected = x[1] + torch.tanh(into + x[1] @ layer.root + layer.bias)
    torch.testing.assert_close(found.every()[1], expected)
    back = x[0] + torch.tanh(x[1] @ layer.weight[1] + x[0] @ layer.root + layer.bias)
    torch.testing.assert_close(found.every()[0], back)


@pytest.mark.parametrize("kind", KINDS)
def test_facts_are_messages_and_gradients_reach_the_base(kind):
    graph = random_graph()
    more = Graph(graph.entities, graph.relations, graph.triples_T3, facts_N3=np.array([[0, 1, 5]]))
    assert not torch.allclose(entities_of(kind, graph).every()[5], entities_of(kind, more).every()[5])
    found = entities_of(kind, graph)
    found.rows(torch.tensor([1])).sum().backward()
    assert torch.isfinite(found.base.vector.grad).all()
    assert (found.base.vector.grad.abs().sum(dim=1) > 0).sum() > 1


def test_sizes_that_do_not_fit_are_refused():
    table = EntityTable(entities=9, width=6)
    with pytest.raises(ConfigError, match="depth is 0"):
        RelationalConvolution(base=table, relations=2, depth=0)
    with pytest.raises(ConfigError, match="width 6 is no multiple of 4 heads"):
        RelationalAttention(base=table, relations=2)
    links = DistMult(relations=2, dim=6)
    small = LinkEncoder(entities=RelationalConvolution(base=table, relations=1), links=links)
    with pytest.raises(ConfigError, match="the graph has 2 relations and the entities' layers 1"):
        small.take(fitted(TRAIN))
