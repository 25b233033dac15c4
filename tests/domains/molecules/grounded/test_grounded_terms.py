"""Hidden links, masked words in the same pass, wrong ends, and the choice of an answer."""

import math
from dataclasses import replace

import pytest
import torch
from grounded_samples import SMALL, TEXTS, encoder, processor
from torch import nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.models import DualEncoder
from core.objectives import MaskedText, WordHead
from core.objectives.base import Objective, Step
from core.objectives.hidden_edges import EdgeDraw
from core.types import Batch
from domains.molecules.grounded import (
    AnswerChoice,
    AnswerHead,
    ChoiceProcessor,
    DistMultDecoder,
    HiddenLinks,
    LinkPrediction,
    RotatEDecoder,
    SubgraphNegatives,
    TransEDecoder,
)
from domains.molecules.grounded.choices import question_source
from domains.molecules.grounded.hidden import unlinked
from domains.molecules.grounded.messages import messages
from domains.molecules.grounded.negatives import Asked
from domains.molecules.grounded.terms import link_scores
from domains.molecules.kg.losses import SelfAdversarialLoss

READS = processor(neighbours=8)
DRAW = EdgeDraw(ratio=0.5, least=1, visible=0.0)
W = 12


def model_of(reads=READS, *, heads=None, **how):
    made = encoder(reads=reads, **how)
    words = WordHead(width=16, vocab_size=SMALL["vocab_size"]).double()
    links = DistMultDecoder(relations=3, width=W).double()
    answer = AnswerHead(width=made.width, dropout=0.0).double()
    given = {"words": words, "links": links, "answer": answer} | (heads or {})
    model = DualEncoder(encoders={"joint": made}, modalities={"grounded": "joint"}, dim=4, heads=given)
    return model.double().eval()


def step_of(model, reads=READS, sources=tuple(TEXTS) * 3, seed=0):
    inp = reads.collate([reads.load(source) for source in sources])
    batch = Batch([str(i) for i in range(len(inp))], {"grounded": inp}, {"grounded": torch.ones(len(inp), dtype=bool)})
    return Step(model=model, batch=batch, index=0, generator=torch.Generator().manual_seed(seed))


def masked(**how):
    return MaskedText(modality="grounded", width=16, vocab_size=SMALL["vocab_size"], head="words", **how)


class Spy(nn.Module):
    """Counts what an encoder is given."""

    def __init__(self, model):
        super().__init__()
        self.seen, read = [], model.encoders["joint"].read

        def watched(inp):
            self.seen.append(inp)
            return read(inp)

        model.encoders["joint"].read = watched


# -- decoders ---------------------------------------------------------------------------------------------------------


def test_zero_states_cost_ln_two_and_the_regulariser():
    decoder, state = DistMultDecoder(relations=3, width=W), torch.zeros(1, 5, W)
    asked = Asked(torch.tensor([0, 0]), torch.tensor([[1, 0, 2], [3, 2, 4]]))
    right, wrong = link_scores(decoder, decoder.states(state), asked, torch.ones(2, 2, 4, dtype=torch.int64))
    loss = SelfAdversarialLoss(margin=0.0)(right, wrong) + 0.01 * decoder.relation_size()
    reg = 0.01 * decoder.links.relation.square().mean()
    assert loss.item() == pytest.approx(math.log(2) + reg.item(), abs=1e-6)


