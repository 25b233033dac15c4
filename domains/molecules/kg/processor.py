"""Triples to ids. It learns the names of the training split, and keeps its triples: filters and messages need them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.errors import CheckpointError, ConfigError, DataError
from core.files import atomic_write
from core.types import ModalityInput
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.texts import ANALYZERS, read_vectors, text_features
from domains.molecules.kg.triples import parse_triple
from domains.molecules.kg.vocabulary import Vocabulary

NAMES_FILE, TRIPLES_FILE = "graph.json", "triples.npy"


class TripleProcessor(Processor):
    """`head<TAB>relation<TAB>tail` -> {"triple": (3,) int64}; a batch is ModalityInput.x (V, 3).

    A triple with a name that training does not hold is a DataError (a bad record: raised, or skipped and counted).
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "graph"

    def __init__(
        self,
        *,
        features: dict[str, int] | None = None,
        vectors: dict[str, Path] | None = None,
        names_are_text: bool = False,
        admit_unseen: bool = False,
        of: str = "",
    ) -> None:
        """features: name -> width of hashed features of the descriptions; a name is a kind (words, characters) or
        `kind:anything`. vectors: name -> .npy file of given vectors. names_are_text: an entity without a description
        is described by its name, `_` as spaces. admit_unseen: entities that only descriptions or an inductive split's
        graph name get ids too, for models that read entities from their text or neighbours."""
        self.features, self.vectors = dict(features or {}), {k: Path(v) for k, v in (vectors or {}).items()}
        self.names_are_text, self.admit_unseen, self.of = names_are_text, admit_unseen, of
        for name in self.features:
            if name.partition(":")[0] not in ANALYZERS:
                raise ConfigError(f"features: '{name}' is none of {sorted(ANALYZERS)}, nor one of them and ':...'")
        if set(self.features) & set(self.vectors):
            raise ConfigError("features and vectors: a name is in both; give each source of text its own name")
        self.names = Vocabulary((), ())
        self.triples_T3 = self.facts_N3 = np.zeros((0, 3), np.int64)
        self._descriptions: dict[str, str] = {}
        self._facts: list[str] = []

    def read_tables(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        """Tables `descriptions` (entity -> text) and `facts` (number -> triple known at inference only)."""
        self._descriptions = dict(tables.get("descriptions", {}))
        self._facts = list(tables.get("facts", {}).values())

    def fit(self, sources: Iterable[Any]) -> None:
        triples = [parse_triple(source, where=f"training triple {i}") for i, source in enumerate(sources)]
        if not triples:
            raise DataError("the training split holds no triple to learn entities and relations from")
        facts = [parse_triple(fact, where="a fact of the layout") for fact in self._facts]
        further = {*self._descriptions, *(f.head for f in facts), *(f.tail for f in facts)} if self.admit_unseen else ()
        self.names = Vocabulary.of(triples, further)
        self.triples_T3 = np.stack([self.names.ids(triple) for triple in triples])
        if facts and self.admit_unseen:
            self.facts_N3 = np.stack([self.names.ids(fact) for fact in facts])

    def load(self, source: Any) -> Sample:
        return {"triple": self.names.ids(parse_triple(source, where=f"triple '{str(source)[:60]}'"))}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        return ModalityInput(torch.from_numpy(np.stack([sample["triple"] for sample in samples])))

    def graph(self) -> Graph:
        """What is known about the graph; features are computed anew."""
        texts = [self.description(name) for name in self.names.entities]
        found = {
            name: text_features(texts, kind=name.partition(":")[0], size=size) for name, size in self.features.items()
        }
        found |= {name: read_vectors(path, self.names.entities) for name, path in self.vectors.items()}
        return Graph(len(self.names.entities), len(self.names.relations), self.triples_T3, self.facts_N3, found)

    def description(self, entity: str) -> str:
        """The text of an entity; empty where it has none."""
        fallback = " ".join(entity.replace("_", " ").split()) if self.names_are_text else ""
        return self._descriptions.get(entity) or fallback

    def _learned(self) -> str:
        digest = hashlib.sha256(json.dumps([self.names.entities, self.names.relations]).encode())
        digest.update(self.triples_T3.tobytes() + self.facts_N3.tobytes())
        digest.update(json.dumps(self._descriptions, sort_keys=True).encode())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        facts = {
            "entities": self.names.entities,
            "relations": self.names.relations,
            "descriptions": self._descriptions,
            "trained": len(self.triples_T3),
        }
        with atomic_write(folder / NAMES_FILE) as partial:
            partial.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        with atomic_write(folder / TRIPLES_FILE) as partial, open(partial, "wb") as out:
            np.save(out, np.concatenate([self.triples_T3, self.facts_N3]), allow_pickle=False)

    def restore(self, folder: Path) -> None:
        path = folder / NAMES_FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            names = Vocabulary(tuple(map(str, found["entities"])), tuple(map(str, found["relations"])))
            descriptions, trained = dict(found["descriptions"]), int(found["trained"])
            path = folder / TRIPLES_FILE
            triples = np.load(path, allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as err:
            raise CheckpointError(f"{path}: cannot be read ({err}); copy the saved model again") from err
        limits = (len(names.entities), len(names.relations), len(names.entities))
        fits = triples.ndim == 2 and triples.shape[1] == 3 and triples.dtype == np.int64
        if not fits or (len(triples) and ((triples < 0).any() or (triples.max(axis=0) >= limits).any())):
            raise CheckpointError(f"{path}: holds ids that {NAMES_FILE} does not name; copy the saved model again")
        self.names, self._descriptions = names, descriptions
        self.triples_T3, self.facts_N3 = triples[:trained], triples[trained:]
