"""Figures against what they should be: rigged heads, ranks counted one by one, chance."""

import numpy as np
import pytest
import torch
from grounded_samples import SMALL, encoder, write_questions, write_texts
from torch import nn

from core.config.schema import DataSettings
from core.data.datamodule import DataModule
from core.errors import ConfigError
from core.models import DualEncoder
from core.objectives import WordHead
from core.objectives.hidden_edges import EdgeDraw
from core.training.precision import Compute
from domains.molecules.grounded import (
    AnswerHead,
    ChoiceProcessor,
    ChosenAnswers,
    ClozeFacts,
    DistMultDecoder,
    GroundedTextProcessor,
    HiddenLinkRanks,
    MaskedWords,
)
from domains.molecules.grounded.encoder import without_messages
from domains.molecules.grounded.layouts import ConceptTexts, QAGraph

HOW = {"compute": Compute(torch.device("cpu"), "32", 1), "seed": 0, "n_bootstrap": 1}
DRAW = EdgeDraw(ratio=1.0, most=100)


@pytest.fixture(autouse=True)
def without_gradients():
    """As figures are measured."""
    with torch.no_grad():
        yield


def opened(layouts, processor, tmp_path):
    data = DataModule(layouts, {"grounded": processor}, DataSettings(batch_size=5, prepare_workers=0), seed=0)
    data.fit_processors()
    data.prepare(["train", "val", "test"], bad_csv=tmp_path / "bad.csv")
    return data


@pytest.fixture
def data(tmp_path):
    root = write_texts(tmp_path)
    (root / "cloze" / "test.tsv").write_text(
        "aspirin treats\tpain\t.\tpain|gout|willow bark\nsalicin is in\twillow bark\t.\tpain|willow bark\n"
    )
    layouts = {split: ConceptTexts(root=root, split=split) for split in ("train", "val", "test")}
    return opened(layouts, GroundedTextProcessor(**SMALL, neighbours=8), tmp_path)


def model_of(data, **heads):
    made = encoder(reads=data.processors["grounded"], dtype=torch.float32)
    rows = SMALL["vocab_size"]
    given = {"words": WordHead(width=16, vocab_size=rows), "links": DistMultDecoder(relations=3, width=12)} | heads
    return DualEncoder(encoders={"joint": made}, modalities={"grounded": "joint"}, dim=4, heads=given).eval()


def always(data, word):
    """A head that gives the tokens of `word` the best logit wherever it is asked."""
    head = WordHead(width=16, vocab_size=SMALL["vocab_size"])
    nn.init.zeros_(head.decoder.weight)
    with torch.no_grad():
        head.decoder.bias.zero_()
        head.decoder.bias[data.processors["grounded"].pieces(word)[0].tolist()] = 5.0
    return head


