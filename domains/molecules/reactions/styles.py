"""What an epoch of contexts holds: five ways to draw molecules that are told together.

A drawn context is (reaction or -1, numbers of the molecules, in order). Reactions, and molecules of a reaction, are
drawn without replacement.
Shape legend: R = reactions, L = molecules of one reaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, nearest
from domains.molecules.reactions.weights import ReactionWeights

Drawn = tuple[int, NDArray[np.int64]]
NO_REACTION = -1


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """contexts: of reactions in an epoch. random: contexts of random molecules besides. molecules: most in a context.
    backward: probability that a reaction is told from product to reactants."""

    contexts: int
    random: int
    molecules: int = 4
    backward: float = 0.5

    def __post_init__(self) -> None:
        if self.contexts < 1 or self.random < 0 or self.molecules < 1 or not 0 <= self.backward <= 1:
            raise ConfigError(
                f"an epoch has {self.contexts} contexts (1 at least), {self.random} random ones (0 at least), "
                f"{self.molecules} molecules in each (1 at least), backward with probability {self.backward} (0 to 1)"
            )


def weighted_rxn(weights: ReactionWeights, plan: EpochPlan, rng: np.random.Generator) -> list[Drawn]:
    """Reactions by P(r), their molecules by P(m | r)."""
    count = min(plan.contexts, int((weights.reaction_R > 0).sum()))
    reactions = rng.choice(len(weights.reaction_R), count, replace=False, p=weights.reaction_R)
    return [_members(weights, int(r), plan, rng, weights.molecules(int(r))) for r in reactions]


def uniform_rxn(weights: ReactionWeights, plan: EpochPlan, rng: np.random.Generator) -> list[Drawn]:
    """Reactions, and the molecules of each, equally likely."""
    held = np.flatnonzero(weights.reaction_R > 0)
    reactions = rng.choice(held, min(plan.contexts, len(held)), replace=False)
    return [_members(weights, int(r), plan, rng, None) for r in reactions]


def uniform_mol(weights: ReactionWeights, plan: EpochPlan, rng: np.random.Generator) -> list[Drawn]:
    """Molecules that have nothing to do with each other, as often as reactions hold them."""
    return _of_any_molecules(weights, plan.contexts, plan.molecules, rng)


def single_mol(weights: ReactionWeights, plan: EpochPlan, rng: np.random.Generator) -> list[Drawn]:
    """One molecule by itself, as often as reactions hold it."""
    return _of_any_molecules(weights, plan.contexts, 1, rng)


def hybrid(weights: ReactionWeights, plan: EpochPlan, rng: np.random.Generator) -> list[Drawn]:
    """`weighted_rxn`, and `random` contexts of random molecules (50,000 and 5,000 in ReactXT)."""
    return weighted_rxn(weights, plan, rng) + _of_any_molecules(weights, plan.random, plan.molecules, rng)


STYLES: dict[str, Callable[[ReactionWeights, EpochPlan, np.random.Generator], list[Drawn]]] = {
    style.__name__: style for style in (weighted_rxn, uniform_rxn, uniform_mol, single_mol, hybrid)
}


def style(name: str) -> Callable[[ReactionWeights, EpochPlan, np.random.Generator], list[Drawn]]:
    """The style called `name`. Raises ConfigError with the nearest name."""
    if name not in STYLES:
        raise ConfigError(f"style: there is no '{name}'{nearest(name, STYLES)}")
    return STYLES[name]


def _members(
    weights: ReactionWeights, reaction: int, plan: EpochPlan, rng: np.random.Generator, p_L: NDArray[np.float64] | None
) -> Drawn:
    """Up to `molecules` of a reaction's members in their order, or the other way round."""
    row = weights.members[reaction]
    chosen = np.arange(len(row))
    if plan.molecules < len(row):
        chosen = np.sort(rng.choice(len(row), plan.molecules, replace=False, p=p_L))
    return reaction, row[chosen[::-1] if rng.random() < plan.backward else chosen]


def _of_any_molecules(weights: ReactionWeights, contexts: int, size: int, rng: np.random.Generator) -> list[Drawn]:
    """Contexts of `size` entries of the reactions' lists, drawn without replacement as long as they last; a molecule
    that is drawn twice for one context stands in it once."""
    entries = rng.permutation(np.concatenate(weights.members))
    count = max(1, min(contexts, len(entries) // size)) if contexts else 0
    rows = [entries[i * size : (i + 1) * size] for i in range(count)]
    return [(NO_REACTION, row[np.sort(np.unique(row, return_index=True)[1])]) for row in rows]
