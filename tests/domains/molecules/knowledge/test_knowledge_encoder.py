"""Neighbours as ids and as tokens: the draw, the mask, the table of unit rows, and TransE over it."""

import math

import numpy as np
import pytest
import torch

from core.errors import ConfigError, DataError
from core.models import DualEncoder
from core.objectives import Step
from core.types import Batch, ModalityInput
from domains.molecules.kg import DrawnLinks, FilteredNegatives, HardestMarginLoss, MarginLoss, UnitTransE
from domains.molecules.knowledge import KnowledgeEncoder, NeighbourProcessor, PaddedEntities

TRIPLES = {str(i): f"m{i}\thas\tg{i % 5}" for i in range(10)}
SOURCE = "\n".join(f"has\tg{i}" for i in range(5)) + "\nhas\tunseen"


@pytest.fixture
def processor():
    made = NeighbourProcessor(count=3)
    made.read_tables({"triples": TRIPLES})
    made.fit([])
    return made


@pytest.fixture
def encoder(processor):
    torch.manual_seed(0)
    made = KnowledgeEncoder(
        entities=PaddedEntities(entities=20, width=8), links=UnitTransE(relations=2, dim=8, init_std=1.0)
    )
    made.take(processor)
    return made


def test_the_draw_is_a_few_known_entities_the_same_in_evaluation_and_new_in_training(processor):
    sample = processor.load(SOURCE)
    names = [processor.names.entities[i] for i in sample["every"]]
    assert names == [f"g{i}" for i in range(5)]  # "unseen" has no vector
    assert len(sample["drawn"]) == 3
    assert set(sample["drawn"]) <= set(sample["every"])
    np.testing.assert_array_equal(sample["drawn"], processor.load(SOURCE)["drawn"])
    draws = {tuple(processor.augment(sample, np.random.default_rng(i))["drawn"]) for i in range(40)}
    assert len(draws) == math.comb(5, 3)


def test_unknown_neighbours_leave_the_modality_out(processor):
    assert processor.load("has\tunseen") == {}
    with pytest.raises(DataError, match="'g1' is not relation<TAB>entity"):
        processor.load("g1")


def test_a_batch_is_padded_to_the_count_and_masked(processor):
    inp = processor.collate([processor.load(SOURCE), processor.load("has\tg0")])
    assert inp.x.shape == inp.mask.shape == (2, 3)
    assert inp.mask.sum(1).tolist() == [3, 1]


def test_it_is_saved_with_its_graph(processor, tmp_path):
    processor.save(tmp_path)
    again = NeighbourProcessor(count=3)
    again.restore(tmp_path)
    np.testing.assert_array_equal(again.load(SOURCE)["drawn"], processor.load(SOURCE)["drawn"])
    assert again.fingerprint() == processor.fingerprint()
    assert NeighbourProcessor(count=2).fingerprint() != NeighbourProcessor(count=3).fingerprint()


def test_data_without_a_graph_is_refused(processor):
    with pytest.raises(DataError, match="has no table 'triples'"):
        NeighbourProcessor().read_tables({})
    with pytest.raises(DataError, match="no triple without held-out"):
        NeighbourProcessor().fit([])


def test_rows_have_unit_length_and_padding_is_zero_without_gradient(encoder):
    torch.testing.assert_close(encoder.entities.every().norm(dim=1), torch.ones(20))
    inp = ModalityInput(torch.tensor([[0, 3, 19], [5, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]]).bool())
    found = encoder(inp)
    torch.testing.assert_close(found.tokens.x.norm(dim=-1), inp.mask.float())
    torch.testing.assert_close(found.pooled[1], encoder.entities.every()[5])
    (found.tokens.x.sum() + found.pooled.sum()).backward()
    gradient = encoder.entities.vector.grad
    assert torch.isfinite(gradient).all()
    assert gradient[encoder.entities.padding].abs().max() == 0
    assert gradient[5].abs().max() > 0
    assert encoder.entities.vector[encoder.entities.padding].abs().max() == 0


def test_a_row_without_neighbours_is_zeros(encoder):
    inp = ModalityInput(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.bool))
    found = encoder(inp)
    assert found.tokens.x.abs().max() == found.pooled.abs().max() == 0


