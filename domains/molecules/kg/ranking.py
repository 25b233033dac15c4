"""Link prediction as a figure: filtered ranks of both ends of every triple of a split.

Shape legend: N = triples of the split, Q = 2 N questions, E = entities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.datamodule import DataModule
from core.errors import ConfigError, DataError
from core.evaluation.answers import AnswerRanks, KnownAnswers, answer_ranks, answer_scores
from core.models.dual_encoder import DualEncoder
from core.training.figures import Figure
from core.training.precision import Compute
from domains.molecules.kg.encoder import LinkEncoder
from domains.molecules.kg.graph import Graph
from domains.molecules.kg.neighbours import FixedEntities

Ints = NDArray[np.int64]
SPLITS = ("train", "val", "test")


class LinkRanking(Figure):
    """Mean reciprocal rank, hits@1, 3, 10, mean rank and AMRI of `answer_ranks`, both ways together and apart.

    Filtered by the triples of all splits, also by those that a limit leaves out. With an inductive layout, whose
    `facts` are a graph of their own, the test is ranked among the entities of that graph and all else among those of
    training.
    """

    headline: ClassVar[Mapping[str, str]] = {"link prediction, filtered MRR": "links/mrr", "  hits@10": "links/hits@10"}

    def __init__(self, *, modality: str = "triple") -> None:
        self.modality = modality

    def check(self, model: DualEncoder) -> None:
        self._encoder(model)

    def _encoder(self, model: DualEncoder) -> LinkEncoder:
        if self.modality not in model.reads:
            raise ConfigError(f"LinkRanking: modality '{self.modality}' is not among {sorted(model.reads)}")
        encoder = model.encoder_of(self.modality)
        if not isinstance(encoder, LinkEncoder):
            raise ConfigError(
                f"LinkRanking: '{self.modality}' is read by a {type(encoder).__name__}, not a LinkEncoder"
            )
        return encoder

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        encoder = self._encoder(model)
        graph = encoder.graph
        assert graph is not None, "the encoder has not taken its processor"
        triples_N3 = split_triples(data, split, self.modality)
        if len(triples_N3) == 0:
            return {}
        known_N3 = [known_triples(data, s, self.modality) for s in SPLITS] + [graph.triples_T3, graph.facts_N3]
        pool = None
        if len(graph.facts_N3):  # two graphs: the test is about one, all else about the other
            own_N3 = [graph.facts_N3, triples_N3] if split == "test" else [graph.triples_T3]
            pool = np.unique(np.concatenate(own_N3)[:, [0, 2]])
        found = both_ends(encoder, graph, triples_N3, np.concatenate(known_N3), pool=pool)
        of_fact_Q = np.tile(np.arange(len(triples_N3)), 2)  # both questions about a triple are drawn together
        both = answer_scores(joined(found), groups_Q=of_fact_Q, n_bootstrap=n_bootstrap, seed=seed)
        figures = {f"links/{k}": v for k, v in both.flat().items()}
        for side, of_side in found.items():
            figures |= {f"links/{side}/{k}": v for k, v in answer_scores(of_side, n_bootstrap=1).flat().items()
                        if not k.endswith(("_low", "_high"))}  # fmt: skip
        return figures | {"links/candidates": float(joined(found).pool.mean())}


def split_triples(data: DataModule, split: str, modality: str) -> Ints:
    """(N, 3) ids of a split's triples."""
    dataset = data.dataset(split)
    found = [dataset.load(dataset.record(i)).get(modality) for i in range(len(dataset))]
    rows = [sample["triple"] for sample in found if sample is not None]
    return np.stack(rows) if rows else np.zeros((0, 3), np.int64)


def known_triples(data: DataModule, split: str, modality: str) -> Ints:
    """(N, 3) ids of all triples of a split's layout, used or not, read once; unknown names make no answer."""
    kept = _known.setdefault(data, {})
    if split not in kept:
        processor, rows = data.processors[modality], []
        for record in data.layouts[split]:
            source = record.sources.get(processor.of or modality)
            try:
                rows += [] if source is None else [processor.load(source)["triple"]]
            except DataError:
                continue
        kept[split] = np.stack(rows) if rows else np.zeros((0, 3), np.int64)
    return kept[split]


_known: WeakKeyDictionary[DataModule, dict[str, Ints]] = WeakKeyDictionary()


@torch.no_grad()
def both_ends(
    encoder: LinkEncoder, graph: Graph, triples_N3: Ints, known_N3: Ints, *, pool: Ints | None = None
) -> dict[str, AnswerRanks]:
    """Filtered ranks {"heads": ..., "tails": ...} of `triples_N3`. known_N3: true triples, left out of each pool.
    pool: ids of the entities that may be ranked; None = all."""
    device = next(encoder.parameters()).device
    pool_E = None
    if pool is not None:
        pool_E = torch.zeros(graph.entities, dtype=torch.bool)
        pool_E[torch.from_numpy(pool)] = True
    triples = torch.from_numpy(triples_N3).to(device)
    entities = FixedEntities(encoder.entities.every())
    found = {}
    for side, (given, wanted) in {"heads": (2, 0), "tails": (0, 2)}.items():
        question_N = triples_N3[:, given] * graph.relations + triples_N3[:, 1]
        known = KnownAnswers(known_N3[:, given] * graph.relations + known_N3[:, 1], known_N3[:, wanted])

        def scores(rows: slice, given: int = given, heads: bool = side == "heads") -> Tensor:
            point = encoder.question(triples[rows, given], triples[rows, 1], heads=heads, entities=entities)
            return encoder.all_scores(point, entities)[:, : graph.entities].float()

        found[side] = answer_ranks(
            scores, question_N, triples_N3[:, wanted], candidates=graph.entities, known=known, pool_G=pool_E
        )
    return found


def joined(found: Mapping[str, AnswerRanks]) -> AnswerRanks:
    """Both sides as one list of ranks."""
    sides = list(found.values())
    return AnswerRanks(*(np.concatenate([getattr(s, name) for s in sides]) for name in AnswerRanks.__slots__))