@pytest.mark.parametrize("word", ["pain", "willow bark"])
def test_the_best_candidate_of_a_gap_is_the_one_whose_tokens_are_likeliest(data, word):
    """Candidates of one and of several tokens are compared by the mean over their tokens."""
    found = ClozeFacts().measure(model_of(data, words=always(data, word)), data, split="test", **HOW)
    assert found["cloze/accuracy"] == 0.5  # each is the answer of one of the two questions
    assert found["cloze/chance"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found["cloze/questions"] == 2


def test_cloze_figures_do_not_depend_on_the_size_of_a_pass_and_need_the_table(data):
    model = model_of(data)
    one, many = (ClozeFacts(batch_size=size).measure(model, data, split="test", **HOW) for size in (1, 128))
    assert one == many
    assert ClozeFacts().measure(model, data, split="train", **HOW) == {}


def test_masked_words_are_scored_over_the_same_draws_each_time(data):
    model = model_of(data)
    first, again = (MaskedWords(unlink=True).measure(model, data, split="test", **HOW) for _ in range(2))
    assert first == again
    right = MaskedWords(ratio=0.9).measure(model_of(data, words=always(data, ".")), data, split="test", **HOW)
    wrong = MaskedWords(ratio=0.9).measure(model_of(data, words=always(data, "gout")), data, split="test", **HOW)
    assert 0 < right["masked_words/accuracy"] < 0.5  # texts end with a full stop, which is one of some ten tokens
    assert wrong["masked_words/accuracy"] == 0


def test_hidden_links_are_ranked_among_the_concepts_of_their_text_without_other_true_ends(data):
    model = model_of(data)
    found = HiddenLinkRanks(draw=DRAW).measure(model, data, split="test", **HOW)
    decoder, joint, ranks, pools = model.heads["links"], model.encoders["joint"], [], []
    for batch in data.eval_loader("test"):
        inp = batch.inputs["grounded"]
        nodes = joint.read(without_messages(inp, torch.zeros_like(inp.extra["edge_mask"]))).nodes.x
        for row in range(len(inp)):
            state = decoder.states(nodes[row])
            facts = [tuple(e) for e in inp.extra["edges"][row][inp.extra["edge_mask"][row]].tolist()]
            count = int(inp.extra["node_mask"][row].sum())
            for h, r, t in facts:
                for heads in (True, False):
                    pool = [n for n in range(1, count) if ((n, r, t) if heads else (h, r, n)) not in facts]
                    pool.append(h if heads else t)
                    triples = [(n, r, t) if heads else (h, r, n) for n in pool]
                    w = decoder.links.relation
                    scores = np.array([(state[a] * w[b] * state[c]).sum().item() for a, b, c in triples])
                    ranks.append((np.sum(scores > scores[-1]) + np.sum(scores >= scores[-1]) + 1) / 2)
                    pools.append(len(pool))
    assert len(ranks) > 10
    assert found["hidden_links/questions"] == len(ranks)
    assert found["hidden_links/mean_rank"] == pytest.approx(np.mean(ranks), abs=1e-6)
    assert found["hidden_links/mrr"] == pytest.approx(np.mean(1 / np.array(ranks)), abs=1e-6)
    assert found["hidden_links/mrr_chance"] == pytest.approx(np.mean(2 / (np.array(pools) + 1)))


def test_equal_scores_give_the_rank_of_chance(data):
    model = model_of(data)
    nn.init.zeros_(model.heads["links"].links.relation)
    found = HiddenLinkRanks(draw=DRAW).measure(model, data, split="test", **HOW)
    assert found["hidden_links/mrr"] == pytest.approx(found["hidden_links/mrr_chance"])


def test_answers_without_a_known_one_are_not_counted(tmp_path):
    root = write_questions(tmp_path)
    layouts = {s: QAGraph(root=root, split=s, graph="umls", graph_folder="umls") for s in ("train", "val", "test")}
    data = opened(layouts, ChoiceProcessor(**SMALL), tmp_path)
    model = model_of(data, answer=AnswerHead(width=40))
    assert ChosenAnswers().measure(model, data, split="test", **HOW) == {}
    found = ChosenAnswers().measure(model, data, split="val", **HOW)
    assert found["answers/chance"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    nn.init.zeros_(model.heads["answer"].layers[1].weight)
    even = ChosenAnswers().measure(model, data, split="val", **HOW)
    assert even["answers/accuracy"] == 1  # equal logits choose the first, which is always right here


@pytest.mark.parametrize(
    ("figure", "heads", "fault"),
    [
        (ClozeFacts(), {"words": nn.Linear(2, 2)}, "should be a core.objectives.tokens WordHead"),
        (MaskedWords(head="word"), {}, "has no 'word'; did you mean 'words'"),
        (HiddenLinkRanks(), {"links": nn.Linear(2, 2)}, "expected a LinkDecoder"),
        (ChosenAnswers(head="words"), {}, "should be an AnswerHead"),
        (ClozeFacts(modality="text"), {}, "reads no modality 'text'"),
    ],
)
def test_figures_that_do_not_fit_the_model_are_refused_before_data_is_read(data, figure, heads, fault):
    with pytest.raises(ConfigError, match=fault):
        figure.check(model_of(data, **heads))
