"""A context: molecules that stand together in one text, each with its role, graph, description and properties.

ReactXT (Liu et al. 2024): `Role: [START_SMILES]...[END_SMILES]` and placeholders of the graph, then `[Abstract] ...`
and `[Properties] name: value; ...`. A context travels as JSON, so that it can be the content of a record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from core.errors import DataError

REACTANT, CATALYST, SOLVENT, PRODUCT = ROLES = ("Reactant", "Catalyst", "Solvent", "Product")


@dataclass(frozen=True, slots=True)
class Member:
    """One molecule. role: one of `ROLES`, or "". mark: what a procedure calls it, such as "$1$". graph: whether
    placeholders of its graph follow it."""

    smiles: str
    role: str = ""
    mark: str = ""
    abstract: str = ""
    properties: dict[str, float] = field(default_factory=dict)
    graph: bool = True


@dataclass(frozen=True, slots=True)
class Context:
    """members: in the order they are told. ask: text behind them, such as "Action sequence: ". target: what is to be
    told then, and nothing else is; "" when the whole context is told. smiles: whether the target is a SMILES."""

    members: tuple[Member, ...]
    ask: str = ""
    target: str = ""
    smiles: bool = False

    def reversed(self) -> Context:
        """The members the other way round: a backward reaction. Twice gives the context back."""
        return replace(self, members=self.members[::-1])

    def prompt(self) -> Context:
        """The context without its target."""
        return replace(self, target="")

    def to_json(self) -> str:
        """One line, the same for equal contexts."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Context:
        """Raises DataError for what `to_json` did not write."""
        try:
            found: dict[str, Any] = json.loads(text)
            members = tuple(Member(**member) for member in found.pop("members"))
            made = cls(members=members, **found)
        except (ValueError, TypeError, KeyError, AttributeError) as err:
            raise DataError(f"{text[:60]!a}: not a context ({err}); give what Context.to_json writes") from None
        if not all(isinstance(m.smiles, str) and m.smiles for m in members):
            raise DataError(f"{text[:60]!a}: a molecule of the context has no SMILES")
        return made


def by_role(roles: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """SMILES -> role, in the order given; a molecule that has two roles keeps its first."""
    found: dict[str, str] = {}
    for role, molecules in roles:
        for smiles in molecules:
            found.setdefault(smiles, role)
    return found
