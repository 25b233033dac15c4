"""Other layouts as contexts with a target: captions, procedures, and reactants of a product.

Each wraps a layout by name and reads it as it is distributed; records keep their ids and groups.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from core.config.check import FaultFinder
from core.data.layout import Layout, Record
from core.data.text import read_text
from core.errors import ConfigError
from domains.molecules.reactions.context import PRODUCT, Context, Member, by_role
from domains.molecules.reactions.layouts import ROLE_NAMES


class ToldContexts(Layout):
    """Modality "context" with a target, from the records of `layout` (a name; `arguments`: of its class).

    A record without what it needs has no modality, and counts as absent.
    """

    licence: ClassVar[str] = "that of the wrapped layout"
    source: ClassVar[str] = "a wrapped layout"
    default: ClassVar[str]
    needs: ClassVar[str]

    def __init__(
        self,
        *,
        split: str,
        root: Path | None = None,
        layout: str = "",
        arguments: dict[str, Any] | None = None,
        ask: str | None = None,
    ) -> None:
        """ask: the words behind the molecules, in the place of the default ones. Raises ConfigError for a layout that
        has no such records."""
        from domains.molecules.data import layout_class

        cls = layout_class(layout or self.default)
        where = {} if root is None else {"root": root}
        if root is None and layout not in ("", "shipped", "rule_made_reactions"):
            raise ConfigError(f"data.root: layout '{layout}' reads a folder; give it with --data.root DIR")
        finder = FaultFinder()
        finder.arguments("data.layout_args.arguments", cls, arguments or {}, given=("root", "split"))
        finder.raise_if_any("data.layout_args")
        self.inner: Any = cls(split=split, **where, **(arguments or {}))
        if self.needs not in self.inner.record(0).sources:
            raise ConfigError(
                f"layout_args.layout: {self.inner.name} has {', '.join(self.inner.record(0).sources)}; "
                f"{type(self).__name__} needs '{self.needs}'"
            )
        super().__init__(root=self.inner.root, split=split)
        self.ask = self.asking if ask is None else ask
        self.name = f"{type(self).__name__} of {self.inner.name}"  # type: ignore[misc]
        self.simulated, self.licence = self.inner.simulated, self.inner.licence  # type: ignore[misc]

    asking: ClassVar[str]

    def __len__(self) -> int:
        return len(self.inner)

    def record(self, index: int) -> Record:
        found = self.inner.record(index)
        context = self.context(index, found)
        return Record(found.id, found.group, {} if context is None else {"context": context.to_json()}, found.labels)

    @abstractmethod
    def context(self, index: int, record: Record) -> Context | None: ...


class CaptionContexts(ToldContexts):
    """A molecule, then the first paragraph about it (layouts chebi20, pubchem324k, pubchemstm, pcdes, shipped)."""

    name: ClassVar[str] = "CaptionContexts"
    default = "shipped"
    needs = "text"
    asking = "Description: "

    def context(self, index: int, record: Record) -> Context | None:
        if not {"graph", "text"} <= set(record.sources):
            return None
        text, smiles = record.sources["text"], record.sources["graph"]
        written = read_text(text) if isinstance(text, Path) else str(text)
        paragraphs = [line.strip() for line in written.splitlines() if line.strip()]
        if not paragraphs:
            return None
        return Context((Member(str(smiles)),), ask=self.ask, target=paragraphs[0])


class ProcedureContexts(ToldContexts):
    """Reactants, product, catalysts and solvents with their placeholders, temperatures and durations, then the steps
    (layouts openexp, rule_made_reactions). The product stands behind the reactants, as in ReactXT's prompt."""

    name: ClassVar[str] = "ProcedureContexts"
    default = "rule_made_reactions"
    needs = "procedure"
    asking = "Action sequence: "
    ORDER: ClassVar[tuple[str, ...]] = ("REACTANT", "PRODUCT", "CATALYST", "SOLVENT")

    def context(self, index: int, record: Record) -> Context | None:
        roles, given = self.inner.roles(index), self.inner.placeholders(index)
        marks = {text: mark for mark, text in given.items() if mark.startswith("$")}
        members = tuple(
            Member(smiles, role, mark=marks.get(smiles, ""))
            for smiles, role in by_role((ROLE_NAMES[name], roles[name]) for name in self.ORDER).items()
        )
        conditions = "".join(
            f"{title}: {'; '.join(f'{mark}: {text}' for mark, text in given.items() if mark.startswith(sign))}. "
            for title, sign in (("Temperatures", "#"), ("Durations", "@"))
            if any(mark.startswith(sign) for mark in given)
        )
        return Context(members, ask=f"{conditions}{self.ask}", target=str(record.sources["procedure"]))


class RetrosynthesisContexts(ToldContexts):
    """A product, then its reactants as one SMILES (layouts uspto50k, openexp, rule_made_reactions).

    Layouts of whole reactions: reactants in the order they stand in. graphs: whether the product's graph is shown;
    ReactXT shows none here.
    """

    name: ClassVar[str] = "RetrosynthesisContexts"
    default = "rule_made_reactions"
    needs = ""
    asking = "Reactants: "

    def __init__(
        self,
        *,
        split: str,
        root: Path | None = None,
        layout: str = "",
        arguments: dict[str, Any] | None = None,
        ask: str | None = None,
        graphs: bool = False,
    ) -> None:
        self.graphs = graphs
        self.needs = "product" if layout == "uspto50k" else "reaction"  # type: ignore[misc]
        super().__init__(split=split, root=root, layout=layout, arguments=arguments, ask=ask)

    def context(self, index: int, record: Record) -> Context | None:
        if "product" in record.sources:
            product, reactants = str(record.sources["product"]), str(record.sources["reactants"])
        else:
            reactants, _, product = str(record.sources["reaction"]).split(">")
        if not product or not reactants:
            return None
        member = Member(product, PRODUCT, graph=self.graphs)
        return Context((member,), ask=self.ask, target=reactants, smiles=True)
