"""Losses against closed forms, negatives against the graph, terms against sums written out here."""

import math

import numpy as np
import pytest
import torch
from kg_files import encoder_of, fitted, random_graph

from core.errors import ConfigError
from core.models import DualEncoder
from core.objectives.base import Step
from core.types import Batch, ModalityInput
from domains.molecules.kg import (
    AllLinks,
    ComplEx,
    DistMult,
    EntityTable,
    FilteredNegatives,
    LinkEncoder,
    LogisticLoss,
    MarginLoss,
    NuclearThree,
    RotatE,
    SampledLinks,
    SelfAdversarialLoss,
    UniformNegatives,
)
from domains.molecules.kg.negatives import Questions
from domains.molecules.kg.terms import questions

LN2 = math.log(2)


def step_of(encoder, triples, seed=0):
    model = DualEncoder(
        encoders={"graph": encoder}, modalities={"triple": "graph"}, dim=encoder.width,
        projections={"triple": torch.nn.Identity()},
    )  # fmt: skip
    rows = torch.as_tensor(triples, dtype=torch.int64).reshape(-1, 3)
    inputs = {"triple": ModalityInput(rows)} if len(rows) else {}
    present = {"triple": torch.ones(max(len(rows), 1), dtype=torch.bool)}
    batch = Batch(ids=[str(i) for i in range(max(len(rows), 1))], inputs=inputs, present=present)
    return Step(model=model, batch=batch, index=0, generator=torch.Generator().manual_seed(seed))


def test_losses_of_equal_scores():
    right, wrong = torch.zeros(4), torch.zeros(4, 3)
    assert LogisticLoss()(right, wrong).item() == pytest.approx(LN2)
    assert MarginLoss(margin=0.7)(right, wrong).item() == pytest.approx(0.7)
    for temperature in (0.0, 1.0):
        assert SelfAdversarialLoss(margin=0, temperature=temperature)(right, wrong).item() == pytest.approx(LN2)


def test_losses_are_their_formulas():
    right, wrong = torch.tensor([0.3, -1.0]), torch.tensor([[0.5, -2.0], [1.0, 0.0]])

    def cost(x):
        return math.log1p(math.exp(-x))

    expected = (cost(0.3) + cost(-1.0) + cost(-0.5) + cost(2.0) + cost(-1.0) + cost(0.0)) / 6
    assert LogisticLoss()(right, wrong).item() == pytest.approx(expected)
    assert MarginLoss(margin=1.0)(right, wrong).item() == pytest.approx((1.2 + 0 + 3.0 + 2.0) / 4)
    of_wrong = []
    for row in wrong.tolist():
        weight = [math.exp(0.5 * s) for s in row]
        of_wrong.append(sum(w * cost(-2 - s) for w, s in zip(weight, row, strict=True)) / sum(weight))
    expected = (cost(2.3) / 2 + cost(1.0) / 2 + sum(of_wrong) / 2) / 2
    assert SelfAdversarialLoss(margin=2, temperature=0.5)(right, wrong).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [LogisticLoss(), MarginLoss(), SelfAdversarialLoss(margin=1)])
def test_what_is_no_wrong_answer_counts_for_nothing(loss):
    right, wrong = torch.randn(5), torch.randn(5, 4)
    real = torch.ones(5, 4, dtype=torch.bool)
    real[:, 3] = False
    torch.testing.assert_close(loss(right, wrong, real), loss(right, wrong[:, :3]))
    nothing = loss(right.requires_grad_(), wrong, torch.zeros_like(real))
    nothing.backward()
    assert torch.isfinite(nothing)
    assert torch.isfinite(right.grad).all()


def test_weights_of_self_adversarial_losses_carry_no_gradient():
    wrong = torch.tensor([[0.5, -2.0]], dtype=torch.float64, requires_grad=True)
    SelfAdversarialLoss(margin=1)(torch.zeros(1), wrong).backward()
    weight = wrong.detach().float().softmax(dim=1)
    expected = 0.5 * weight * torch.sigmoid(1 + wrong.detach().float())
    torch.testing.assert_close(wrong.grad.float(), expected)


def test_uniform_negatives_are_never_the_answer_and_all_the_others():
    graph = random_graph(entities=4)
    asked = questions(torch.tensor([[0, 0, 3], [3, 1, 2]] * 200), "both")
    drawn, real = UniformNegatives(per_positive=5).draw(asked, graph, torch.Generator().manual_seed(0))
    assert real is None
    assert not (drawn == asked.answer_V[:, None]).any()
    count = torch.bincount(drawn[asked.answer_V == 3].flatten(), minlength=4)
    assert count[3] == 0
    assert (count[:3] > 0.28 * count.sum()).all()


def test_filtered_negatives_make_no_training_triple():
    graph = random_graph(entities=6, relations=2, triples=60)
    known = set(map(tuple, graph.triples_T3.tolist()))
    asked = questions(torch.from_numpy(graph.triples_T3), "both")
    drawn, real = FilteredNegatives(per_positive=8).draw(asked, graph, torch.Generator().manual_seed(0))
    real = torch.ones_like(drawn, dtype=torch.bool) if real is None else real
    made = 0
    for (h, r, t), heads, row, use in zip(
        asked.triples_V3.tolist(), asked.heads_V.tolist(), drawn.tolist(), real.tolist(), strict=True
    ):
        for entity, used in zip(row, use, strict=True):
            triple = (entity, r, t) if heads else (h, r, entity)
            assert (triple not in known) == used
            made += used
    assert made > 100


