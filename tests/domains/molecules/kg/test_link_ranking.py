"""Filtered ranks of a model: against a loop, independent of blocks, and PyKEEN's figures on the same scores."""

import numpy as np
import pytest
import torch
from kg_files import encoder_of, random_graph, write_graph

from domains.molecules.kg import ComplEx, DistMult, RotatE, Tetra
from domains.molecules.kg.ranking import both_ends


def by_hand(encoder, triples, known):
    """Realistic filtered ranks, heads then tails, triple by triple."""
    true = set(map(tuple, known.tolist()))
    found = {"heads": [], "tails": []}
    for h, r, t in triples.tolist():
        for side, given, answer in (("heads", t, h), ("tails", h, t)):
            point = encoder.question(torch.tensor([given]), torch.tensor([r]), heads=side == "heads")
            scores = encoder.all_scores(point)[0].tolist()
            others = [
                s
                for e, s in enumerate(scores)
                if e != answer and ((e, r, t) if side == "heads" else (h, r, e)) not in true
            ]
            above, tied = sum(s > scores[answer] for s in others), sum(s == scores[answer] for s in others)
            found[side].append(1 + above + tied / 2)
    return found


@pytest.mark.parametrize("links", [ComplEx(relations=3, dim=4), Tetra(relations=3, dim=2), RotatE(relations=3, dim=3)])
def test_ranks_of_a_model_are_those_of_a_loop(links):
    encoder = encoder_of(links, bias=True, dtype=torch.float32)
    triples = encoder.graph.triples_T3
    found = both_ends(encoder, encoder.graph, triples[:9], triples)
    expected = by_hand(encoder, triples[:9], triples)
    for side in ("heads", "tails"):
        np.testing.assert_array_equal(found[side].realistic, expected[side])


def test_forgotten_facts_push_answers_down_and_a_pool_pulls_them_up():
    encoder = encoder_of(ComplEx(relations=3, dim=4), dtype=torch.float32)
    triples = encoder.graph.triples_T3
    all_known = both_ends(encoder, encoder.graph, triples, triples)
    forgotten = both_ends(encoder, encoder.graph, triples, triples[:0])
    for side in ("heads", "tails"):
        assert (forgotten[side].realistic >= all_known[side].realistic).all()
        assert set(forgotten[side].pool) == {11}
    few = both_ends(encoder, encoder.graph, triples[:3], triples, pool=np.unique(triples[:3, [0, 2]]))
    assert (few["tails"].pool <= 6).all()


def test_equal_scores_give_the_middle_rank():
    encoder = encoder_of(DistMult(relations=3, dim=4), dtype=torch.float32)
    with torch.no_grad():
        encoder.links.relation.zero_()
    found = both_ends(encoder, encoder.graph, encoder.graph.triples_T3[:4], np.zeros((0, 3), np.int64))
    assert set(found["heads"].realistic) == {6.0}


def test_an_inductive_test_is_ranked_among_the_entities_of_its_own_graph(tmp_path):
    from core.config.schema import DataSettings
    from core.data.datamodule import DataModule
    from core.models import DualEncoder
    from core.training.precision import Compute
    from domains.molecules.kg import EntityTable, LinkEncoder, LinkRanking, RelationalConvolution, TripleProcessor
    from domains.molecules.kg.layouts import InductiveTriples

    pytest.importorskip("torch_geometric")
    write_graph(tmp_path / "g")
    facts = [("x", "likes", "y"), ("y", "likes", "z"), ("z", "knows", "x"), ("w", "knows", "x")]
    write_graph(tmp_path / "g_ind", train=facts, test=[("y", "knows", "x")])
    layouts = {s: InductiveTriples(root=tmp_path, split=s, graph="g") for s in ("train", "val", "test")}
    settings = DataSettings(prepare_workers=0)
    data = DataModule(layouts, {"triple": TripleProcessor(admit_unseen=True)}, settings, seed=0)
    data.fit_processors()
    data.prepare(("val", "test"), bad_csv=tmp_path / "bad.csv")
    entities = RelationalConvolution(base=EntityTable(entities=8, width=4), relations=2)
    encoder = LinkEncoder(entities=entities, links=DistMult(relations=2, dim=4))
    model = DualEncoder(encoders={"graph": encoder}, modalities={"triple": "graph"}, dim=4)
    model.take(data.processors)
    found = {
        split: LinkRanking().measure(
            model, data, split=split, compute=Compute(torch.device("cpu"), "32", 1), seed=0, n_bootstrap=1
        )
        for split in ("val", "test")
    }
    # test: x, y, z, w; of tails for (y, knows) none is known beside x, of heads for (knows, x) z and w are
    assert found["test"]["links/candidates"] == (4 + 2) / 2
    # val: a, b, c, d; (a, knows, d) is known from training
    assert found["val"]["links/candidates"] == (4 + 3) / 2


@pytest.mark.parametrize("grain", [0.0, 0.5])
def test_figures_are_pykeens_on_the_same_scores(grain):
    """Score rows with (grain > 0) and without ties are given to PyKEEN's evaluator; needs pykeen (extra `peers`)."""
    evaluation = pytest.importorskip("pykeen.evaluation")
    from core.evaluation import KnownAnswers, answer_ranks, answer_scores
    from core.evaluation.answers import AnswerRanks

    graph = random_graph(entities=29, relations=4, triples=200)
    triples = torch.from_numpy(graph.triples_T3)
    generator = torch.Generator().manual_seed(0)
    score = {side: torch.randn(len(triples), 29, generator=generator) for side in ("head", "tail")}
    if grain:
        score = {side: (s / grain).round() * grain for side, s in score.items()}
    theirs = evaluation.RankBasedEvaluator(filtered=True)
    ranks = []
    for side, given, wanted in (("head", 2, 0), ("tail", 0, 2)):
        code = graph.triples_T3[:, given] * 4 + graph.triples_T3[:, 1]
        known = KnownAnswers(code, graph.triples_T3[:, wanted])
        ranks.append(
            answer_ranks(
                lambda rows, s=side: score[s][rows], code, graph.triples_T3[:, wanted], candidates=29, known=known
            )
        )
        masked = score[side].clone()
        row, column = known.pairs(code)
        masked[row, column] = float("nan")  # PyKEEN's mark of what is filtered out
        true = score[side].gather(1, triples[:, wanted : wanted + 1])
        masked.scatter_(1, triples[:, wanted : wanted + 1], true)
        theirs.process_scores_(triples, target=side, scores=masked, true_scores=true)
    found = theirs.finalize()
    both = AnswerRanks(*(np.concatenate([getattr(r, n) for r in ranks]) for n in AnswerRanks.__slots__))
    ours = answer_scores(both, ks=(1, 3, 5, 10), n_bootstrap=1)
    pairs = {"inverse_harmonic_mean_rank": ours.mrr.value, "arithmetic_mean_rank": ours.mean_rank.value}
    pairs |= {f"hits_at_{k}": ours.hits[k].value for k in (1, 3, 5, 10)}
    pairs["adjusted_arithmetic_mean_rank_index"] = ours.amri
    for name, value in pairs.items():
        assert found.get_metric(f"both.realistic.{name}") == pytest.approx(value, abs=1e-6), name
