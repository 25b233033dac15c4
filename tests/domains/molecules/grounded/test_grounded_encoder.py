"""The joint encoder: attention over outgoing edges, what flows where, and public names."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from grounded_samples import RELATIONS, TEXTS, concept, dense_alpha, encoder, processor
from torch.nn import functional as F

from core.errors import CheckpointError, ConfigError, DataError
from core.objectives.hidden_edges import EdgeDraw
from domains.molecules.grounded import GroundedTextEncoder
from domains.molecules.grounded.attention import TypedGraphAttention, segment_softmax
from domains.molecules.grounded.encoder import without_messages
from domains.molecules.grounded.messages import edge_types, messages
from domains.molecules.grounded.processor import ANSWER, OTHER
from domains.molecules.grounded.public import load_public

READS = processor(neighbours=8)


def batch(texts=TEXTS, reads=READS):
    return reads.collate([reads.load(text) for text in texts])


def test_messages_are_facts_links_their_inverses_and_a_self_loop_of_every_real_node():
    inp = batch(["aspirin treats pain ."], processor())
    found = messages(inp, len(RELATIONS))
    names = {place: int(node) for place, node in enumerate(found.node_P)}
    edges = {
        (names[s], kind, names[t])
        for s, kind, t in zip(found.source_M.tolist(), found.type_M.tolist(), found.target_M.tolist(), strict=True)
    }
    aspirin, pain, half = concept(READS, "C1"), concept(READS, "C3"), len(RELATIONS) + 2
    facts = {(aspirin, 2, pain), (0, 0, aspirin), (0, 0, pain), (concept(READS, "C5"), 2, pain)}  # treats is relation 0
    facts -= {(concept(READS, "C5"), 2, pain)}  # salicin is neither linked nor a bridge
    loops = {(node, 2 * half, node) for node in (0, aspirin, pain)}
    assert edges == facts | {(t, kind + half, s) for s, kind, t in facts} | loops
    assert edge_types(len(RELATIONS)) == 2 * half + 1


def test_weights_of_a_source_sum_to_its_number_of_messages_and_a_lone_self_loop_weighs_one():
    rng = torch.Generator().manual_seed(0)
    layer = TypedGraphAttention(width=12, heads=3, norm="layer").double()
    source, target = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([1, 2, 0, 0, 1, 2])
    own, edge = (torch.randn(n, w, generator=rng, dtype=torch.float64) for n, w in ((3, 24), (6, 12)))
    alpha = layer.alpha(own, edge, source, target)
    total = torch.zeros(3, 3, dtype=torch.float64).index_add(0, source, alpha)
    torch.testing.assert_close(total, torch.tensor([3.0, 2, 1], dtype=torch.float64)[:, None].expand(3, 3))
    torch.testing.assert_close(alpha[5], torch.ones(3, dtype=torch.float64))


def test_the_layer_equals_a_loop_over_messages():
    rng = torch.Generator().manual_seed(3)
    layer = TypedGraphAttention(width=12, heads=3, norm="batch").double().eval()
    source, target = torch.tensor([0, 0, 1, 2, 1, 3]), torch.tensor([1, 2, 0, 2, 1, 3])
    x, extra = (torch.randn(4, 12, generator=rng, dtype=torch.float64) for _ in range(2))
    edge = torch.randn(6, 12, generator=rng, dtype=torch.float64)
    own = torch.cat([x, extra], dim=1)
    score = np.zeros((6, 3))
    for m in range(6):
        query = (layer.linear_query(own[source[m]]) / math.sqrt(4)).view(3, 4)
        key = layer.linear_key(torch.cat([own[target[m]], edge[m]])).view(3, 4)
        score[m] = (query * key).sum(1).detach().numpy()
    alpha = torch.from_numpy(dense_alpha(score, source.numpy()))
    summed = torch.zeros(4, 12, dtype=torch.float64)
    for m in range(6):
        message = layer.linear_msg(torch.cat([own[source[m]], edge[m]])).view(3, 4)
        summed[target[m]] += (message * alpha[m][:, None]).flatten()
    torch.testing.assert_close(layer(x, extra, edge, source, target), layer.mlp(summed))


def test_softmax_over_segments_has_the_gradient_of_its_formula():
    rng = torch.Generator().manual_seed(0)
    score = torch.randn(7, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    segment = torch.tensor([0, 1, 1, 0, 3, 3, 3])
    assert torch.autograd.gradcheck(lambda s: segment_softmax(s, segment, 4), (score,))
    assert torch.isfinite(segment_softmax(score + 1e4, segment, 4)).all()


def test_graph_information_reaches_the_text_through_the_context_node_alone():
    made, inp = encoder(reads=READS), batch(["aspirin treats pain ."])
    other_facts = without_messages(inp, torch.zeros_like(inp.extra["edge_mask"]))
    cut = {k: {**i.extra, "node_type": i.extra["node_type"].clamp_min(OTHER)} for k, i in ((0, inp), (1, other_facts))}
    cut_inp, cut_other = (replace(inp, extra=cut[k]) for k in (0, 1))
    torch.testing.assert_close(made.read(cut_inp).tokens.x, made.read(cut_other).tokens.x, rtol=0, atol=1e-12)
    assert not torch.allclose(made.read(inp).tokens.x, made.read(other_facts).tokens.x, atol=1e-4)


def test_without_an_exchange_the_text_is_that_of_the_plain_transformer():
    made, inp = encoder(), batch()
    made.ie_norm = torch.nn.Identity()
    for part in made.ie_layer:
        if isinstance(part, torch.nn.Linear):
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.zeros_(part.bias)
    plain = made.text(inp)
    torch.testing.assert_close(made.read(inp).tokens.x, plain.tokens.x, rtol=0, atol=1e-12)


def test_concept_nodes_may_come_in_any_order():
    made, inp = encoder(reads=READS), batch(["aspirin treats pain ."])
    nodes = inp.extra["nodes"].shape[1]
    order = torch.cat(
        [torch.zeros(1, dtype=torch.int64), torch.randperm(nodes - 1, generator=torch.Generator().manual_seed(0)) + 1]
    )
    place = order.argsort()
    edges = inp.extra["edges"].clone()
    edges[..., 0], edges[..., 2] = place[edges[..., 0]], place[edges[..., 2]]
    moved = {name: inp.extra[name][:, order] for name in ("nodes", "node_type", "node_mask")}
    turned = replace(inp, extra={**inp.extra, **moved, "edges": edges})
    here, there = made.read(inp), made.read(turned)
    torch.testing.assert_close(there.nodes.x, here.nodes.x[:, order])
    torch.testing.assert_close(there.pooled, here.pooled)


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[::-1], TEXTS[:1], TEXTS[2:]])
def test_a_text_reads_the_same_alone_and_among_others(texts):
    made = encoder(reads=READS)
    together = made.read(batch(texts))
    for row, text in enumerate(texts):
        alone = made.read(batch([text]))
        torch.testing.assert_close(together.pooled[row], alone.pooled[0])
        assert torch.isfinite(alone.nodes.x).all()


def test_pooled_is_graph_class_token_and_context_node():
    made, inp = encoder(reads=READS), batch()
    found = made.read(inp)
    assert found.pooled.shape == (3, made.width) == (3, 12 + 16 + 12)
    torch.testing.assert_close(found.pooled[:, 12:28], found.tokens.x[:, 0])
    torch.testing.assert_close(found.pooled[:, 28:], found.nodes.x[:, 0])


def test_pooling_equals_attention_written_out_and_leaves_the_context_node_out():
    made, inp = encoder(reads=READS), batch(["aspirin treats pain ."])
    found, pool = made.read(inp), made.pooler
    concepts = found.nodes.x[0, 1:]
    query, keys, values = (pool.w_qs(found.tokens.x[0, 0]), pool.w_ks(concepts), pool.w_vs(concepts))
    parts = [
        (F.softmax(keys[:, s] @ query[s] / math.sqrt(6), dim=0)[:, None] * values[:, s]).sum(0)
        for s in (slice(0, 6), slice(6, 12))
    ]
    torch.testing.assert_close(found.pooled[0, :12], torch.cat(parts))


def test_gradients_reach_every_weight_and_the_text_learns_from_the_facts():
    made = encoder(norm="layer").train()
    made.read(batch()).pooled.square().sum().backward()
    still = {name for name, p in made.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert {name for name in still if "emb_score" not in name and "pool." not in name} <= {
        "pooler.w_ks.bias", *(f"gnn_layers.{i}.linear_key.bias" for i in range(2))  # a shift of all logits, or nearly
    }  # fmt: skip


def test_bfloat16_gives_finite_states():
    made = encoder(dtype=torch.float32, norm="batch").train()
    with torch.autocast("cpu", torch.bfloat16):
        found = made.read(batch())
    found.pooled.float().sum().backward()
    assert torch.isfinite(found.pooled).all()


def test_hidden_links_and_their_inverses_are_no_messages_of_the_model():
    inp = batch(TEXTS * 3)
    hidden = EdgeDraw(ratio=0.5, least=1, visible=0.0)(
        inp.extra["edges"], inp.extra["edge_mask"], relations=3, generator=torch.Generator().manual_seed(0)
    )
    sent = messages(without_messages(inp, hidden.messages_VM), 3)
    place = (inp.extra["node_mask"].flatten().long().cumsum(0) - 1).view_as(inp.extra["node_mask"])
    edges = set(zip(sent.source_M.tolist(), sent.type_M.tolist(), sent.target_M.tolist(), strict=True))
    assert hidden.asked_VM.any()
    for row, at in hidden.asked_VM.nonzero().tolist():
        head, kind, tail = inp.extra["edges"][row, at].tolist()
        h, t = int(place[row, head]), int(place[row, tail])
        assert not edges & {(h, kind + 2, t), (t, kind + 2 + 5, h)}
    left = hidden.messages_VM.sum()
    links = ((inp.extra["node_type"] <= ANSWER) & inp.extra["node_mask"]).sum()
    assert len(edges) == 2 * (left + links) + inp.extra["node_mask"].sum()


def public_state(made: GroundedTextEncoder, tower="roberta"):
    """A state dict with the names of the published checkpoints and random numbers."""
    ours = {name: t for name, t in made.state_dict().items() if not name.startswith("text.")}
    lm = f"{tower}.encoder"
    renamed = {
        "concept_vectors": "concept_emb.emb.weight", "cpt_transform": "concept_emb.cpt_transform", "node_extra": tower,
        "edge_encoder": f"{lm}.edge_encoder", "gnn_layers": f"{lm}.gnn_layers", "ie_norm": f"{lm}.ie_LayerNorm",
        "ie_layer.0": f"{lm}.ie_layer.layers.0-Linear", "ie_layer.3": f"{lm}.ie_layer.layers.1-Linear",
        "Vh": f"{tower}.Vh", "Vx": f"{tower}.Vx", "pooler": "pooler",
    }  # fmt: skip
    out = {}
    for name, tensor in ours.items():
        start = next(s for s in renamed if name.startswith(s))
        out[f"lmgnn.{renamed[start]}{name.removeprefix(start)}"] = torch.rand_like(tensor.double()).to(tensor.dtype)
    out[f"lmgnn.{tower}.embeddings.word_embeddings.weight"] = torch.zeros(4, 4)
    out["lmgnn.fc.layers.0-Linear.weight"] = torch.zeros(1, 4)
    return out


@pytest.mark.parametrize("tower", ["bert", "roberta"])
def test_public_names_are_copied_and_the_text_half_is_reported(tower):
    made = encoder(norm="batch")
    state = public_state(made, tower)
    unused = load_public(made, state)
    assert set(unused) == {"lmgnn.fc.layers.0-Linear.weight", f"lmgnn.{tower}.embeddings.word_embeddings.weight"}
    assert torch.equal(made.concept_vectors, state["lmgnn.concept_emb.emb.weight"])
    assert torch.equal(made.ie_layer[3].weight, state[f"lmgnn.{tower}.encoder.ie_layer.layers.1-Linear.weight"])
    assert torch.equal(made.edge_encoder[1].running_var, state[f"lmgnn.{tower}.encoder.edge_encoder.1.running_var"])
    assert torch.equal(made.gnn_layers[1].linear_query.bias,
                       state[f"lmgnn.{tower}.encoder.gnn_layers.1.linear_query.bias"])  # fmt: skip


def test_a_checkpoint_that_does_not_fit_says_what_and_changes_nothing():
    made = encoder(norm="batch")
    state = public_state(encoder(norm="batch"))
    del state["lmgnn.roberta.Vx.weight"]
    state["lmgnn.pooler.w_qs.weight"] = torch.zeros(2, 2)
    before = {name: t.clone() for name, t in made.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"missing: Vx.weight; other shapes: pooler.w_qs.weight: \(2, 2\)"):
        load_public(made, state)
    assert all(torch.equal(t, before[name]) for name, t in made.state_dict().items())


def test_a_graph_that_is_too_large_and_texts_without_graphs_are_refused():
    made = encoder()
    made.relations = 2
    with pytest.raises(ConfigError, match="room for 8 and 2"):
        made.take(READS)
    inp = batch()
    with pytest.raises(DataError, match="texts without graphs"):
        made.read(replace(inp, extra={}))
    with pytest.raises(ConfigError, match="fusion_layers is 4"):
        encoder(fusion_layers=4)
