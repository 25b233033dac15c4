"""Names of entities and relations as ids: sorted, so that the same graph has the same ids on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError, nearest
from domains.molecules.kg.triples import Triple


@dataclass(frozen=True)
class Vocabulary:
    """entities, relations: names in the order of their ids."""

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    entity_id: dict[str, int] = field(init=False, repr=False, compare=False)
    relation_id: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "entity_id", {name: i for i, name in enumerate(self.entities)})
        object.__setattr__(self, "relation_id", {name: i for i, name in enumerate(self.relations)})

    @classmethod
    def of(cls, triples: Iterable[Triple], further_entities: Iterable[str] = ()) -> Vocabulary:
        """Names of `triples` in sorted order; then the further entities that no triple names, sorted too."""
        triples = list(triples)
        entities = {t.head for t in triples} | {t.tail for t in triples}
        unseen = set(further_entities) - entities
        return cls((*sorted(entities), *sorted(unseen)), tuple(sorted({t.relation for t in triples})))

    def ids(self, triple: Triple) -> NDArray[np.int64]:
        """(3,) head, relation, tail. Raises DataError for a name that the training split does not hold."""
        for kind, name, known in (
            ("entity", triple.head, self.entity_id),
            ("relation", triple.relation, self.relation_id),
            ("entity", triple.tail, self.entity_id),
        ):
            if name not in known:
                hint = nearest(name, known) if len(known) < 1000 else ""
                raise DataError(
                    f"triple {' | '.join(triple)}: the {kind} '{name}' is in no training triple, so it has no vector"
                    f"{hint}. Leave such triples out (data.on_bad_record: skip reports them), or give the model "
                    "descriptions to read entities from"
                )
        return np.array(
            [self.entity_id[triple.head], self.relation_id[triple.relation], self.entity_id[triple.tail]], np.int64
        )
