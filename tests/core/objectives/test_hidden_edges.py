"""Edges that are asked for carry no message, and neither does anything that says the same."""

import pytest
import torch

from core.errors import ConfigError
from core.objectives.hidden_edges import EdgeDraw, same_facts

R = 3


def drawn(draw, edges, real, seed=0):
    return draw(edges, real, relations=R, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def graphs():
    rng = torch.Generator().manual_seed(1)
    head, kind, tail = (torch.randint(n, (6, 40), generator=rng) for n in (9, R, 9))
    real = torch.arange(40) < torch.tensor([40, 30, 20, 7, 1, 0])[:, None]
    return torch.stack([head, kind, tail], dim=-1), real


def test_a_hidden_edge_its_inverse_and_its_mirror_image_are_all_absent_from_the_messages():
    edges = torch.tensor([[[1, 0, 2], [2, 0 + R, 1], [2, 0, 1], [1, 1, 2], [1, 0, 3], [1, 0, 2]]])
    chosen = torch.tensor([[True, False, False, False, False, False]])
    assert same_facts(edges, chosen, relations=R).tolist() == [[True, True, True, False, False, True]]


def test_hiding_the_inverse_hides_the_edge_too():
    edges = torch.tensor([[[1, 2, 4], [4, 2 + R, 1]]])
    assert same_facts(edges, torch.tensor([[False, True]]), relations=R).all()


def test_the_same_edge_of_another_graph_stays():
    edges = torch.tensor([[[1, 0, 2]], [[1, 0, 2]]])
    assert same_facts(edges, torch.tensor([[True], [False]]), relations=R).tolist() == [[True], [False]]


def test_no_message_says_what_is_asked_for(graphs):
    edges, real = graphs
    found = drawn(EdgeDraw(ratio=0.3, visible=0.0), edges, real)
    facts = {}
    for name, mask in (("asked", found.asked_VM), ("sent", found.messages_VM)):
        rows, at = mask.nonzero(as_tuple=True)
        facts[name] = {
            (row, kind % R, *sorted((head, tail)))
            for row, (head, kind, tail) in zip(rows.tolist(), edges[rows, at].tolist(), strict=True)
        }
    assert facts["asked"]
    assert not facts["asked"] & facts["sent"]


def test_as_many_are_asked_for_as_the_formula_says(graphs):
    edges, real = graphs
    asked = drawn(EdgeDraw(ratio=0.15, most=5), edges, real).asked_VM
    assert asked.sum(1).tolist() == [5, 4, 3, 1, 0, 0]  # min(5, int(0.15 M))
    assert drawn(EdgeDraw(ratio=0.15, most=5, least=1), edges, real).asked_VM.sum(1).tolist() == [5, 4, 3, 1, 1, 0]
    assert not (asked & ~real).any()


def test_a_visible_share_stays_a_message():
    edges = torch.stack([torch.arange(4000) * 2, torch.zeros(4000, dtype=int), torch.arange(4000) * 2 + 1], dim=-1)[
        None
    ]
    real = torch.ones(1, 4000, dtype=torch.bool)
    found = drawn(EdgeDraw(ratio=1.0, most=4000, visible=0.1), edges, real)
    assert found.messages_VM.float().mean() == pytest.approx(0.1, abs=0.02)  # 4 deviations of 4000 draws
    assert drawn(EdgeDraw(ratio=1.0, most=4000, visible=1.0), edges, real).messages_VM.all()


def test_one_seed_draws_the_same_and_another_does_not(graphs):
    edges, real = graphs
    draw = EdgeDraw(ratio=0.3)
    assert torch.equal(drawn(draw, edges, real).asked_VM, drawn(draw, edges, real).asked_VM)
    assert not torch.equal(drawn(draw, edges, real).asked_VM, drawn(draw, edges, real, seed=1).asked_VM)


def test_graphs_without_edges_ask_for_none():
    found = drawn(EdgeDraw(least=1), torch.zeros(2, 0, 3, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.bool))
    assert found.asked_VM.shape == found.messages_VM.shape == (2, 0)


@pytest.mark.parametrize("wrong", [{"ratio": 1.5}, {"visible": -0.1}, {"least": 3, "most": 2}])
def test_impossible_draws_are_refused(wrong):
    with pytest.raises(ConfigError, match="give shares in"):
        EdgeDraw(**wrong)
