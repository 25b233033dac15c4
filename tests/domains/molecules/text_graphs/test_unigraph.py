"""UniGraph: hidden words read with the help of neighbours, latent targets, a teacher of which a part is slow."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graph_inputs import batch_of, path_graph, sources, tokens_of
from torch import nn

pytest.importorskip("torch_geometric")

from core.encoders import TextTransformer
from core.errors import ConfigError
from core.models import DualEncoder
from core.nn import ClsPool
from core.objectives import MomentumTeacher, Objective, PartMomentum
from core.objectives.base import Step
from domains.molecules.text_graphs import (
    LatentNodes,
    MaskedNodeText,
    NeighbourAttention,
    NodeTokenProcessor,
    TextCascade,
)  # fmt: skip
from domains.molecules.text_graphs.cascade import first_of_each, scaled_cosine_error
from domains.molecules.text_graphs.graph import text_graph
from domains.molecules.text_graphs.masked_nodes import hide_tokens
from domains.molecules.text_graphs.sampling import PersonalisedPageRank

HOW = {"sampler": PersonalisedPageRank(most=4)}


def model(depth=2):
    torch.manual_seed(0)
    text = TextTransformer(vocab_size=300, max_length=32, width=16, depth=1, heads=2, prefix=1, pool=ClsPool())
    encoder = TextCascade(text=text, graph=NeighbourAttention(width=16, depth=depth, heads=4))
    return DualEncoder(
        encoders={"graph": encoder}, modalities={"graph": "graph"}, dim=16, projections={"graph": nn.Identity()}
    )


def step_of(found, inp, seed=0, teachers=None):
    generator = torch.Generator().manual_seed(seed)
    return Step(model=found, batch=batch_of(graph=inp), index=0, generator=generator, teachers=teachers)


def masked(**how):
    torch.manual_seed(3)
    return MaskedNodeText(modality="graph", width=16, vocab_size=300, **how)


@pytest.fixture
def inp(tmp_path):
    return tokens_of(path_graph(9), (0, 4, 7), tmp_path, **HOW)


def test_exactly_the_stated_share_of_ordinary_tokens_is_hidden(inp):
    found = model().encoders["graph"].texts(inp).inp
    hidden = hide_tokens(found, ratio=0.75, special_tokens=5, generator=torch.Generator().manual_seed(0))
    ordinary = (found.x >= 5) & found.mask
    assert not (hidden & ~ordinary).any()
    assert hidden.sum(1).tolist() == [int(0.75 * n) for n in ordinary.sum(1).tolist()]


def test_the_loss_is_that_of_the_formula(inp):
    found, term = model(), masked()
    step = step_of(found, inp)
    loss = term(step)["loss"]
    encoder = found.encoders["graph"]
    texts = encoder.texts(inp)
    hidden = hide_tokens(texts.inp, ratio=0.75, special_tokens=5, generator=torch.Generator().manual_seed(0))
    read = encoder.text(replace(texts.inp, x=texts.inp.x.masked_fill(hidden, 4)))
    z = encoder.graph(read.tokens.x[:, 0][texts.of_A], texts.graph)  # of the class token
    losses = []
    for node in range(len(z)):  # every node of every subgraph, one token after the other
        text = int(texts.of_A[node])
        for place in hidden[text].nonzero()[:, 0].tolist():
            logits = term.head(term.mix(torch.cat([read.tokens.x[text, place], z[node]])[None]))
            losses.append(F.cross_entropy(logits, texts.inp.x[text, place][None]))
    torch.testing.assert_close(loss, torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


def test_without_the_node_half_it_is_plain_masked_text(inp):
    found, term = model(), masked()
    with torch.no_grad():
        term.mix[0].weight[:, 16:] = 0
    changed = replace(inp, extra={**inp.extra, "edge_mask": torch.zeros_like(inp.extra["edge_mask"])})
    torch.testing.assert_close(term(step_of(found, inp))["loss"], term(step_of(found, changed))["loss"])


def test_visible_tokens_are_no_targets(inp):
    found, term = model(), masked()
    step = step_of(found, inp)
    term(step)
    hidden = term.hidden(step)
    scores = torch.zeros(hidden.texts.inp.x.shape)
    for node, token in hidden.hidden[hidden.texts.of_A].nonzero().tolist():
        scores[hidden.texts.of_A[node], token] += 1
    assert (scores[~hidden.hidden] == 0).all()
    assert (scores[hidden.hidden] > 0).all()
    # a mask token of the text itself stays visible and is no target
    own = replace(inp, x=inp.x.clone())
    own.x[inp.extra["token_mask"] & (inp.x >= 5)] = 4
    assert term(step_of(found, own))["loss"].item() == 0.0


def test_a_neighbours_text_matters_and_that_of_another_component_does_not(tmp_path):
    ends = np.array([[0, 2], [1, 3]])
    texts = ["acid salt ester", "base amine ketone", "ether amide acid", "salt salt base"]
    reader = NodeTokenProcessor(vocab_size=300, max_length=32, min_frequency=1, **HOW)
    reader.fit(sources(text_graph(list("abcd"), texts, [0] * 4, ("x",), ends), range(4), tmp_path))

    def loss(said):  # of the hidden words of the target's own text, which comes first
        graph = text_graph(list("abcd"), said, [0] * 4, ("x",), ends)
        inp = reader.collate([reader.load(source) for source in sources(graph, [0], tmp_path)])
        found, term = model(), masked(ratio=0.5)
        encoder, hidden = found.encoders["graph"], torch.zeros(2, inp.x.shape[2], dtype=torch.bool)
        texts = encoder.texts(inp)
        own = int(texts.of_A[0])
        hidden[own, 1:3] = True
        read = encoder.text(replace(texts.inp, x=texts.inp.x.masked_fill(hidden, 4)))
        z = encoder.graph(read.pooled[texts.of_A], texts.graph)
        logits = term.head(term.mix(torch.cat([read.tokens.x[own, 1:3], z[:1].expand(2, -1)], dim=1)))
        return F.cross_entropy(logits, texts.inp.x[own, 1:3]).detach()

    same = loss(texts)
    assert abs(float(loss([texts[0], "ester ester acid", *texts[2:]]) - same)) > 1e-4
    assert float(loss([*texts[:2], "ester ester acid", texts[3]])) == pytest.approx(float(same), abs=1e-6)


def test_without_edges_each_node_is_on_its_own(inp):
    encoder = model().encoders["graph"].eval()
    lonely = replace(inp, extra={**inp.extra, "edge_mask": torch.zeros_like(inp.extra["edge_mask"])})
    found = encoder(lonely).tokens.x
    for row, node in ((0, 0), (1, 2)):
        cut = {k: v[row : row + 1, node : node + 1] if k in ("key", "token_mask", "positions") else v[row : row + 1]
               for k, v in lonely.extra.items()}  # fmt: skip
        cut["edges"] = torch.zeros_like(cut["edges"])
        single = replace(lonely, x=inp.x[row : row + 1, node : node + 1], mask=inp.mask[row : row + 1, :1], extra=cut)
        torch.testing.assert_close(encoder(single).tokens.x[0, 0], found[row, node], atol=1e-5, rtol=1e-4)


def test_shared_nodes_are_read_once(inp):
    texts = model().encoders["graph"].texts(inp)
    assert len(texts.inp.x) < len(texts.of_A)
    assert torch.equal(texts.inp.x[texts.of_A], inp.x[inp.mask])
    first, of = first_of_each(torch.tensor([7, 3, 7, 9, 3]))
    assert (first.tolist(), of.tolist()) == ([1, 0, 3], [1, 0, 1, 2, 0])


def test_scaled_cosine_error_has_its_closed_forms():
    x = torch.tensor([[1.0, 0], [1, 0], [1, 0]])
    y = torch.tensor([[2.0, 0], [0, 3], [-1, 0]])
    torch.testing.assert_close(scaled_cosine_error(x, y, 3.0), torch.tensor([0.0, 1.0, 8.0]))
    same = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    error = scaled_cosine_error(same, same.detach() * 3, 2.0)
    assert (error >= 0).all()
    error.sum().backward()
    assert torch.isfinite(same.grad).all()


def test_the_latent_loss_is_zero_when_the_predictor_tells_the_teacher(inp):
    found = model().eval()
    teacher = PartMomentum(parts=["encoders.graph.graph"])
    teacher.attach(found)
    term = LatentNodes(modality="graph", teacher="slow", width=16, ratio=0.0)  # nothing hidden: the states are equal
    term.predictor = nn.Identity()
    step = step_of(found, inp, teachers={"slow": teacher.model})
    assert term(step)["loss"].item() == pytest.approx(0, abs=1e-6)
    term.predictor = nn.Linear(16, 16, bias=False)
    term.predictor.weight.data.copy_(-torch.eye(16))
    assert term(step_of(found, inp, teachers={"slow": teacher.model}))["loss"].item() == pytest.approx(2, abs=1e-5)


def test_both_terms_share_the_hidden_forward_and_the_teacher_gets_no_gradient(inp):
    found = model()
    objective = Objective(
        terms=[masked(), LatentNodes(modality="graph", teacher="slow", width=16)], weights=[1, 0.1],
        teachers={"slow": PartMomentum(parts=["encoders.graph.graph"])},
    )  # fmt: skip
    objective.attach(found)
    step = step_of(found, inp, teachers=objective.teacher_models())
    loss, logs = objective(step)
    loss.backward()
    assert set(logs) >= {"masked_nodes_graph/loss", "latent_nodes_graph/loss"}
    assert len([key for key in step._memo if key[0] == "hidden nodes"]) == 1
    assert all(p.grad is None for p in objective.teachers.parameters())
    assert all(p.grad is not None for p in found.encoders.parameters())


def test_the_named_part_follows_slowly_and_the_rest_at_once():
    student = model()
    for decay, graph_moves in ((0.75, 0.25), (1.0, 0.0), (0.0, 1.0)):
        teacher = PartMomentum(parts=["encoders.graph.graph"], decay=decay)
        teacher.attach(student)
        changed = copy.deepcopy(student)
        with torch.no_grad():
            for p in changed.parameters():
                p.add_(1.0)
        teacher.after_step(changed, 1)
        for name, p in teacher.model.named_parameters():
            moved = (p - dict(student.named_parameters())[name]).mean().item()
            expected = graph_moves if name.startswith("encoders.graph.graph.") else 1.0
            assert moved == pytest.approx(expected, abs=1e-5), name
    whole, parts = MomentumTeacher(decay=0.9), PartMomentum(parts=["encoders"], decay=0.9)
    for each in (whole, parts):
        each.attach(student)
        each.after_step(changed, 1)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(ConfigError, match=r"no parameter below 'encoders\.graf'"):
        PartMomentum(parts=["encoders.graf"]).attach(student)


def test_a_batch_whose_texts_are_empty_counts_for_nothing(tmp_path):
    graph = text_graph(["a", "b"], ["x", "y"], [0, 0], ("x",), np.zeros((2, 0), int))
    inp = tokens_of(graph, [0, 1], tmp_path, **HOW)
    short = replace(
        inp, x=inp.x[..., :2].clamp(max=3), extra={**inp.extra, "token_mask": inp.extra["token_mask"][..., :2]}
    )
    loss = masked()(step_of(model(), short))["loss"]
    assert loss.item() == 0.0
    loss.backward()
