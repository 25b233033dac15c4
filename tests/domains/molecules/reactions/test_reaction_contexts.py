"""Weights of reactions and molecules, styles of drawing, contexts and their reversal."""

import numpy as np
import pytest

from core.errors import ConfigError, DataError
from domains.molecules.reactions.context import PRODUCT, REACTANT, Context, Member, by_role
from domains.molecules.reactions.styles import NO_REACTION, STYLES, EpochPlan, style
from domains.molecules.reactions.weights import ReactionWeights

MEMBERS = [[0, 1, 2], [0, 3], [], [0, 1, 4, 5, 6], [1, 2, 3, 4]]


def dense_weights(members):
    """P(r) and P(m | r) by the formula, in plain loops."""
    count = {}
    for row in members:
        for m in row:
            count[m] = count.get(m, 0) + 1
    sums = [sum(1 / count[m] for m in row) for row in members]
    return [s / sum(sums) for s in sums], [
        [1 / count[m] / s for m in row] for row, s in zip(members, sums, strict=True)
    ]


def test_weights_are_those_of_the_formula():
    weights = ReactionWeights(MEMBERS)
    reaction, molecule = dense_weights(MEMBERS)
    np.testing.assert_allclose(weights.reaction_R, reaction, atol=1e-12)
    for r in (0, 1, 3, 4):
        np.testing.assert_allclose(weights.molecules(r), molecule[r], atol=1e-12)


def test_one_molecule_of_a_weighted_reaction_is_any_with_equal_probability():
    np.testing.assert_allclose(ReactionWeights(MEMBERS).marginal(), np.full(7, 1 / 7), atol=1e-12)


def test_uniform_reactions_favour_molecules_of_many_reactions():
    same_size = ReactionWeights([[0, 1], [0, 2], [0, 3]])
    np.testing.assert_allclose(same_size.uniform_marginal(), same_size.count_M / 6, atol=1e-12)
    found = ReactionWeights(MEMBERS).uniform_marginal()
    assert found[0] == pytest.approx((1 / 3 + 1 / 2 + 1 / 5) / 4)
    assert found.sum() == pytest.approx(1)


def test_a_split_without_molecules_is_an_error():
    with pytest.raises(DataError, match="no reaction holds a molecule"):
        ReactionWeights([[], []])


@pytest.mark.parametrize("name", sorted(STYLES))
def test_every_style_draws_without_replacement_and_the_same_for_a_seed(name):
    weights, plan = ReactionWeights(MEMBERS), EpochPlan(contexts=4, random=2, molecules=3)
    first, again = (style(name)(weights, plan, np.random.default_rng(1)) for _ in range(2))
    assert [(r, m.tolist()) for r, m in first] == [(r, m.tolist()) for r, m in again]
    reactions = [r for r, _ in first if r != NO_REACTION]
    assert len(reactions) == len(set(reactions))
    assert 2 not in reactions  # it has no molecule
    for reaction, molecules in first:
        assert 1 <= len(molecules) <= (1 if name == "single_mol" else 3)
        assert len(set(molecules.tolist())) == len(molecules)
        if reaction != NO_REACTION:
            row = MEMBERS[reaction]
            places = [row.index(m) for m in molecules]
            assert places in (sorted(places), sorted(places, reverse=True))
    expected = {
        "weighted_rxn": (4, 0),
        "uniform_rxn": (4, 0),
        "hybrid": (4, 2),
        "uniform_mol": (0, 4),
        "single_mol": (0, 4),
    }
    assert (len(reactions), len(first) - len(reactions)) == expected[name]


def test_first_draws_follow_the_weights():
    weights = ReactionWeights(MEMBERS)
    plan = EpochPlan(contexts=1, random=0, molecules=1)
    rng = np.random.default_rng(0)
    seen = np.zeros(7)
    for _ in range(7000):
        ((_, molecules),) = style("weighted_rxn")(weights, plan, rng)
        seen[molecules] += 1
    np.testing.assert_allclose(seen / 7000, 1 / 7, atol=5 * np.sqrt(1 / 7 * 6 / 7 / 7000))


@pytest.mark.parametrize(("backward", "expected"), [(0.0, [0, 1, 2]), (1.0, [2, 1, 0])])
def test_a_reaction_is_told_backward_with_the_given_probability(backward, expected):
    plan = EpochPlan(contexts=1, random=0, molecules=3, backward=backward)
    ((_, molecules),) = style("weighted_rxn")(ReactionWeights([[0, 1, 2]]), plan, np.random.default_rng(0))
    assert molecules.tolist() == expected


def test_reversal_undoes_itself_and_json_keeps_everything():
    context = Context(
        (Member("CCO", REACTANT, mark="$1$", abstract="One.", properties={"LogP": -0.1}), Member("CC=O", PRODUCT)),
        ask="Action sequence: ", target="STIR for @1@",
    )  # fmt: skip
    assert context.reversed() != context
    assert context.reversed().reversed() == context
    assert Context.from_json(context.to_json()) == context
    assert context.prompt().target == ""
    with pytest.raises(DataError, match="not a context"):
        Context.from_json('{"members": [{"colour": 1}]}')
    with pytest.raises(DataError, match="has no SMILES"):
        Context.from_json('{"members": [{"smiles": ""}]}')


def test_a_molecule_with_two_roles_keeps_the_first():
    assert by_role([("a", ["C", "O"]), ("b", ["O", "N"])]) == {"C": "a", "O": "a", "N": "b"}


def test_a_wrong_name_or_plan_is_named():
    with pytest.raises(ConfigError, match=r"there is no 'hybird'.*hybrid"):
        style("hybird")
    with pytest.raises(ConfigError, match="0 contexts"):
        EpochPlan(contexts=0, random=0)