def test_the_order_of_neighbours_is_the_order_of_tokens(encoder):
    inp = ModalityInput(torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool))
    turned = ModalityInput(inp.x.flip(1), inp.mask)
    torch.testing.assert_close(encoder(turned).tokens.x.flip(1), encoder(inp).tokens.x, rtol=0, atol=0)
    torch.testing.assert_close(encoder(turned).pooled, encoder(inp).pooled)


def test_transe_is_zero_where_the_tail_is_head_plus_relation(encoder):
    relation = torch.tensor([1])
    with torch.no_grad():
        encoder.links.relation[1] = torch.tensor([2.0, 0, 0, 0, 0, 0, 0, -2.0])  # moduli sum to 1 when read
        head = torch.nn.functional.normalize(torch.randn(8), dim=0)
        encoder.entities.vector[4] = head
        tail = encoder.entities.rows(torch.tensor([4])) + encoder.links.vectors(relation)
    torch.testing.assert_close(encoder.links.vectors(relation).abs().sum(), torch.tensor(1.0))
    point = encoder.question(torch.tensor([4]), relation, heads=False)
    assert encoder.links.match.pairs(point, tail[:, None]).item() == pytest.approx(0, abs=1e-6)


def test_scores_and_margin_loss_are_those_of_the_released_formula(encoder):
    """L1 distance of unit entities and relations of L1 norm 1; mean of max(0, D + d(right) - d(wrong))."""
    triples = torch.tensor([[0, 0, 1], [2, 1, 3], [4, 0, 7]])
    wrong = torch.tensor([[5, 0, 1], [2, 1, 9], [4, 0, 11]])
    e = encoder.entities.vector.detach()[:20]
    e = e / e.norm(dim=1, keepdim=True)
    r = encoder.links.relation.detach()
    r = r / r.abs().sum(dim=1, keepdim=True)
    right_d, wrong_d = ((e[t[:, 0]] + r[t[:, 1]] - e[t[:, 2]]).abs().sum(1) for t in (triples, wrong))
    points = encoder.question(wrong[:, 0], wrong[:, 1], heads=False)
    scores = encoder.candidate_scores(points, wrong[:, 2:])[:, 0]
    torch.testing.assert_close(-scores, wrong_d)
    right = encoder.candidate_scores(encoder.question(triples[:, 0], triples[:, 1], heads=False), triples[:, 2:])[:, 0]
    expected = (1.0 + right_d - wrong_d).clamp_min(0).mean()
    torch.testing.assert_close(MarginLoss(margin=1.0)(right, scores[:, None]), expected)


def test_only_the_best_scored_wrong_answer_counts():
    right = torch.tensor([-1.0, -1.0], requires_grad=True)
    wrong = torch.tensor([[-2.0, -0.9], [-3.0, -4.0]], requires_grad=True)
    loss = HardestMarginLoss(margin=0.2)(right, wrong)
    assert loss.item() == pytest.approx((0.2 + 1 - 0.9) / 2)
    loss.backward()
    assert wrong.grad.tolist() == [[0, 0.5], [0, 0]]
    real = torch.tensor([[True, False], [False, False]])
    assert HardestMarginLoss(margin=2.0)(right, wrong, real).item() == pytest.approx((2 + 1 - 2) / 2)


def test_links_are_drawn_from_the_graph_and_train_its_vectors(encoder, processor):
    model = DualEncoder(
        encoders={"knowledge": encoder}, modalities={"neighbours": "knowledge"}, dim=8,
        projections={"neighbours": torch.nn.Identity()},
    )  # fmt: skip
    term = DrawnLinks(modality="neighbours", per_step=6, negatives=FilteredNegatives(per_positive=2))

    def step(seed):
        return Step(model=model, batch=Batch([], {}, {}), index=0, generator=torch.Generator().manual_seed(seed))

    known = {tuple(t) for t in processor.triples_T3.tolist()}
    drawn = term.triples(step(3))
    assert drawn.shape == (6, 3)
    assert {tuple(t) for t in drawn.tolist()} <= known
    torch.testing.assert_close(term.triples(step(3)), drawn)
    term(step(3))["loss"].backward()  # a batch without a single row still trains the graph
    assert encoder.entities.vector.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match="per_step is 0"):
        DrawnLinks(modality="neighbours", per_step=0)