def test_distmult_is_symmetric_and_divided_by_the_root_of_the_width():
    decoder = DistMultDecoder(relations=3, width=W).double()
    h, t = torch.randn(2, 4, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    r = torch.tensor([0, 1, 2, 0])
    h, t = decoder.states(h), decoder.states(t)
    forward = decoder.scores(h, r, t[:, None], heads=False)[:, 0]
    torch.testing.assert_close(forward, decoder.scores(t, r, h[:, None], heads=False)[:, 0])
    torch.testing.assert_close(forward, decoder.scores(t, r, h[:, None], heads=True)[:, 0])
    normed_h, normed_t = h / W**-0.25, t / W**-0.25
    assert normed_h.std(dim=1, correction=0).mean().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(forward, (normed_h * normed_t * decoder.links.relation[r]).sum(1) / W**0.5)
    assert decoder.links.relation.abs().max() <= W**-0.5


@pytest.mark.parametrize("kind", [TransEDecoder, RotatEDecoder])
def test_distance_decoders_score_as_written_out_in_their_published_range(kind):
    decoder = kind(relations=3, width=W, gamma=6.0).double()
    h, t = decoder.states(torch.randn(2, 5, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    r = torch.tensor([0, 1, 2, 0, 1])
    if kind is TransEDecoder:
        wanted = -(h + decoder.links.relation[r] - t).norm(dim=1)
    else:
        (a, b), (c, d) = (x.chunk(2, dim=1) for x in (h, t))
        turned = torch.complex(a, b) * torch.polar(torch.ones_like(a), decoder.links.phase[r])
        wanted = -(turned - torch.complex(c, d)).abs().sum(1)
    torch.testing.assert_close(decoder.scores(h, r, t[:, None], heads=False)[:, 0], wanted)
    torch.testing.assert_close(decoder.scores(t, r, h[:, None], heads=True)[:, 0], wanted)
    assert decoder.margin == 6
    assert decoder.relation_size().item() <= ((6 + 2) / W) ** 2  # relations are in the range of the states
    assert h.std(dim=1, correction=0).mean().item() == pytest.approx((6 + 2) / W / 3**0.5, rel=1e-3)


# -- wrong ends -------------------------------------------------------------------------------------------------------


def test_wrong_ends_are_concepts_of_the_same_graph_and_filtered_ones_are_no_facts():
    edges = torch.tensor([[[1, 0, 2], [1, 0, 3]], [[1, 1, 2], [0, 0, 0]]])
    real = torch.tensor([[True, True], [True, False]])
    asked = Asked(torch.tensor([0, 1]), torch.tensor([[1, 0, 2], [1, 1, 2]]))
    rng = torch.Generator().manual_seed(0)
    draws = {"edges_VM3": edges, "real_VM": real, "nodes_V": torch.tensor([5, 3]), "generator": rng}
    drawn, counts = SubgraphNegatives(per_positive=200).draw(asked, **draws)
    assert set(drawn[0].flatten().tolist()) == {1, 2, 3, 4}
    assert set(drawn[1].flatten().tolist()) == {1, 2}
    assert set(drawn[0, 0][~counts[0, 0]].tolist()) == {1}  # heads: (1, 0, 2) is the right one itself
    assert set(drawn[0, 1][~counts[0, 1]].tolist()) == {2, 3}  # tails: (1, 0, 3) is true
    assert SubgraphNegatives(per_positive=4, filtered=False).draw(asked, **draws)[1] is None
    with pytest.raises(ConfigError, match="an even number"):
        SubgraphNegatives(per_positive=3)


def test_a_graph_of_one_concept_has_no_wrong_end_that_counts():
    asked = Asked(torch.tensor([0]), torch.tensor([[1, 0, 1]]))
    edges, real = torch.tensor([[[1, 0, 1]]]), torch.ones(1, 1, dtype=torch.bool)
    rng = torch.Generator().manual_seed(0)
    _, counts = SubgraphNegatives(per_positive=4).draw(
        asked, edges_VM3=edges, real_VM=real, nodes_V=torch.tensor([2]), generator=rng
    )
    assert not counts.any()
    assert torch.isfinite(SelfAdversarialLoss(margin=0.0)(torch.zeros(1), torch.zeros(1, 4), counts.flatten(1)))


# -- the pass ---------------------------------------------------------------------------------------------------------


def test_link_scores_equal_the_formula_of_each_triple():
    decoder, rng = DistMultDecoder(relations=3, width=W).double(), torch.Generator().manual_seed(0)
    state = decoder.states(torch.randn(2, 6, W, generator=rng, dtype=torch.float64))
    asked = Asked(torch.tensor([1, 0]), torch.tensor([[1, 2, 4], [3, 0, 2]]))
    drawn = torch.randint(1, 6, (2, 2, 3), generator=rng)
    right, wrong = link_scores(decoder, state, asked, drawn)

    def score(row, h, r, t):
        return (state[row, h] * decoder.links.relation[r] * state[row, t]).sum()

    for i, (row, (h, r, t)) in enumerate(zip([1, 0], asked.triple_S3.tolist(), strict=True)):
        torch.testing.assert_close(right[i], score(row, h, r, t))
        for k in range(3):
            torch.testing.assert_close(wrong[i, k], score(row, drawn[i, 0, k], r, t))
            torch.testing.assert_close(wrong[i, 3 + k], score(row, h, r, drawn[i, 1, k]))


def test_both_losses_come_from_one_pass_in_which_words_and_links_are_hidden():
    model = model_of()
    spy, step = Spy(model), step_of(model)
    objective = Objective(terms=[masked(source=HiddenLinks(draw=DRAW)), LinkPrediction(draw=DRAW)])
    total, logs = objective(step)
    assert len(spy.seen) == 1
    seen, clean = spy.seen[0], step.input("grounded")
    assert (seen.x != clean.x).any()
    assert seen.extra["edge_mask"].sum() < clean.extra["edge_mask"].sum()
    assert total.item() == pytest.approx(logs["masked_grounded/loss"].item() + logs["links/loss"].item())


def test_no_hidden_link_is_a_message_of_the_pass_in_either_direction():
    model = model_of()
    spy, step = Spy(model), step_of(model)
    Objective(terms=[masked(source=HiddenLinks(draw=DRAW)), LinkPrediction(draw=DRAW)])(step)
    sent, clean = messages(spy.seen[0], 3), messages(step.input("grounded"), 3)
    kept = set(zip(sent.source_M.tolist(), sent.type_M.tolist(), sent.target_M.tolist(), strict=True))
    full = set(zip(clean.source_M.tolist(), clean.type_M.tolist(), clean.target_M.tolist(), strict=True))
    gone = full - kept
    assert gone
    assert all(kind % 5 > 1 for _, kind, _ in gone)  # facts, never links of the context node
    for s, kind, t in gone:
        assert (t, kind + 5 if kind < 5 else kind - 5, s) in gone


def test_the_link_loss_does_not_depend_on_what_it_asks_for_being_in_the_edge_list():
    """Scores from a graph that never held the hidden edges are those from the graph in which they are hidden."""
    model, term = model_of(), LinkPrediction(draw=DRAW)
    step = step_of(model)
    found = term(step)
    seen = step.memo(("joint pass", "grounded"), lambda: None)
    again = model.encoders["joint"].read(seen.inp)
    torch.testing.assert_close(again.nodes.x, seen.encoded.nodes.x)
    assert torch.isfinite(found["loss"])


def test_links_alone_and_texts_without_links_work_and_the_wrong_order_is_refused():
    model = model_of()
    assert torch.isfinite(LinkPrediction(draw=DRAW)(step_of(model))["loss"])
    nothing = LinkPrediction(draw=DRAW)(step_of(model, sources=["nothing is known of this one ."]))["loss"]
    nothing.backward()
    assert nothing.item() == 0
    with pytest.raises(ConfigError, match="before LinkPrediction"):
        Objective(terms=[LinkPrediction(draw=DRAW), masked(source=HiddenLinks(draw=DRAW))])(step_of(model))


@pytest.mark.parametrize("other", [None, EdgeDraw(ratio=0.9)])
def test_a_pass_that_shows_what_is_asked_for_is_refused(other):
    with pytest.raises(ConfigError, match="answers are seen"):
        Objective(terms=[masked(source=HiddenLinks(draw=other)), LinkPrediction(draw=DRAW)])(step_of(model_of()))


def test_the_link_loss_has_the_gradient_of_finite_differences():
    model = model_of()
    term = LinkPrediction(draw=DRAW, negatives=SubgraphNegatives(per_positive=4), temperature=0.0)
    weight = model.encoders["joint"].Vx.weight
    term(step_of(model))["loss"].backward()
    analytic = weight.grad[0, :3].clone()
    numeric = []
    for i in range(3):
        values = []
        for shift in (1e-3, -1e-3):  # the loss is float32
            with torch.no_grad():
                weight[0, i] += shift
                values.append(term(step_of(model))["loss"].item())
                weight[0, i] -= shift
        numeric.append((values[0] - values[1]) / 2e-3)
    torch.testing.assert_close(analytic, torch.tensor(numeric, dtype=torch.float64), rtol=1e-2, atol=1e-4)


def test_link_loss_under_bfloat16_is_computed_in_float32():
    model = model_of().float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = LinkPrediction(draw=DRAW)(step_of(model))["loss"]
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


def test_masked_mentions_lose_their_link_unless_another_mention_stays():
    reads = READS
    inp = reads.collate([reads.load("aspirin treats pain ."), reads.load("aspirin treats pain , says aspirin .")])
    first, last = inp.extra["mentions"][0, 0, 1:].tolist()
    hidden = inp.x.clone()
    hidden[:, first : last + 1] = 4
    shown = unlinked(replace(inp, x=hidden), inp.x)
    kinds = shown.extra["node_type"]
    aspirin = inp.extra["mentions"][0, 0, 0]
    assert kinds[0, aspirin] == 2  # hidden: an "other" concept now
    assert kinds[1, aspirin] == 0  # named a second time
    changed = (kinds != inp.extra["node_type"]).sum()
    assert changed == 1


# -- answers ----------------------------------------------------------------------------------------------------------

ASKED = [
    question_source("What does aspirin treat ?", ["pain", "willow bark"], answer=0),
    question_source("Where is salicin found ?", ["gout", "willow bark", "pain"], answer=1),
    question_source("What is it ?", ["gout", "pain"]),
]


def test_the_answer_loss_is_cross_entropy_over_real_choices_of_known_answers():
    reads = processor(ChoiceProcessor, ASKED, neighbours=8)
    model = model_of(reads)
    step = step_of(model, reads, ASKED)
    found = AnswerChoice()(step)
    joint, fc = model.encoders["joint"], model.heads["answer"].layers
    each = []
    for row, (count, answer) in enumerate([(2, 0), (3, 1)]):
        one = reads.collate([reads.load(ASKED[row])])
        logits = fc(joint.statements(one).pooled)[:count, 0]
        each.append(F.cross_entropy(logits[None].float(), torch.tensor([answer])))
    assert found["loss"].item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)
    nn.init.zeros_(fc[1].weight)
    flat = AnswerChoice()(step_of(model, reads, ASKED))["loss"]
    assert flat.item() == pytest.approx((math.log(2) + math.log(3)) / 2, abs=1e-6)


def test_questions_without_known_answers_cost_nothing_and_rows_pool_their_choices():
    reads = processor(ChoiceProcessor, ASKED)
    model = model_of(reads)
    step = step_of(model, reads, ASKED[2:])
    assert AnswerChoice()(step)["loss"].item() == 0
    pooled = step.encoded("grounded").pooled
    torch.testing.assert_close(pooled[0], model.encoders["joint"].statements(step.input("grounded")).pooled.mean(0))


def test_heads_of_another_kind_and_texts_without_choices_are_refused():
    model = model_of(heads={"links": nn.Linear(2, 2)})
    with pytest.raises(ConfigError, match=r"model.heads.links is a Linear; expected a LinkDecoder"):
        LinkPrediction(draw=DRAW)(step_of(model))
    with pytest.raises(ConfigError, match="their processor is a ChoiceProcessor"):
        AnswerChoice()(step_of(model))
