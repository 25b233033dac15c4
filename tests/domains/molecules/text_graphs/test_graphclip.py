"""GPS layers and the tower against references; invariant training against the procedure written out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from graph_inputs import batch_of, features_of, path_graph
from torch import nn

pytest.importorskip("torch_geometric")

from torch_geometric.nn import GPSConv, SAGEConv

from core.encoders import VectorMLP
from core.models import DualEncoder
from core.objectives import Pair
from core.objectives.base import Step, Term
from core.types import ModalityInput
from domains.molecules.encoders.gps import GPSLayer, MoleculeGPS, SageLayer
from domains.molecules.encoders.packed import pack
from domains.molecules.processors import GraphProcessor
from domains.molecules.text_graphs import PersonalisedPageRank, SignPerturbed, SubgraphTower, ThinnedGraph
from domains.molecules.text_graphs.graph import text_graph

HOW = {"modalities": {"text": 16}, "positions": 4, "sampler": PersonalisedPageRank(most=5)}


@pytest.fixture
def inp(tmp_path):
    return features_of(path_graph(9), (0, 4, 8, 2), tmp_path, **HOW)


def tower():
    torch.manual_seed(0)
    return SubgraphTower(features=16, width=16, depth=2, heads=2, positions=4, position_width=4)


def step_of(model, inp, seed=0):
    text = ModalityInput(torch.randn(len(inp), 8, generator=torch.Generator().manual_seed(5)))
    generator = torch.Generator().manual_seed(seed)
    return Step(model=model, batch=batch_of(graph=inp, text=text), index=0, generator=generator)


def model():
    torch.manual_seed(1)
    encoders = {"graph": tower(), "text": VectorMLP(features=8, widths=[8])}
    return DualEncoder(
        encoders=encoders, modalities={"graph": "graph", "text": "text"}, dim=8, frozen=["text"],
        projections={"text": nn.Identity()},
    )  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_is_that_of_torch_geometric(training, inp):
    torch.manual_seed(2)
    graph = pack(inp)
    own = GPSLayer(width=16, heads=4, local=SageLayer(width=16)).train(training)
    other = GPSConv(16, SAGEConv(16, 16), heads=4).train(training)
    other.conv.load_state_dict(own.local.conv.state_dict())
    other.attn.load_state_dict({
        "in_proj_weight": own.qkv.weight, "in_proj_bias": own.qkv.bias,
        "out_proj.weight": own.out.weight, "out_proj.bias": own.out.bias,
    })  # fmt: skip
    other.mlp.load_state_dict(own.mlp.state_dict())
    for number, norm in enumerate((other.norm1, other.norm2, other.norm3)):
        norm.module.load_state_dict(own.norms[number].state_dict())
    x_AD = torch.randn(len(graph.x), 16)
    with torch.enable_grad():  # torch's fast path of inference pads differently
        expected = other(x_AD.requires_grad_(), torch.stack([graph.source, graph.target]), graph.graph)
    torch.testing.assert_close(own(x_AD, graph), expected, atol=1e-5, rtol=1e-5)


def test_a_single_node_trains(tmp_path):
    alone = text_graph(["a"], ["one text"], [0], ("x",), np.zeros((2, 0), int))
    found = tower().train()(features_of(alone, [0], tmp_path, **HOW))
    assert torch.isfinite(found.pooled).all()


def test_graphs_do_not_see_each_other_and_padding_changes_nothing(inp):
    encoder = tower().eval()
    whole = encoder(inp).pooled
    for row in range(len(inp)):
        torch.testing.assert_close(encoder(inp.rows(torch.tensor([row]))).pooled[0], whole[row], atol=1e-5, rtol=1e-4)


def test_names_of_nodes_do_not_matter_and_the_target_does(inp):
    encoder = tower().eval()
    nodes = inp.x.shape[1]
    order = torch.randperm(nodes, generator=torch.Generator().manual_seed(1))
    place = order.argsort()
    extra = {**inp.extra, "edges": place[inp.extra["edges"]], "positions": inp.extra["positions"][:, order],
             "centre": place[inp.extra["centre"]]}  # fmt: skip
    turned = replace(inp, x=inp.x[:, order], mask=inp.mask[:, order], extra=extra)
    torch.testing.assert_close(encoder(turned).pooled, encoder(inp).pooled, atol=1e-5, rtol=1e-4)
    moved = replace(inp, extra={**inp.extra, "centre": inp.extra["centre"] + 1})
    a, b = encoder(inp).pooled, encoder(moved).pooled
    torch.testing.assert_close(a[:, :16], b[:, :16])  # the mean over nodes
    assert (a[:, 16:] - b[:, 16:]).abs().max() > 1e-2  # the target


def test_molecules_pass_through_the_same_layers():
    processor = GraphProcessor()
    inp = processor.collate([processor.load(s) for s in ("CCO", "c1ccccc1O", "[Na+].[Cl-]", "C")])
    torch.manual_seed(0)
    encoder = MoleculeGPS(width=16, depth=2, heads=2).eval()
    whole = encoder(inp)
    torch.testing.assert_close(encoder(inp.rows(torch.tensor([3]))).pooled[0], whole.pooled[3], atol=1e-5, rtol=1e-4)
    assert (whole.tokens.x[~inp.mask] == 0).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert encoder(inp).pooled.dtype == torch.float32


def test_one_pass_without_change_is_the_plain_term(inp):
    torch.manual_seed(0)
    plain, wrapped = Pair(rows="graph", keys="text"), Pair(rows="graph", keys="text")
    found = model()
    same = SignPerturbed(modality="graph", term=wrapped, passes=1, size=0, rate=0, shared=["text"])
    a, b = plain(step_of(found, inp))["loss"], same(step_of(found, inp))["loss"]
    torch.testing.assert_close(a, b)
    for g, h in zip(*(torch.autograd.grad(loss, list(found.encoders["graph"].parameters())) for loss in (a, b))):
        torch.testing.assert_close(g, h)


class Seen(Term):
    """sum over nodes of w . x, and every x it was shown."""

    def __init__(self, w_F):
        super().__init__()
        self.w, self.shown = nn.Parameter(w_F), []

    def forward(self, step):
        x = step.input("graph").x
        self.shown.append(x.detach().clone())
        return {"loss": (x * self.w).sum() + (x**3).sum()}


def test_every_pass_adds_its_own_change_to_the_clean_input(inp):
    term = Seen(torch.randn(16))
    found = SignPerturbed(modality="graph", term=term, passes=3, size=0.02, rate=0.01)
    step = step_of(model(), inp, seed=7)
    found(step)
    change = (2 * torch.rand(inp.x.shape, generator=torch.Generator().manual_seed(7)) - 1) * 0.02
    for shown in term.shown:
        torch.testing.assert_close(shown, inp.x + change)  # not the sum of all changes so far
        change = change + 0.01 * (term.w.detach() + 3 * shown**2).sign()


def test_gradients_are_the_mean_over_passes_and_text_has_none(inp):
    found = model()
    parameters = list(found.encoders["graph"].parameters())
    term = SignPerturbed(modality="graph", term=Pair(rows="graph", keys="text"), passes=3, size=0.05, shared=["text"])
    loss = term(step_of(found, inp, seed=3))["loss"]
    got = torch.autograd.grad(loss, parameters, retain_graph=True)
    assert all(p.grad is None and not p.requires_grad for p in found.encoders["text"].parameters())
    pair = Pair(rows="graph", keys="text")
    change = (2 * torch.rand(inp.x.shape, generator=torch.Generator().manual_seed(3)) - 1) * 0.05
    total = [torch.zeros_like(p) for p in parameters]
    for _ in range(3):  # as the published loop is meant: backward of a third in each pass
        change = change.detach().requires_grad_()
        part = pair(step_of(found, replace(inp, x=inp.x + change)))["loss"] / 3
        *grads, slope = torch.autograd.grad(part, [*parameters, change])
        total = [t + g for t, g in zip(total, grads, strict=True)]
        change = change + 0.01 * slope.sign()
    for g, h in zip(got, total, strict=True):
        torch.testing.assert_close(g, h, atol=1e-5, rtol=1e-4)


def test_later_passes_are_harder(inp):
    found = model()
    term = SignPerturbed(modality="graph", term=Pair(rows="graph", keys="text"), passes=4, size=0.0, rate=0.05)
    values = term(step_of(found, inp))
    plain = Pair(rows="graph", keys="text")(step_of(found, inp))["loss"]
    assert values["loss_last"] > plain


def test_thinning_takes_whole_columns_and_edges_of_a_graph_alone(inp):
    thin = ThinnedGraph(columns=0.5, edges=0.5)
    found = thin(inp, torch.Generator().manual_seed(0))
    for before, after, mask in zip(inp.x, found.x, inp.mask, strict=True):
        gone = (after[mask] == 0).all(0)
        assert ((after == before) | gone).all()
        assert 0 < gone.sum() < 16
    assert (found.extra["edge_mask"] <= inp.extra["edge_mask"]).all()
    assert found.extra["edge_mask"].sum() < inp.extra["edge_mask"].sum()
    same = ThinnedGraph(columns=0, edges=0)(inp, torch.Generator().manual_seed(0))
    assert torch.equal(same.x, inp.x)
    assert torch.equal(same.extra["edge_mask"], inp.extra["edge_mask"])