def test_where_everything_is_true_there_is_no_wrong_answer():
    full = np.array([(h, 0, t) for h in range(3) for t in range(3)])
    graph = type(random_graph())(3, 1, full)
    asked = questions(torch.from_numpy(full), "both")
    _, real = FilteredNegatives(per_positive=2).draw(asked, graph, torch.Generator())
    assert real is not None
    assert not real.any()


def test_half_of_a_batch_is_asked_for_heads():
    triples = torch.arange(21).reshape(7, 3)
    asked = questions(triples, "one")
    assert asked.answer_V.tolist() == [0, 3, 6, 11, 14, 17, 20]
    assert questions(triples, "both").answer_V.tolist() == [*range(0, 21, 3), *range(2, 21, 3)]
    assert questions(triples[:1], "one").answer_V.tolist() == [2]


@pytest.mark.parametrize("sides", ["one", "both"])
def test_the_sampled_term_is_the_loss_of_scores_asked_one_by_one(sides):
    encoder = encoder_of(ComplEx(relations=3, dim=4))
    triples = encoder.graph.triples_T3[:7]
    term = SampledLinks(negatives=UniformNegatives(per_positive=3), sides=sides)
    found = term(step_of(encoder, triples))
    asked = questions(torch.from_numpy(triples), sides)
    drawn, _ = UniformNegatives(per_positive=3).draw(asked, encoder.graph, torch.Generator().manual_seed(0))

    def score(h, r, t):
        point = encoder.question(torch.tensor([h]), torch.tensor([r]), heads=False)
        return encoder.all_scores(point)[0, t]

    right, wrong = [], []
    for (h, r, t), heads, row in zip(asked.triples_V3.tolist(), asked.heads_V.tolist(), drawn.tolist(), strict=True):
        right.append(score(h, r, t))
        wrong.append(torch.stack([score(e, r, t) if heads else score(h, r, e) for e in row]))
    expected = LogisticLoss()(torch.stack(right), torch.stack(wrong))
    torch.testing.assert_close(found["loss"], expected)
    assert found["right_ahead"] == (torch.stack(right)[:, None] > torch.stack(wrong)).float().mean()


def test_a_batch_of_one_and_of_none():
    encoder = encoder_of(RotatE(relations=3, dim=4))
    for term in (SampledLinks(), AllLinks()):
        term(step_of(encoder, encoder.graph.triples_T3[:1]))["loss"].backward()
        nothing = term(step_of(encoder, []))["loss"]
        assert nothing == 0
        nothing.backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())


def test_all_links_of_equal_scores_cost_the_log_of_the_entities():
    encoder = encoder_of(DistMult(relations=3, dim=4))
    with torch.no_grad():
        encoder.links.relation.zero_()
    loss = AllLinks()(step_of(encoder, encoder.graph.triples_T3[:5]))["loss"]
    assert loss.item() == pytest.approx(math.log(11), rel=1e-6)
    with pytest.raises(ConfigError, match=r"smoothing is 1"):
        AllLinks(smoothing=1.0)


def test_n3_is_the_sum_of_cubed_moduli():
    encoder = encoder_of(ComplEx(relations=3, dim=2))
    triples = encoder.graph.triples_T3[:2]
    expected = 0.0
    for h, r, t in triples.tolist():
        for x in (encoder.entities.vector[h], encoder.links.relation[r], encoder.entities.vector[t]):
            a, b, c, d = x.tolist()
            expected += math.hypot(a, c) ** 3 + math.hypot(b, d) ** 3
    found = NuclearThree()(step_of(encoder, triples))["loss"]
    assert found.item() == pytest.approx(expected / 2, rel=1e-5)
    with pytest.raises(ConfigError, match="RotatE has no factors"):
        NuclearThree()(step_of(encoder_of(RotatE(relations=3, dim=2)), triples))


def test_losses_stay_in_float32_under_autocast():
    encoder = encoder_of(ComplEx(relations=3, dim=4), dtype=torch.float32)
    plain = [term(step_of(encoder, encoder.graph.triples_T3))["loss"] for term in (SampledLinks(), AllLinks())]
    with torch.autocast("cpu", torch.bfloat16):
        cast = [term(step_of(encoder, encoder.graph.triples_T3))["loss"] for term in (SampledLinks(), AllLinks())]
    for a, b in zip(plain, cast, strict=True):
        assert torch.equal(a, b)


def test_settings_that_cannot_be():
    for make, words in (
        (lambda: UniformNegatives(per_positive=0), "per_positive is 0"),
        (lambda: MarginLoss(margin=0), "margin is 0"),
        (lambda: SelfAdversarialLoss(temperature=-1), "temperature is -1"),
    ):
        with pytest.raises(ConfigError, match=words):
            make()


def test_an_encoder_that_is_too_small_or_reads_no_triples_says_so():
    from core.data.text import TextProcessor

    links = DistMult(relations=1, dim=3)
    encoder = LinkEncoder(entities=EntityTable(entities=9, width=3), links=links)
    with pytest.raises(ConfigError, match="the graph has 2 relations and the model 1"):
        encoder.take(fitted())
    small = LinkEncoder(entities=EntityTable(entities=3, width=3), links=DistMult(relations=2, dim=3))
    with pytest.raises(ConfigError, match="the graph has 4 entities and the model 3"):
        small.take(fitted())
    with pytest.raises(ConfigError, match="its processor is a TextProcessor"):
        small.take(TextProcessor(vocab_size=300, max_length=8))
    with pytest.raises(ConfigError, match="was shown no graph"):
        SampledLinks()(step_of(small, [[0, 0, 1]]))


def test_questions_know_their_answers():
    asked = Questions(torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([True, False]))
    assert asked.answer_V.tolist() == [1, 6]
