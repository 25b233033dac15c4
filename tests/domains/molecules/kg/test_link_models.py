"""Products against matrices, scores against formulas written out here, both directions of a question, gradients."""

import math

import pytest
import torch
from kg_files import encoder_of

from core.errors import ConfigError
from domains.molecules.kg import ComplEx, DistMult, EntityTable, LinkEncoder, QuatE, RotatE, Tetra, TransE
from domains.molecules.kg.algebra import (
    complex_conjugate,
    complex_product,
    dihedron_product,
    parts_of,
    quaternion_conjugate,
    quaternion_product,
    unit,
)
from domains.molecules.kg.match import Distance, Dot, SquaredDistance, SumOfModuli

R, D, E = 3, 5, 11
ALL = {
    "TransE L1": lambda inverse: TransE(relations=R, dim=D, p=1, inverse=inverse),
    "TransE L2": lambda inverse: TransE(relations=R, dim=D, p=2, inverse=inverse),
    "DistMult": lambda inverse: DistMult(relations=R, dim=D, inverse=inverse),
    "ComplEx": lambda inverse: ComplEx(relations=R, dim=D, inverse=inverse),
    "RotatE": lambda inverse: RotatE(relations=R, dim=D, inverse=inverse),
    "RotatE euclidean": lambda inverse: RotatE(relations=R, dim=D, modulus="euclidean", inverse=inverse),
    "QuatE": lambda inverse: QuatE(relations=R, dim=D, inverse=inverse),
    "Tetra": lambda inverse: Tetra(relations=R, dim=D),
    "Tetra quaternion": lambda inverse: Tetra(relations=R, dim=D, algebra="quaternion"),
}


