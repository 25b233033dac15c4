"""Quarters of structure and text, and the rule-made graph that tells whether a model reads texts."""

import numpy as np
import pytest
import torch
from kg_files import TRAIN, encoder_of, fitted

from core.errors import ConfigError
from domains.molecules.kg import LinkEncoder, MultiModalEntities, Tetra, TextTransform
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.rule_made import GRADES, KINDS, RELATIONS, DescribedPairs, write

D, F = 3, 8
WSF = ("structure", "words", "characters", "structure")


def described(**how):
    processor = fitted(features={"words": F, "characters": F}, **how)
    processor.read_tables({"descriptions": {"a": "red apple", "b": "green pear", "c": "red pear"}})
    processor.fit("\t".join(t) for t in TRAIN)
    return processor


def entities(quarters=WSF, count=6):
    torch.manual_seed(0)
    sources = {q: F for q in quarters if q != "structure"}
    return MultiModalEntities(entities=count, dim=D, quarters=quarters, sources=sources)


def test_quarters_stand_in_the_order_asked_for():
    found = entities()
    found.take(described().graph())
    every = found.every()
    assert every.shape == (4, 4 * D)  # the graph's entities; the table has room for two more
    first, words, letters, last = every.chunk(4, dim=1)
    torch.testing.assert_close(torch.cat([first, last], 1), found.vector[:4])
    torch.testing.assert_close(words, found.texts[0](None))
    torch.testing.assert_close(letters, found.texts[1](torch.arange(4)))
    ids = torch.tensor([[2, 0], [3, 3]])
    torch.testing.assert_close(found.rows(ids), every[ids])


def test_all_structure_is_a_table_and_all_text_has_none():
    plain = entities(("structure",) * 4)
    torch.testing.assert_close(plain.every(), plain.vector)
    texts = entities(("words",) * 4)
    assert texts.vector is None
    texts.take(described().graph())
    assert texts.every().shape == (4, 4 * D)


def test_equal_texts_give_equal_quarters_and_gradients_reach_both_kinds():
    graph = Graph(3, 1, np.zeros((1, 3), np.int64), features={"words": np.eye(3, F, dtype=np.float32)[[0, 0, 1]]})
    found = entities(("words", "structure", "words", "structure"), count=3)
    found.take(graph)
    every = found.every()
    torch.testing.assert_close(every[0, :D], every[1, :D])
    assert not torch.allclose(every[0, :D], every[2, :D])
    every.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in found.parameters() if p.ndim == 2)


def test_what_quarters_cannot_be():
    with pytest.raises(ConfigError, match=r"give four of: structure, words"):
        MultiModalEntities(entities=3, dim=D, quarters=("structure", "wrods", "words", "words"), sources={"words": F})
    with pytest.raises(ConfigError, match="no quarter uses letters"):
        MultiModalEntities(entities=3, dim=D, quarters=("structure",) * 4, sources={"letters": F})
    with pytest.raises(ConfigError, match="the processor gives no text features 'words'"):
        entities().take(fitted().graph())
    with pytest.raises(ConfigError, match="are 4 wide and the model expects 8"):
        entities(("words",) * 4).take(fitted(features={"words": 4}, names_are_text=True).graph())


def test_names_are_texts_where_asked():
    assert described().description("d") == ""
    assert described(names_are_text=True).description("d") == "d"
    processor = fitted([("cell_or_tissue", "is_a", "b")], names_are_text=True)
    assert processor.description("cell_or_tissue") == "cell or tissue"


def test_features_are_data_and_no_weights():
    names = entities().state_dict()
    assert not [name for name in names if "features" in name]


@pytest.mark.parametrize("algebra", ["dihedron", "quaternion"])
def test_text_turns_and_moves_the_head(algebra):
    links = TextTransform(relations=2, dim=D, rotation={"words": F}, translation={"characters": F}, algebra=algebra)
    encoder = encoder_of(links, entities=4, dtype=torch.float32)
    encoder.take(described())
    head, relation = torch.tensor([0, 3]), torch.tensor([1, 0])
    from domains.molecules.kg.algebra import unit

    turn = unit(links.rotation(head) + links.turn[relation], 4)
    expected = links.product(encoder.entities.rows(head), turn) + links.relation[relation] + links.translation(head)
    torch.testing.assert_close(encoder.question(head, relation, heads=False), expected)
    with pytest.raises(ConfigError, match="rotation lists 2 sources"):
        TextTransform(relations=2, dim=D, rotation={"a": 1, "b": 1}, translation={"a": 1})


def test_a_saved_encoder_scores_as_before_once_it_is_shown_the_graph():
    def make():
        torch.manual_seed(3)
        return LinkEncoder(entities=entities(count=4), links=Tetra(relations=2, dim=D), bias=True)

    first, second = make(), make()
    with torch.no_grad():
        first.entities.vector.add_(1)
    second.load_state_dict(first.state_dict())
    for encoder in (first, second):
        encoder.take(described())
    head, relation = torch.tensor([0, 3]), torch.tensor([1, 0])
    a, b = (e.all_scores(e.question(head, relation, heads=False)) for e in (first, second))
    assert torch.equal(a, b)


def test_the_rule_made_graph_obeys_its_rule(tmp_path):
    write(tmp_path, seed=1)
    layouts = {s: DescribedPairs(root=tmp_path, split=s) for s in ("train", "val", "test")}
    texts = layouts["train"].tables["descriptions"]
    kind = {n: next(i for i, k in enumerate(KINDS) if k in t.split()) for n, t in texts.items()}
    grade = {n: next(g for g in GRADES if g in t.split()) for n, t in texts.items()}
    assert len(texts) == 180
    seen = set()
    for name, layout in layouts.items():
        for triple in layout.triples:
            shift = (kind[triple.tail] - kind[triple.head]) % len(KINDS)
            assert RELATIONS[shift - 1] == triple.relation
            assert grade[triple.head] == grade[triple.tail]
            if name == "train":
                seen |= {triple.head, triple.tail}
    assert seen == set(texts)
    train, val, test = (set(layouts[s].triples) for s in ("train", "val", "test"))
    assert not (train & test)
    assert not (train & val)
    assert not (val & test)


def test_shuffled_descriptions_are_the_same_texts_of_other_entities(tmp_path):
    for name, shuffled in (("a", False), ("b", True)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, shuffled=shuffled, seed=2)
    a, b = (DescribedPairs(root=tmp_path / n, split="train") for n in "ab")
    told, untold = a.tables["descriptions"], b.tables["descriptions"]
    assert sorted(told.values()) == sorted(untold.values())
    assert sum(told[n] == untold[n] for n in told) < 10
