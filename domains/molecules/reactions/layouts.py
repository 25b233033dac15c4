"""Reactions as contexts for a language model to be pretrained on, drawn anew in every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from core.data.layout import Draws, Layout, Record, TrainingPlan
from core.data.sampler import StepSampler
from core.errors import ConfigError, nearest
from domains.molecules.data.reactions import OpenExp
from domains.molecules.reactions import styles
from domains.molecules.reactions.context import CATALYST, PRODUCT, REACTANT, SOLVENT, Context, Member, by_role
from domains.molecules.reactions.drawn import DrawnContexts
from domains.molecules.reactions.molecule_texts import FILE, MoleculeText, read_texts, text_by_rule
from domains.molecules.reactions.rule_made import RuleMadeReactions
from domains.molecules.reactions.styles import EpochPlan
from domains.molecules.reactions.weights import ReactionWeights

REACTIONS: dict[str, type[OpenExp]] = {"rule_made": RuleMadeReactions, "openexp": OpenExp}
ROLE_NAMES = {"REACTANT": REACTANT, "CATALYST": CATALYST, "SOLVENT": SOLVENT, "PRODUCT": PRODUCT}


def open_reactions(reactions: str, *, split: str, root: Path | None, **arguments: Any) -> OpenExp:
    """A layout of reactions by name. Raises ConfigError with the nearest name, or for one that needs a root."""
    if reactions not in REACTIONS:
        raise ConfigError(f"reactions: there is no '{reactions}'{nearest(reactions, REACTIONS)}")
    if root is None and reactions != "rule_made":
        raise ConfigError(f"data.root: reactions '{reactions}' are read from a folder; give it with --data.root DIR")
    where = {} if root is None else {"root": root}
    return REACTIONS[reactions](split=split, **where, **arguments)


class ReactionContexts(Layout):
    """Modality "context": the forward reaction of each record; training draws contexts by `style` instead.

    reactions: "rule_made", or "openexp" below `root`. Abstracts and properties come from Abstract_property.json in the
    root where there is one (molecules without an abstract are then in no context), and are made by rule from the
    structure where there is none. style: one of `domains.molecules.reactions.styles`. contexts, random: of an epoch.
    molecules: most in a context, drawn or of a record (which keeps its product and reactants first). backward:
    probability of product before reactants. most: rule-made reactions.
    """

    name: ClassVar[str] = "ReactionContexts"
    licence: ClassVar[str] = "that of the reactions"
    source: ClassVar[str] = "a layout of reactions"

    def __init__(
        self,
        *,
        split: str,
        root: Path | None = None,
        reactions: str = "rule_made",
        style: str = "hybrid",
        contexts: int = 1500,
        random: int = 150,
        molecules: int = 4,
        backward: float = 0.5,
        most: int | None = None,
    ) -> None:
        arguments = {} if most is None else {"most": most}
        if arguments and reactions != "rule_made":
            raise ConfigError(f"most: is of rule-made reactions, not of '{reactions}'; use --data.limit instead")
        self.reactions = open_reactions(reactions, split=split, root=root, **arguments)
        super().__init__(root=self.reactions.root, split=split)
        self.plan = EpochPlan(contexts, random, molecules, backward)
        self.style = style
        styles.style(style)  # refuses an unknown one now
        file = self.root / FILE
        self._texts = read_texts(file) if file.exists() else None
        given = "of the file" if self._texts is not None else "made by rule"
        self.name = f"{self.reactions.name}; descriptions {given}"  # type: ignore[misc]
        self.simulated = self.reactions.simulated  # type: ignore[misc]
        self.licence = self.reactions.licence  # type: ignore[misc]
        self.tables = _Procedures(self.reactions)

    def __len__(self) -> int:
        return len(self.reactions)

    def text_of(self, smiles: str) -> MoleculeText:
        """What is told of a molecule; empty where there is nothing."""
        return text_by_rule(smiles) if self._texts is None else self._texts.get(smiles, MoleculeText())

    def member(self, smiles: str, role: str = "") -> Member:
        found = self.text_of(smiles)
        return Member(smiles, role, abstract=found.abstract, properties=dict(found.properties))

    def roles(self, index: int) -> dict[str, str]:
        """SMILES -> role of the molecules of a reaction that have an abstract, reactants first and product last."""
        roles = by_role((ROLE_NAMES[role], found) for role, found in self.reactions.roles(index).items())
        if self._texts is None:
            return roles
        return {smiles: role for smiles, role in roles.items() if self.text_of(smiles).abstract}

    def record(self, index: int) -> Record:
        found = self.reactions.record(index)
        members = tuple(self.member(smiles, role) for smiles, role in self._kept(self.roles(index)).items())
        sources = {"context": Context(members).to_json()} if members else {}
        return Record(found.id, found.group, sources)

    def _kept(self, roles: dict[str, str]) -> dict[str, str]:
        """At most as many molecules as a drawn context has: products, then reactants, catalysts and solvents, in the
        order they stood in. A longer context has positions that training never saw."""
        order = (PRODUCT, REACTANT, CATALYST, SOLVENT)
        first = sorted(roles, key=lambda smiles: order.index(roles[smiles]))[: self.plan.molecules]
        return {smiles: role for smiles, role in roles.items() if smiles in first}

    @cached_property
    def numbered(self) -> tuple[list[str], ReactionWeights]:
        """All molecules of the split's reactions, and the weights by their numbers."""
        number: dict[str, int] = {}
        members = [
            [number.setdefault(smiles, len(number)) for smiles in self.roles(index)] for index in range(len(self))
        ]
        return list(number), ReactionWeights(members)

    def draws(self, processors: Mapping[str, Any], plan: TrainingPlan) -> Draws | None:
        dataset = DrawnContexts(self, processors, seed=plan.seed)
        sampler = StepSampler(
            len(dataset), batch_size=plan.batch_size, total=plan.total, seed=plan.seed, start=plan.start,
            rank=plan.rank, world=plan.world,
        )  # fmt: skip
        return Draws(dataset, sampler)


class _Procedures(Mapping[str, Mapping[str, str]]):
    """The table "procedures" (record id -> text), read when it is asked for: a vocabulary learns from it too."""

    def __init__(self, reactions: OpenExp) -> None:
        self._reactions = reactions

    def __getitem__(self, name: str) -> Mapping[str, str]:
        if name != "procedures":
            raise KeyError(name)
        return {record.id: str(record.sources["procedure"]) for record in self._reactions}

    def __iter__(self) -> Any:
        return iter(("procedures",))

    def __len__(self) -> int:
        return 1