def numbers(parts, seed=0, rows=4):
    return torch.randn(rows, parts * D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_matrices(x, basis):
    """(rows, D, n, n) real matrices of numbers, by those of their units."""
    return sum(p[..., None, None] * b for p, b in zip(parts_of(x, len(basis)), basis, strict=True))


def matrix(*rows):
    return torch.tensor(rows, dtype=torch.float64)


COMPLEX = (torch.eye(2, dtype=torch.float64), matrix([0, -1], [1, 0]))
DIHEDRON = (*COMPLEX, matrix([1, 0], [0, -1]), matrix([0, 1], [1, 0]))
QUATERNION = (
    torch.eye(4, dtype=torch.float64),
    matrix([0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]),
    matrix([0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]),
    matrix([0, 0, 0, -1], [0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 0]),
)


@pytest.mark.parametrize(
    ("product", "basis"),
    [(complex_product, COMPLEX), (dihedron_product, DIHEDRON), (quaternion_product, QUATERNION)],
    ids=["complex", "dihedron", "quaternion"],
)
def test_products_are_those_of_matrices_and_associative(product, basis):
    x, y, z = (numbers(len(basis), seed) for seed in range(3))
    torch.testing.assert_close(as_matrices(product(x, y), basis), as_matrices(x, basis) @ as_matrices(y, basis))
    torch.testing.assert_close(product(product(x, y), z), product(x, product(y, z)))


def test_the_units_multiply_as_their_definition_says():
    def of(s, i, j, k):
        return torch.tensor([s, i, j, k], dtype=torch.float64)

    one, i, j, k = of(1, 0, 0, 0), of(0, 1, 0, 0), of(0, 0, 1, 0), of(0, 0, 0, 1)
    for product, squares in ((quaternion_product, (-1, -1, -1)), (dihedron_product, (-1, 1, 1))):
        for u, square in zip((i, j, k), squares, strict=True):
            assert torch.equal(product(u, u), square * one)
        assert torch.equal(product(i, j), k)
        assert torch.equal(product(j, i), -k)
        assert torch.equal(product(k, i), j)
    assert torch.equal(quaternion_product(j, k), i)
    assert torch.equal(dihedron_product(j, k), -i)


def test_norms_of_products():
    x, y = numbers(4, 1), numbers(4, 2)

    def modulus(x):
        return torch.stack(parts_of(x, 4)).square().sum(0).sqrt()

    def form(x):
        s, i, j, k = parts_of(x, 4)
        return s**2 + i**2 - j**2 - k**2

    torch.testing.assert_close(modulus(quaternion_product(x, y)), modulus(x) * modulus(y))
    torch.testing.assert_close(form(dihedron_product(x, y)), form(x) * form(y))
    torch.testing.assert_close(modulus(quaternion_product(x, unit(y, 4))), modulus(x))
    only_sj = torch.cat([torch.full((1, D), v, dtype=torch.float64) for v in (0.6, 0.0, 0.8, 0.0)], dim=1)
    moved = dihedron_product(only_sj, only_sj)  # of unit length, and no isometry
    assert not torch.allclose(modulus(moved), modulus(only_sj))


def test_complex_numbers_are_the_first_half_of_quaternions_and_dihedra():
    x, y = numbers(2, 1), numbers(2, 2)
    zero = torch.zeros_like(x)
    for product in (quaternion_product, dihedron_product):
        found = product(torch.cat([x, zero], 1), torch.cat([y, zero], 1))
        torch.testing.assert_close(found, torch.cat([complex_product(x, y), zero], 1))
    z = torch.complex(*parts_of(x, 2)) * torch.complex(*parts_of(y, 2))
    torch.testing.assert_close(complex_product(x, y), torch.cat([z.real, z.imag], 1))


def test_a_zero_has_no_direction_and_a_finite_gradient():
    x = torch.zeros(2, 4 * D, requires_grad=True)
    found = unit(x, 4)
    found.sum().backward()
    assert torch.equal(found, torch.zeros_like(x))
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("match", [Dot(), Distance(1), Distance(2), SquaredDistance(), SumOfModuli()])
def test_both_forms_of_a_match_agree(match, monkeypatch):
    monkeypatch.setattr("domains.molecules.kg.match.BLOCK_NUMBERS", 50)
    query, entity = numbers(2, 1), numbers(2, 2, rows=7)
    pairs = match.pairs(query, entity[None].expand(4, -1, -1))
    torch.testing.assert_close(match.every(query, entity), pairs)


def published(name, encoder, h, r, t):
    """The score of one triple by the formula of its paper, with Python's own complex numbers where it has them."""
    table = encoder.entities.every().detach()
    head, tail = table[h], table[t]
    links = encoder.links
    if name.startswith("TransE"):
        return -torch.linalg.vector_norm(head + links.relation[r] - tail, ord=links.p)
    if name == "DistMult":
        return (head * links.relation[r] * tail).sum()
    if name == "ComplEx":
        (a, b, c) = (torch.complex(*parts_of(x, 2)) for x in (head, links.relation[r], tail))
        return (a * b * c.conj()).sum().real
    if name.startswith("RotatE"):
        a, c = (torch.complex(*parts_of(x, 2)) for x in (head, tail))
        away = a * torch.polar(torch.ones_like(links.phase[r]), links.phase[r]) - c
        return -away.abs().sum() if name == "RotatE" else -away.abs().square().sum().sqrt()
    relation = torch.stack(parts_of(links.relation[r], 4))
    relation = (relation / relation.norm(dim=0)).flatten()
    basis = DIHEDRON if name == "Tetra" else QUATERNION
    product = as_matrices(head[None], basis) @ as_matrices(relation[None], basis)
    if name == "QuatE":
        return torch.einsum("bdi,bdi->", product[..., 0], as_matrices(tail[None], basis)[..., 0])
    away = product - as_matrices(tail[None], basis)
    return -away.square().sum() / len(basis[0])


@pytest.mark.parametrize("name", ALL)
def test_scores_are_the_published_ones(name):
    encoder = encoder_of(ALL[name](inverse=False))
    triples = encoder.graph.triples_T3[:6]
    h, r, t = torch.from_numpy(triples).unbind(1)
    point = encoder.question(h, r, heads=False)
    found = encoder.candidate_scores(point, t[:, None])[:, 0]
    expected = torch.stack([published(name, encoder, *row) for row in triples.tolist()])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(encoder.all_scores(point).gather(1, t[:, None])[:, 0], expected)


@pytest.mark.parametrize("name", [n for n in ALL if not n.startswith("Tetra")])
def test_asking_for_the_head_gives_the_same_score_of_a_triple(name):
    encoder = encoder_of(ALL[name](inverse=False))
    h, r, t = torch.from_numpy(encoder.graph.triples_T3).unbind(1)
    of_tails = encoder.candidate_scores(encoder.question(h, r, heads=False), t[:, None])
    of_heads = encoder.candidate_scores(encoder.question(t, r, heads=True), h[:, None])
    torch.testing.assert_close(of_heads, of_tails)


@pytest.mark.parametrize("name", ALL)
def test_inverse_relations_ask_for_heads_as_tails_of_their_own(name):
    encoder = encoder_of(ALL[name](inverse=True))
    _h, r, t = torch.from_numpy(encoder.graph.triples_T3).unbind(1)
    asked = encoder.question(t, r, heads=True)
    torch.testing.assert_close(asked, encoder.links.tail_query(encoder.entities.rows(t), r + R, t))


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_finite_differences(name):
    encoder = encoder_of(ALL[name](inverse=True), bias=True)
    h, r, t = torch.from_numpy(encoder.graph.triples_T3[:3]).unbind(1)
    names, values = zip(*encoder.named_parameters(), strict=True)

    def scores(*given):
        from torch.func import functional_call

        class Asked(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder = encoder

            def forward(self):
                return encoder.candidate_scores(encoder.question(h, r, heads=False), t[:, None])

        return functional_call(Asked(), {f"encoder.{n}": v for n, v in zip(names, given, strict=True)}, ())

    assert torch.autograd.gradcheck(scores, values)


def test_complex_without_imaginary_parts_is_distmult():
    encoder = encoder_of(ComplEx(relations=R, dim=D))
    with torch.no_grad():
        encoder.entities.vector[:, D:] = 0
        encoder.links.relation[:, D:] = 0
    plain = encoder_of(DistMult(relations=R, dim=D))
    with torch.no_grad():
        plain.entities.vector.copy_(encoder.entities.vector[:, :D])
        plain.links.relation.copy_(encoder.links.relation[:, :D])
    h, r, _ = torch.from_numpy(encoder.graph.triples_T3).unbind(1)
    torch.testing.assert_close(
        encoder.all_scores(encoder.question(h, r, heads=False)), plain.all_scores(plain.question(h, r, heads=False))
    )


def test_a_rotation_by_0_or_pi_is_symmetric_and_keeps_lengths():
    encoder = encoder_of(RotatE(relations=R, dim=D))
    h, r, t = torch.from_numpy(encoder.graph.triples_T3).unbind(1)
    lengths = encoder.question(h, r, heads=False).norm(dim=1)
    torch.testing.assert_close(lengths, encoder.entities.rows(h).norm(dim=1))
    with torch.no_grad():
        encoder.links.phase.copy_(math.pi * torch.randint(0, 2, encoder.links.phase.shape))
    there = encoder.candidate_scores(encoder.question(h, r, heads=False), t[:, None])
    back = encoder.candidate_scores(encoder.question(t, r, heads=False), h[:, None])
    torch.testing.assert_close(there, back)


def test_transe_is_exact_where_the_tail_lies():
    encoder = encoder_of(TransE(relations=R, dim=D))
    h, r = torch.tensor([2]), torch.tensor([1])
    with torch.no_grad():
        encoder.entities.vector[7] = encoder.entities.vector[2] + encoder.links.relation[1]
    scores = encoder.all_scores(encoder.question(h, r, heads=False))[0]
    assert scores[7] == 0
    assert scores.argmax() == 7


def test_conjugates_undo_unit_numbers():
    x, r = numbers(4, 1), unit(numbers(4, 2), 4)
    torch.testing.assert_close(quaternion_product(quaternion_product(x, r), quaternion_conjugate(r)), x)
    z, w = numbers(2, 1), unit(numbers(2, 2), 2)
    torch.testing.assert_close(complex_product(complex_product(z, w), complex_conjugate(w)), z)


def test_a_bias_is_added_to_its_entity_only():
    encoder = encoder_of(Tetra(relations=R, dim=D), bias=True)
    h, r = torch.tensor([0, 3]), torch.tensor([0, 1])
    before = encoder.all_scores(encoder.question(h, r, heads=False)).detach()
    with torch.no_grad():
        encoder.bias[4] = 2.0
    change = encoder.all_scores(encoder.question(h, r, heads=False)).detach() - before
    expected = torch.zeros(2, E, dtype=torch.float64)
    expected[:, 4] = 2
    torch.testing.assert_close(change, expected)


def test_unit_length_entities_are_so_whenever_read():
    table = EntityTable(entities=4, width=3, unit_length=True)
    torch.testing.assert_close(table.every().norm(dim=1), torch.ones(4))
    torch.testing.assert_close(table.rows(torch.tensor([[1, 2]])), table.every()[None, 1:3])


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="ComplEx of dim 5 needs entities of width 10; EntityTable has 5"):
        LinkEncoder(entities=EntityTable(entities=4, width=5), links=ComplEx(relations=R, dim=5))
    with pytest.raises(ConfigError, match=r"Tetra: cannot be asked for heads.*inverse: true"):
        Tetra(relations=R, dim=D, inverse=False)
