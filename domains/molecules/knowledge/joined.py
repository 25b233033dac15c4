"""Molecules joined with what a graph says of them, by isomeric canonical SMILES.

The split rule. A molecule that is held out must not be learned through the graph: no triple that names it is trained
on, and no molecule has it as a neighbour. What the graph says of a held-out molecule is known at inference, as its
structure is: its neighbours are those entities that some training triple names. So nothing of a held-out molecule
reaches a weight, and a held-out scaffold or fragment that training never saw is no neighbour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from core.errors import DataError
from domains.molecules.kg.triples import Triple
from domains.molecules.knowledge.bundle import Bundle

INVERSE = "^-1"  # behind a relation whose tail the molecule is


def key_of(text: str) -> str:
    """Isomeric canonical SMILES; "" for a string that is no molecule: it joins nothing, and is reported when read."""
    from domains.molecules.io import read_molecule
    from domains.molecules.standardise import isomeric_key

    try:
        return isomeric_key(read_molecule(text))
    except DataError:
        return ""


class Knowledge:
    """A bundle as molecules see it. ids: isomeric key -> ids of its drugs: equal ones joined, stereoisomers apart."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.ids: dict[str, list[str]] = {}
        for name, (smiles, _) in bundle.drugs.items():
            key = key_of(smiles) if smiles else ""
            if key:
                self.ids.setdefault(key, []).append(name)
        self._about: dict[str, list[tuple[str, str]]] = {}
        for head, relation, tail in bundle.links:
            self._about.setdefault(head, []).append((relation, tail))
            self._about.setdefault(tail, []).append((relation + INVERSE, head))

    def about(self, names: Iterable[str], *, hidden: Collection[str] = ()) -> str:
        """Lines `relation<TAB>entity` of what is linked to these ids, each once, without `hidden` and themselves: the
        content of a record's modality "neighbours". Empty where nothing is known."""
        names = list(names)
        left_out = {*hidden, *names}
        found = [pair for name in names for pair in self._about.get(name, ()) if pair[1] not in left_out]
        return "\n".join("\t".join(pair) for pair in dict.fromkeys(found))

    def triples(self, *, hidden: Collection[str]) -> dict[str, str]:
        """Number -> triple of those that name no hidden entity: what may be trained on."""
        hidden = set(hidden)
        kept = (link for link in self.bundle.links if not (link.head in hidden or link.tail in hidden))
        return {str(i): Triple.text(link) for i, link in enumerate(kept)}
