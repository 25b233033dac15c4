"""UniGraph2: the mixture against the dense form, hidden and missing features, hop distances against networkx."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from graph_inputs import batch_of, features_of, names, path_graph, texts
from torch import nn

pytest.importorskip("torch_geometric")

from core.errors import ConfigError
from core.models import DualEncoder
from core.objectives.base import Step
from domains.molecules.text_graphs import (
    BalancedExperts,
    ExpertMixture,
    FeatureCascade,
    HiddenFeatures,
    NeighbourAttention,
    NodeDistances,
    PersonalisedPageRank,
)  # fmt: skip
from domains.molecules.text_graphs.cascade import scaled_cosine_error
from domains.molecules.text_graphs.distances import hop_distances, sampled_pairs
from domains.molecules.text_graphs.experts import balance
from domains.molecules.text_graphs.graph import text_graph

MODALITIES = {"text": 16, "structure": 12}
HOW = {"modalities": MODALITIES, "sampler": PersonalisedPageRank(most=6)}


@pytest.fixture
def inp(tmp_path):
    structure = np.random.default_rng(0).normal(size=(9, 12)).astype(np.float32)
    structure[[2, 5]] = np.nan
    return features_of(path_graph(9, {"structure": structure}), (0, 4, 7), tmp_path, **HOW)


def encoder(**how):
    torch.manual_seed(0)
    return FeatureCascade(
        modalities=MODALITIES, experts=ExpertMixture(width=16, experts=4, top=2),
        graph=NeighbourAttention(width=16, depth=2, heads=4, concat=False),
    )  # fmt: skip


def step_of(found, inp, seed=0):
    model = DualEncoder(
        encoders={"graph": found}, modalities={"graph": "graph"}, dim=16, projections={"graph": nn.Identity()}
    )
    return Step(model=model, batch=batch_of(graph=inp), index=0, generator=torch.Generator().manual_seed(seed))


def dense(mixture, x):
    gate = mixture.gate(x).softmax(-1)
    every = torch.stack([expert(x) for expert in mixture.experts], dim=1)
    return gate, every


def test_weights_sum_to_one_over_the_chosen_and_rows_see_these_alone():
    torch.manual_seed(0)
    mixture, x = ExpertMixture(width=8, experts=5, top=2), torch.randn(11, 8)
    _, chosen, weight = mixture.route(x)
    torch.testing.assert_close(weight.sum(-1), torch.ones(11))
    out, _ = mixture(x)
    _, every = dense(mixture, x)
    expected = torch.stack([sum(weight[i, k] * every[i, chosen[i, k]] for k in range(2)) for i in range(11)])
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_all_experts_chosen_is_the_dense_mixture_and_equal_ones_make_routing_irrelevant():
    torch.manual_seed(0)
    mixture, x = ExpertMixture(width=8, experts=4, top=4), torch.randn(7, 8)
    gate, every = dense(mixture, x)
    torch.testing.assert_close(mixture(x)[0], (gate[..., None] * every).sum(1), atol=1e-5, rtol=1e-5)
    few = ExpertMixture(width=8, experts=4, top=2)
    for expert in few.experts:
        expert.load_state_dict(few.experts[0].state_dict())
    torch.testing.assert_close(few(x)[0], few.experts[0](x), atol=1e-5, rtol=1e-5)


def test_the_order_of_experts_does_not_matter():
    torch.manual_seed(0)
    a, x = ExpertMixture(width=8, experts=4, top=2), torch.randn(7, 8)
    b = ExpertMixture(width=8, experts=4, top=2)
    order = [2, 0, 3, 1]
    for new, old in enumerate(order):
        b.experts[new].load_state_dict(a.experts[old].state_dict())
    b.gate.load_state_dict({k: v[order] for k, v in a.gate.state_dict().items()})
    torch.testing.assert_close(a(x)[0], b(x)[0], atol=1e-5, rtol=1e-5)
    assert a(x[:0])[0].shape == (0, 8)


def test_balance_is_one_when_even_and_the_number_of_experts_at_worst():
    even = torch.full((4, 4), 0.25) + 1e-4 * torch.eye(4)
    assert float(balance(even, 1)) == pytest.approx(1, abs=1e-3)
    one = torch.zeros(6, 4).index_fill(1, torch.tensor([2]), 1.0)
    assert float(balance(one, 1)) == pytest.approx(4)


@pytest.mark.parametrize(("drawn", "distance"), [
    (nx.path_graph(6), lambda i, j: abs(i - j)), (nx.cycle_graph(7), lambda i, j: min(abs(i - j), 7 - abs(i - j))),
])  # fmt: skip
def test_distances_on_paths_and_cycles(drawn, distance, tmp_path):
    nodes = len(drawn)
    graph = text_graph(names(nodes), texts(nodes), [0] * nodes, ("x",), np.array(drawn.edges()).T)
    inp = features_of(graph, [0], tmp_path, modalities={"text": 8}, sampler=PersonalisedPageRank(most=nodes))
    rows = PersonalisedPageRank(most=nodes).rows(graph, np.array([0]))[0]
    found = hop_distances(inp, 9)[0]
    assert found.tolist() == [[distance(int(a), int(b)) for b in rows] for a in rows]
    near = hop_distances(inp, 2)[0]
    assert ((near == found) | ((near == -1) & (found > 2))).all()


def test_pairs_that_are_not_joined_are_left_out(tmp_path):
    graph = text_graph(names(4), texts(4), [0] * 4, ("x",), np.array([[0, 2], [1, 3]]))
    inp = features_of(graph, [0, 2], tmp_path, modalities={"text": 8}, sampler=PersonalisedPageRank(most=4))
    row, i, j = sampled_pairs(hop_distances(inp, 5), 8, torch.Generator().manual_seed(0))
    assert sorted(zip(row.tolist(), i.tolist(), j.tolist(), strict=True)) == [(0, 0, 1), (1, 0, 1)]
    alone = features_of(
        text_graph(["a"], ["t"], [0], ("x",), np.zeros((2, 0), int)), [0], tmp_path, modalities={"text": 8}
    )
    assert len(sampled_pairs(hop_distances(alone, 5), 8, torch.Generator())[0]) == 0


def test_features_of_hidden_nodes_have_no_effect_on_what_is_read(inp):
    found = encoder()
    x = inp.x.clone().requires_grad_()
    hidden = torch.zeros(int(inp.mask.sum()), dtype=torch.bool)
    hidden[[0, 3]] = True
    found.read(replace(inp, x=x), hidden).node.square().sum().backward()
    grad = x.grad[inp.mask]
    assert (grad[hidden] == 0).all()
    assert (grad[~hidden] != 0).any()


def test_an_absent_modality_may_hold_anything(inp):
    found = encoder()
    term = HiddenFeatures(modality="graph", modalities=MODALITIES, width=16, ratio=0.5)
    absent = ~inp.extra["there"][..., 1:2] & inp.mask[..., None]
    assert absent.any()
    spoilt = inp.x.clone()
    spoilt[..., 16:] = spoilt[..., 16:].masked_fill(absent, torch.nan)
    worse = replace(inp, x=spoilt)
    torch.testing.assert_close(found(inp).pooled, found(worse).pooled)
    values = [term(step_of(found, each))["loss"] for each in (inp, worse)]
    torch.testing.assert_close(*values)
    values[1].backward()
    assert all(torch.isfinite(p.grad).all() for p in found.parameters() if p.grad is not None)


def test_a_node_without_any_modality_is_as_a_hidden_one(inp):
    found = encoder().eval()
    none = replace(inp, extra={**inp.extra, "there": inp.extra["there"].clone()})
    none.extra["there"][0, 1] = False
    hidden = torch.zeros(int(inp.mask.sum()), dtype=torch.bool)
    hidden[1] = True
    torch.testing.assert_close(found.read(none).node, found.read(inp, hidden).node)


def test_the_reconstruction_is_the_sum_over_modalities_of_hidden_nodes_that_have_them(inp):
    found = encoder()
    torch.manual_seed(2)
    term = HiddenFeatures(modality="graph", modalities=MODALITIES, width=16, ratio=0.5)
    step = step_of(found, inp)
    _, read, hidden = term.read(step)
    x, there = inp.x[inp.mask], inp.extra["there"][inp.mask]
    expected = 0.0
    for i, (name, part) in enumerate(zip(MODALITIES, x.split([16, 12], -1), strict=True)):
        rows = [r for r in range(len(x)) if hidden[r] and there[r, i]]
        errors = [scaled_cosine_error(term.decoders[name](read.node[[r]]), part[[r]], 2.0)[0] for r in rows]
        expected = expected + torch.stack(errors).mean()
    torch.testing.assert_close(term(step)["loss"], expected, atol=1e-6, rtol=1e-5)
    assert int(hidden.sum()) == int(0.5 * len(x))


def test_the_three_terms_share_one_forward_and_distances_are_squared_errors(inp):
    found = encoder()
    torch.manual_seed(2)
    step = step_of(found, inp)
    distances = NodeDistances(modality="graph", width=16, pairs=4)
    for term in (HiddenFeatures(modality="graph", modalities=MODALITIES, width=16), distances,
                 BalancedExperts(modality="graph")):  # fmt: skip
        assert torch.isfinite(term(step)["loss"])
    assert len([key for key in step._memo if key[0] == "hidden features"]) == 1
    with torch.no_grad():
        distances.decoder[-1].weight.zero_()
        distances.decoder[-1].bias.fill_(1.0)
    chosen = step_of(found, inp)
    value = distances(chosen)["loss"].item()
    chosen = step_of(found, inp)
    distances.read(chosen)
    every = hop_distances(inp, 5)
    row, i, j = sampled_pairs(every, 4, chosen.generator)
    assert value == pytest.approx(float((every[row, i, j].float() - 1).square().mean()), rel=1e-5)


def test_processor_and_encoder_have_to_agree(inp):
    from domains.molecules.text_graphs import NodeFeatureProcessor

    with pytest.raises(ConfigError, match="in the same order"):
        encoder().check(NodeFeatureProcessor(modalities={"structure": 12, "text": 16}))
    structure = np.zeros((3, 12), np.float32)
    with pytest.raises(ConfigError, match=r"modalities.colour: 4 wide; the graph has \{'structure': 12\}"):
        features_of(path_graph(3, {"structure": structure}), [0], ".", modalities={"colour": 4})
    with pytest.raises(ConfigError, match="top is 5 of 4"):
        ExpertMixture(width=4, experts=4, top=5)
