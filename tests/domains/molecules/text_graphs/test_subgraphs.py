"""Which nodes are drawn, which edges they keep, and what their positions say, against networkx and closed forms."""

import networkx as nx
import numpy as np
import pytest
from graph_inputs import path_graph, sources

from core.errors import ConfigError, DataError
from domains.molecules.text_graphs import NodeFeatureProcessor, PersonalisedPageRank, RestartWalk, text_graph
from domains.molecules.text_graphs.positions import return_probabilities
from domains.molecules.text_graphs.processors import as_node
from domains.molecules.text_graphs.sampling import hashed


@pytest.fixture
def random_graph():
    drawn = nx.gnp_random_graph(40, 0.08, seed=3)
    drawn.remove_edges_from(list(drawn.edges(5)))  # an isolated node
    ends = np.array(drawn.edges()).T
    return text_graph([str(i) for i in range(40)], ["t"] * 40, [0] * 40, ("a",), ends), drawn


def test_edges_go_both_ways_once_and_loops_are_dropped():
    graph = text_graph(["a", "b", "c"], ["", "", ""], [0, 0, 0], ("x",), np.array([[0, 1, 0, 2], [1, 0, 1, 2]]))
    assert graph.edges_2E.tolist() == [[0, 1], [1, 0]]
    assert graph.degree_N.tolist() == [1, 1, 0]


@pytest.mark.parametrize(("ids", "pairs", "said"), [
    (["a", "a"], [[0], [1]], "node 'a' is there twice"), (["a", "b"], [[0], [2]], "nodes are 0 to 1"),
])  # fmt: skip
def test_a_graph_that_cannot_be_is_refused(ids, pairs, said):
    with pytest.raises(DataError, match=said):
        text_graph(ids, ids, [0, 0], ("x",), np.array(pairs))


def test_page_rank_is_that_of_networkx(random_graph):
    graph, drawn = random_graph
    found = PersonalisedPageRank(most=8, restart=0.15, steps=200).scores(graph, np.array([0, 7]))
    for row, target in enumerate((0, 7)):
        expected = nx.pagerank(drawn, alpha=0.85, personalization={target: 1}, tol=1e-12, max_iter=1000)
        np.testing.assert_allclose(found[row], [expected[i] for i in range(40)], atol=1e-8)


def test_the_best_nodes_come_first_and_none_that_cannot_be_reached(random_graph):
    graph, drawn = random_graph
    sampler = PersonalisedPageRank(most=6, steps=60)
    score_N = sampler.scores(graph, np.array([3]))[0]
    rows = sampler.rows(graph, np.array([3]))[0]
    assert rows[0] == 3
    others = np.delete(np.arange(40), 3)
    best = others[np.argsort(-score_N[others], kind="stable")[:5]]
    assert set(rows[1:]) == set(best)
    assert set(rows) <= nx.node_connected_component(drawn, 3)
    assert sampler.rows(graph, np.array([5]))[0].tolist() == [5]


@pytest.mark.parametrize("sampler", [PersonalisedPageRank(most=6, chunk=2), RestartWalk(steps=20, most=9, seed=1)])
def test_a_target_sees_the_same_whoever_else_is_asked_for(sampler, random_graph):
    graph, _ = random_graph
    together = sampler.rows(graph, np.arange(40))
    for target in (0, 5, 17, 39):
        np.testing.assert_array_equal(together[target], sampler.rows(graph, np.array([target]))[0])


def test_walks_take_edges_and_return_about_as_often_as_they_should(random_graph):
    graph, drawn = random_graph
    walk = RestartWalk(steps=400, restart=0.5, most=64).walks(graph, np.array([0]))[0]
    taken = {(a, b) for a, b in zip(walk[:-1].tolist(), walk[1:].tolist(), strict=True)}
    assert all(b == 0 or drawn.has_edge(a, b) for a, b in taken)
    assert 0.45 < np.mean(walk == 0) < 0.75
    never = RestartWalk(steps=50, restart=0.0).walks(graph, np.array([0]))[0]
    assert all(drawn.has_edge(a, b) for a, b in zip(never[:-1].tolist(), never[1:].tolist(), strict=True))
    assert (RestartWalk(steps=9).walks(graph, np.array([5])) == 5).all()


