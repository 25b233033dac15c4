"""What a graph says of a molecule, as ids of a few neighbouring entities.

Shape legend: V = molecules, N = neighbours of each that a step sees, A = all known neighbours of a molecule.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from core.data.processor import Sample
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.processor import TripleProcessor
from domains.molecules.kg.triples import parse_triple
from domains.molecules.kg.vocabulary import Vocabulary
from domains.molecules.knowledge.layouts import TRIPLES


class NeighbourProcessor(TripleProcessor):
    """Lines `relation<TAB>entity` -> ModalityInput.x (V, N) int64 ids, mask (V, N), True = a neighbour.

    Names and triples come from the layout's table `triples`. Of the neighbours that training names, `count` are drawn:
    anew in every epoch of training, in evaluation by a generator seeded by the content. A molecule of which nothing is
    known lacks the modality.
    """

    not_in_load: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *, count: int = 4, seed: int = 0, of: str = "") -> None:
        """count: N. seed: of the draw in evaluation. Raises ConfigError for less than one neighbour."""
        super().__init__(of=of)
        if count < 1:
            raise ConfigError(f"NeighbourProcessor: count is {count}; give at least 1 neighbour")
        self.count, self.seed = count, seed
        self._triples: list[str] = []

    def read_tables(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        if TRIPLES not in tables:
            raise DataError(
                f"the dataset has no table '{TRIPLES}'; neighbours need a layout with a graph, such as "
                "shipped_knowledge, molfm_bundle or known_molecules"
            )
        self._triples = list(tables[TRIPLES].values())

    def fit(self, sources: Iterable[Any]) -> None:
        triples = [parse_triple(text, where=f"training triple {i}") for i, text in enumerate(self._triples)]
        if not triples:
            raise DataError(
                "the graph has no triple without held-out molecules; there is nothing to learn entities from"
            )
        self.names = Vocabulary.of(triples)
        self.triples_T3 = np.stack([self.names.ids(triple) for triple in triples])

    def load(self, source: Any) -> Sample:
        known = [self.names.entity_id[name] for _, name in pairs(source) if name in self.names.entity_id]
        if not known:
            return {}
        every_A = np.unique(np.array(known, np.int64))
        rng = np.random.default_rng([self.seed, zlib.crc32(str(source).encode())])
        return {"every": every_A, "drawn": self._draw(every_A, rng)}

    def augment(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        return {**sample, "drawn": self._draw(sample["every"], rng)}

    def _draw(self, every_A: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.sort(rng.choice(every_A, min(self.count, len(every_A)), replace=False))

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        x_VN, mask_VN = np.zeros((len(samples), self.count), np.int64), np.zeros((len(samples), self.count), bool)
        for row, sample in enumerate(samples):
            drawn = sample["drawn"]
            x_VN[row, : len(drawn)], mask_VN[row, : len(drawn)] = drawn, True
        return ModalityInput(torch.from_numpy(x_VN), torch.from_numpy(mask_VN))

    def graph(self) -> Graph:
        return Graph(len(self.names.entities), len(self.names.relations), self.triples_T3)


def pairs(source: Any) -> list[tuple[str, str]]:
    """(relation, entity) of the lines of a source. Raises DataError for a line of another form."""
    found = []
    for line in str(source).splitlines():
        relation, tab, entity = line.partition("\t")
        if not tab or not relation.strip() or not entity.strip():
            raise DataError(f"neighbours: '{line[:60]}' is not relation<TAB>entity")
        found.append((relation.strip(), entity.strip()))
    return found