def test_hashed_numbers_are_uniform_and_differ_by_seed():
    x = np.concatenate([hashed(0, np.arange(1000), draw) for draw in range(20)])
    assert abs(x.mean() - 0.5) < 0.01
    assert abs(np.histogram(x, 10, (0, 1))[0] / len(x) - 0.1).max() < 0.01
    assert not np.allclose(hashed(0, np.arange(9), 1), hashed(1, np.arange(9), 1))


def test_induced_edges_are_those_among_the_nodes_and_a_lonely_one_gets_a_loop(random_graph):
    graph, drawn = random_graph
    rows = np.array([5, 8, 0, 31, 2, 19])
    found = {(int(rows[a]), int(rows[b])) for a, b in graph.induced(rows).T}
    among = drawn.subgraph(rows.tolist())
    expected = {(a, b) for a, b in among.edges()} | {(b, a) for a, b in among.edges()}
    assert found == expected | {(n, n) for n in rows.tolist() if among.degree(n) == 0}
    assert graph.induced(np.array([5])).tolist() == [[0], [0]]


def test_return_probabilities_have_their_closed_forms():
    pair = np.array([[0, 1], [1, 0]])
    np.testing.assert_allclose(return_probabilities(pair, 2, 4), [[0, 1, 0, 1]] * 2, atol=1e-7)
    triangle = np.array([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]])
    expected = [1 / 3 + 2 / 3 * (-0.5) ** k for k in range(1, 7)]
    np.testing.assert_allclose(return_probabilities(triangle, 3, 6), [expected] * 3, atol=1e-6)
    np.testing.assert_allclose(return_probabilities(np.zeros((2, 0), int), 1, 3), [[1, 1, 1]])
    assert return_probabilities(pair, 2, 0).shape == (2, 0)


def test_a_sample_holds_the_target_first_and_a_batch_keeps_it(tmp_path):
    graph = path_graph(7)
    processor = NodeFeatureProcessor(modalities={"text": 64}, positions=4, sampler=PersonalisedPageRank(most=3))
    samples = [processor.load(source) for source in sources(graph, (0, 3), tmp_path)]
    batch = processor.collate(samples)
    assert batch.extra["centre"].tolist() == [0, 0]
    np.testing.assert_allclose(batch.x[1, 0].norm(), 1, atol=1e-6)
    assert batch.mask.sum(1).tolist() == [3, 3]
    assert batch.extra["positions"].shape == (2, 3, 4)
    alone = text_graph(["a"], ["text"], [0], ("x",), np.zeros((2, 0), int))
    single = processor.collate([processor.load(sources(alone, [0], tmp_path)[0])])
    assert single.extra["edges"][0].tolist() == [[0, 0]]


def test_a_target_without_text_is_a_fault_and_a_neighbour_without_one_is_not(tmp_path):
    graph = text_graph(["a", "b"], ["said", " "], [0, 0], ("x",), np.array([[0], [1]]))
    processor = NodeFeatureProcessor(modalities={"text": 64})
    first, second = sources(graph, (0, 1), tmp_path)
    assert processor.load(first)["there"].tolist() == [[True], [False]]
    with pytest.raises(DataError, match="node 'b' has no text"):
        processor.load(second)


def test_a_subgraph_of_ones_own_is_read_from_json():
    text = '{"texts": ["an acid", "a base"], "graph": [[0], [1]], "centre": 1}'
    graph, target = as_node(text)
    assert (graph.texts, target) == (("an acid", "a base"), 1)
    assert NodeFeatureProcessor(modalities={"text": 64}).load(text)["x"].shape == (2, 64)
    for bad in ("[", "{}", '{"texts": ["a"], "graph": [[0], [1]]}', '{"texts": ["a"], "graph": [[], []], "centre": 3}'):
        with pytest.raises(DataError, match=r"no subgraph|nodes are|centre is 3"):
            as_node(bad)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="restart 0"):
        PersonalisedPageRank(restart=0)
    with pytest.raises(ConfigError, match="steps -1"):
        RestartWalk(steps=-1)
    with pytest.raises(ConfigError, match="modalities"):
        NodeFeatureProcessor(modalities={})
